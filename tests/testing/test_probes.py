"""Checks of probes, each with probes that it finds wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from kit import fault, passes
from PIL import Image
from torch import nn

from ganzoo.api import BuildContext, Networks, ProbeSpec, Step


class Doing:
    """A probe that does what it is told in each of its methods."""

    def __init__(self, **doing: Callable[..., Any]) -> None:
        self.doing = doing
        self.networks: Networks

    def do(self, what: str, otherwise: Any = None) -> Any:
        return self.doing[what](self.networks) if what in self.doing else otherwise

    def before(self, phases: Sequence[str], step: Step) -> None:
        self.networks = step.networks
        self.do("before")

    def after(self, phases: Sequence[str], step: Step) -> None:
        self.do("after")

    def compute(self) -> Any:
        return self.do("compute", {"gap": 1.0})

    def draw(self) -> Any:
        return self.do("draw")


def probe(**doing: Callable[..., Any]) -> type[ProbeSpec]:
    class Strange(ProbeSpec):
        """Strange."""

        type: ClassVar[str] = "strange"

        def build(self, context: BuildContext) -> Any:
            return Doing(**doing)

    return Strange


def look(networks: Networks) -> None:
    """A look that leaves everything as it was."""
    network = networks.generator
    network.eval()
    with torch.no_grad():
        network(torch.zeros(2, 6))
    network.train()


@pytest.mark.parametrize("check", ["probe-values", "probe-side-effects", "builds"])
def test_a_probe_without_faults(check: str) -> None:
    passes(check, probe(before=look, after=look, draw=lambda _: Image.new("L", (2, 2))))
    passes(check, probe())


@pytest.mark.parametrize(
    ("doing", "found"),
    [
        ({"compute": lambda _: 1.0}, "compute() returns a float; return values by name"),
        (
            {"compute": lambda _: {"": 1.0}},
            "compute() names a value ''; take a word without brackets",
        ),
        ({"compute": lambda _: {"gap": "1"}}, "'gap' is a str; return a float"),
        (
            {"compute": lambda _: {"gap": math.nan}},
            "'gap' is nan; give a finite number, or leave the value out",
        ),
        (
            {"draw": lambda _: np.zeros((2, 2))},
            "draw() returns a ndarray; return a PIL image or None",
        ),
    ],
)
def test_values_of_probes_that_cannot_be_used(doing: Any, found: str) -> None:
    assert fault("probe-values", probe(**doing)) == found


def weight(networks: Networks) -> nn.Parameter:
    return next(networks.generator.parameters())


def step(networks: Networks) -> None:
    with torch.no_grad():
        weight(networks).add_(1)


BACK = "; put it back as it was, and train nothing"


@pytest.mark.parametrize("method", ["before", "after", "compute", "draw"])
@pytest.mark.parametrize(
    ("action", "changed"),
    [
        (step, "the value of generator.first.weight"),
        (lambda networks: networks.generator.eval(), "the mode (train or eval) of generator"),
        (
            lambda networks: networks.discriminator.last.eval(),
            "the mode (train or eval) of discriminator.last",
        ),
        (
            lambda networks: weight(networks).requires_grad_(False),
            "requires_grad of generator.first.weight",
        ),
        (
            lambda networks: weight(networks).sum().backward(),
            "the gradient of generator.first.weight",
        ),
        (
            lambda networks: networks.generator.zero_grad(),
            "the gradient of generator.first.weight",
        ),
    ],
)
def test_probes_that_change_the_networks(
    action: Callable[[Networks], Any], changed: str, method: str
) -> None:
    found = fault("probe-side-effects", probe(**{method: action}))
    assert found == f"{method}() changes {changed}{BACK}"


def test_a_probe_that_draws() -> None:
    assert fault("probe-side-effects", probe(after=lambda _: torch.randn(1))) == (
        "after() draws from torch's default random stream; draw from a torch.Generator of its own"
    )
