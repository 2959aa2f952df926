"""`train.accumulate`: a batch in parts has the gradients of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.session import Session
from ganzoo.engine.training import run_iteration
from ganzoo.errors import UserError
from ganzoo.recipe import RecipeError

from .conftest import TINY, MakeRecipe, MakeSession

RELATIVISTIC = (
    TINY.replace("non-saturating", "relativistic")
    + '\n[[regularizers]]\ntype = "r1"\ngamma = 0.1\n[[regularizers]]\ntype = "r2"\nevery = 2\n'
)


def trained(session: Session, iterations: int) -> dict[str, Tensor]:
    for _ in range(iterations):
        run_iteration(session)
        session.counters.iteration += 1
    state: dict[str, Tensor] = torch.nn.ModuleDict(session.parts.modules).state_dict()
    return state


@pytest.mark.parametrize("text", [TINY, RELATIVISTIC], ids=["plain", "penalties"])
def test_parts_move_the_weights_as_the_whole_batch_does(session: MakeSession, text: str) -> None:
    # Plain descent: Adam would make much of the last bits of small gradients.
    descent = ["optimizer.type=sgd", "optimizer.lr=0.1"]
    whole, parts = session(*descent, text=text), session(*descent, "train.accumulate=4", text=text)
    expected = trained(whole, 6)
    for name, weight in trained(parts, 6).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-6)
    group = ProcessGroup()
    seen, all_at_once = parts.statistics.read(group), whole.statistics.read(group)
    assert seen == pytest.approx(all_at_once, rel=1e-4, abs=1e-6)
    assert parts.images == whole.images


def test_networks_see_a_part_at_a_time(session: MakeSession) -> None:
    tiny = session("train.accumulate=4")
    sizes = []
    tiny.parts.networks.discriminator.register_forward_hook(
        lambda module, inputs, output: sizes.append(len(inputs[0]))
    )
    run_iteration(tiny)
    assert set(sizes) == {2}


def test_classes_stay_with_their_samples(session: MakeSession) -> None:
    batch = session('condition="class"').batches.next(0, real=True)
    parts = list(batch.parts(4))
    for name in ("x", "z", "labels", "fake_labels", "indices"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(batch, name))


def test_d_wins_where_every_real_logit_of_the_batch_is_above_every_fake(
    session: MakeSession,
) -> None:
    seen: list[tuple[int, int]] = []
    tiny = session("train.accumulate=4")
    tiny.signs.add_logits = lambda real, fake: seen.append((len(real), len(fake)))  # type: ignore[method-assign]
    run_iteration(tiny)
    assert seen == [(8, 8)]


def test_a_batch_that_cannot_be_cut(recipe: MakeRecipe, session: MakeSession) -> None:
    with pytest.raises(RecipeError, match="batch_size = 8 cannot be cut into accumulate = 3 parts"):
        recipe("train.accumulate=3")
    with pytest.raises(RecipeError, match="cannot be cut into 4 parts of packs of 4"):
        recipe("train.accumulate=4", "discriminator.pack=4")
    with pytest.raises(UserError, match="between 4 processes, in 4 parts each"):
        session("train.accumulate=4", group=ProcessGroup(size=4))
