"""How many threads a run takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from ganzoo.engine.backend import arithmetic
from ganzoo.engine.parts import Parts
from ganzoo.engine.threads import at_most, choose_threads, operations
from ganzoo.protocols import Networks

from .conftest import TINY, MakeRecipe, MakeSession

CPU = torch.device("cpu")


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Eight cores, and what the number of threads is set to."""
    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    return chosen


def test_operations_are_those_of_the_layers(recipe: MakeRecipe) -> None:
    parts = Parts(recipe("generator.hidden=[16]", "discriminator.hidden=[16]"), CPU)
    generator, discriminator = 4 * 16 + 16 * 64, 64 * 16 + 16
    assert operations(parts) == 2 * 8 * (generator + discriminator)
    assert operations(parts) <= at_most(parts)


def test_what_is_packed_is_judged_together(recipe: MakeRecipe) -> None:
    parts = Parts(recipe("discriminator.pack=2", "discriminator.hidden=[16]"), CPU)
    single = Parts(recipe("discriminator.hidden=[16]"), CPU)
    assert operations(parts) < 2 * operations(single)


def test_counting_leaves_everything_as_it_was(recipe: MakeRecipe) -> None:
    parts = Parts(recipe("discriminator.dropout=0.5", "generator.normalization=batch"), CPU)
    before = {name: each.state_dict() for name, each in parts.networks.items()}
    copies = {
        name: {key: value.clone() for key, value in state.items()} for name, state in before.items()
    }
    stream = torch.random.get_rng_state()
    operations(parts)
    assert torch.equal(torch.random.get_rng_state(), stream)
    for name, state in before.items():
        for key, value in state.items():
            assert torch.equal(value, copies[name][key])


def test_a_network_that_looks_at_values_counts_nothing(recipe: MakeRecipe) -> None:
    class Looking(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z if z.sum().item() else -z

    parts = Parts(recipe("discriminator.hidden=[16]"), CPU)
    both = operations(parts)
    parts.networks = Networks({**parts.networks, "generator": Looking()})
    assert 0 < operations(parts) < both


@pytest.mark.parametrize(("share", "threads"), [(2.0, 1), (0.4, 2), (0.01, 8)])
def test_as_many_as_there_is_work_for(
    share: float,
    threads: int,
    cores: list[int],
    recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`share` is what keeps one of them busy, as a share of the work."""
    parts = Parts(recipe(), CPU)
    monkeypatch.setattr("ganzoo.engine.threads.ENOUGH", share * operations(parts))
    assert choose_threads("auto", parts) == threads


def test_the_recipe_may_say_how_many(recipe: MakeRecipe) -> None:
    loaded = recipe("engine.threads=3")
    assert choose_threads(loaded.engine.threads, Parts(loaded, CPU)) == 3


def test_a_session_sets_them_and_arithmetic_puts_them_back(
    cores: list[int], session: MakeSession
) -> None:
    with arithmetic(CPU, deterministic=True):
        session("engine.threads=5", text=TINY)
    assert cores == [5, 8]


@pytest.mark.parametrize(("given", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_do_not_spin(given: str | None, policy: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    code = "import ganzoo, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [policy, "False"]
