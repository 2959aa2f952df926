"""Priors and moments with other contents under a digest that fits: they are not loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import train

from ganzoo.digests import read_tensors, write_tensors
from ganzoo.engine.state import load_state_dict, state_dict
from ganzoo.engine.training import run_iteration
from ganzoo.errors import RunError
from ganzoo.sampling import Sampler

from .conftest import AUTOENCODER, MakeRecipe, MakeSession


def test_a_prior_of_other_numbers_is_not_loaded(recipe: MakeRecipe, tmp_path: Path) -> None:
    coder = recipe(text=AUTOENCODER)
    folder = train(coder, tmp_path)
    path = folder.prior("mixture")
    whole = path.read_bytes()
    for change, reason in (
        (lambda each: each * torch.nan, "it holds numbers that are not finite"),
        (lambda each: each.double(), "'means' is torch.float64, not torch.float32"),
        (lambda each: each[1:].clone(), "do not fit the networks"),
    ):
        path.write_bytes(whole)
        tensors, notes = read_tensors(path)
        name = "priors.mixture.means"
        write_tensors(path, {**tensors, name: change(tensors[name])}, notes)
        with pytest.raises(RunError, match=reason):
            Sampler(coder, folder).sample(1, prior="mixture")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda each: each.flatten(), r"exp_avg of the generator is \(64,\) of torch.float32, not"),
        (lambda each: each.double(), "of torch.float64, not"),
        (lambda each: None, "has lost moments"),
    ],
)
def test_moments_of_other_weights_do_not_fit(
    session: MakeSession, change: Callable[[torch.Tensor], torch.Tensor | None], reason: str
) -> None:
    fresh = session()
    for _ in range(2):
        run_iteration(fresh)
    state = state_dict(fresh)
    moments = state["optimizers"]["generator"]["state"][0]
    if (changed := change(moments["exp_avg"])) is None:
        del moments["exp_avg"]
    else:
        moments["exp_avg"] = changed
    with pytest.raises(ValueError, match=reason):
        load_state_dict(session(), state)


def test_the_options_of_optimizers_are_the_recipes(session: MakeSession) -> None:
    state = state_dict(session())
    for saved in state["optimizers"].values():
        saved["param_groups"][0]["lr"] = 1e30
    other = session()
    load_state_dict(other, state)
    groups = [each["param_groups"][0] for each in other.optimizers.state_dict().values()]
    assert [group["lr"] for group in groups] == [1e-3, 1e-3]
