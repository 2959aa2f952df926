"""Tables of codes: their distribution, their gradients, and the region that they stay in."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ganzoo_autoencoder import PairedCodesLoss
from ganzoo_autoencoder.paired import PairedCodes, within_support
from torch import Tensor, nn

from ganzoo.api import BuildContext, Networks
from ganzoo.engine.step import Batch, Step

POINTS = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


def build(seed: int = 0, distribution: Any = "normal", **keys: Any) -> PairedCodes:
    torch.manual_seed(seed)
    context = BuildContext(
        sample_shape=(3,),
        latent_dim=2,
        latent_distribution=distribution,
        training_samples=len(POINTS),
    )
    loss = PairedCodesLoss(**keys).build(context)
    assert isinstance(loss, PairedCodes)
    return loss


def step(generator: nn.Module, *indices: int) -> Step:
    batch = Batch(
        POINTS[list(indices)], torch.zeros(len(indices), 2), indices=torch.tensor(indices)
    )
    return Step("joint", Networks({"generator": generator}), batch, trains={"generator"})


@pytest.fixture
def decoder() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 3)


def test_the_seed_fixes_the_table_of_fixed_codes() -> None:
    loss = build()
    assert loss.table.shape == (100, 2)
    assert torch.equal(loss.table, build().table)
    assert not torch.equal(loss.table, build(seed=1).table)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert not PairedCodesLoss().has_weights
    assert PairedCodesLoss().trains("joint") == {"generator"}


def test_learned_codes_are_weights() -> None:
    loss = build(learned=True)
    assert [tuple(weight.shape) for weight in loss.parameters()] == [(100, 2)]
    assert list(loss.state_dict()) == ["table"]
    assert PairedCodesLoss(learned=True).has_weights
    assert PairedCodesLoss(learned=True).trains("joint") == {"generator", "loss"}


def test_codes_follow_the_distribution_of_the_latents() -> None:
    keys: dict[str, Any] = {"count": 50_000, "latent_dim": 2, "distance": None}
    torch.manual_seed(0)
    normal = PairedCodes(distribution="normal", learned=False, **keys).table
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert normal.abs().max() > 3
    uniform = PairedCodes(distribution="uniform", learned=False, **keys).table
    assert uniform.abs().max() <= 1
    assert uniform.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_codes_outside_the_ball_or_the_cube_are_projected() -> None:
    codes = torch.tensor([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0]])
    radius = math.sqrt(2)
    expected = torch.tensor([[0.6 * radius, 0.8 * radius], [0.3, -0.4], [0.0, 0.0]])
    torch.testing.assert_close(within_support(codes, "normal"), expected)
    for distribution in ("normal", "uniform"):
        once = within_support(10 * torch.randn(1000, 3), distribution)
        assert torch.equal(within_support(once, distribution), once)
    torch.testing.assert_close(
        within_support(codes, "uniform"), torch.tensor([[1.0, 1.0], [0.3, -0.4], [0.0, 0.0]])
    )


@pytest.mark.parametrize("learned", [False, True])
def test_the_term_decodes_the_rows_of_the_batch(learned: bool, decoder: nn.Linear) -> None:
    loss, one = build(learned=learned), step(decoder, 7, 7, 3)
    terms = loss.compute(one)
    decoded = decoder(loss.table[[7, 7, 3]])
    assert list(terms) == ["reconstruction"]
    expected = (decoded - one.x).square().sum(1).mean()
    torch.testing.assert_close(terms["reconstruction"], expected)
    assert torch.equal(loss.codes(one), loss.table[[7, 7, 3]])


@pytest.mark.parametrize("learned", [False, True])
def test_samples_outside_the_training_set_have_no_codes(learned: bool, decoder: nn.Linear) -> None:
    x = torch.zeros(5, 3)
    one = Step("", Networks({"generator": decoder}), Batch(x, torch.zeros(5, 2)))
    assert build(learned=learned).codes(one).shape == (0, 2)


@pytest.mark.parametrize("learned", [False, True])
def test_only_learned_codes_move_and_only_those_of_the_batch(
    learned: bool, decoder: nn.Linear
) -> None:
    loss = build(learned=learned)
    before = loss.table.detach().clone()
    optimizer = torch.optim.SGD([*decoder.parameters(), *loss.parameters()], lr=0.1)
    loss.compute(step(decoder, 4, 90))["reconstruction"].backward()
    optimizer.step()
    moved = (loss.table != before).any(1).nonzero().flatten().tolist()
    assert moved == ([4, 90] if learned else [])


def test_a_codes_gradient_is_that_of_its_sample_over_the_batch_size(decoder: nn.Linear) -> None:
    loss = build(learned=True)
    loss.compute(step(decoder, 4, 90))["reconstruction"].backward()
    code = loss.table[4].detach().requires_grad_()
    (decoder(code) - POINTS[4]).square().sum().backward()
    assert loss.table.grad is not None
    assert code.grad is not None
    torch.testing.assert_close(loss.table.grad[4], code.grad / 2)


def test_learned_codes_are_projected_before_they_are_read(decoder: nn.Linear) -> None:
    loss = build(learned=True)
    with torch.no_grad():
        loss.table[3:5] = torch.tensor([6.0, 8.0])
    corner = math.sqrt(2) * torch.tensor([0.6, 0.8])
    torch.testing.assert_close(loss.codes(step(decoder, 3)), corner[None])
    assert loss.table[3, 0] == 6, "asking for codes changes nothing"
    loss.compute(step(decoder, 3))
    # Row 4 too, which is not in the batch.
    torch.testing.assert_close(loss.table[3:5].detach(), corner.expand(2, 2))


def test_fixed_codes_may_lie_outside_the_ball(decoder: nn.Linear) -> None:
    loss = build()
    far = int(loss.table.norm(dim=1).argmax())
    assert loss.table[far].norm() > math.sqrt(2)
    loss.compute(step(decoder, far))
    assert torch.equal(loss.codes(step(decoder, far))[0], loss.table[far])


def test_the_host_never_waits(decoder: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, one = build(learned=True), step(decoder, 1, 2)

    def refuse(*_: object) -> None:
        raise AssertionError("the host waits for the device")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, refuse)
    loss.compute(one)
    loss.codes(one)
