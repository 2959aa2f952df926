"""Networks, losses, regularizers and augmentations made of a few lines, right ones and factories
of wrong ones, for the tests of the conformance kit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from components import plugin
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    DiscriminatorSpec,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    Phase,
    RegularizerSpec,
    Role,
    Step,
)
from ganzoo.specs import ComponentSpec
from ganzoo.testing import CHECKS, Case
from ganzoo.testing.checks import Subject

PHASES = {
    "discriminator": Phase(trains=frozenset({"discriminator"})),
    "generator": Phase(trains=frozenset({"generator"}), reads_data=False),
}
JOINT = {"joint": Phase(trains=frozenset({"generator"}))}


def make(check: str, declared: type[ComponentSpec]) -> None:
    Case(CHECKS[check], Subject(plugin(declared), declared))()


class G(nn.Module):
    """A right generator; wrong ones change one thing."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.shape = context.sample_shape
        self.first = nn.Linear(context.latent_dim, 8)
        self.last = nn.Linear(8, math.prod(self.shape))

    def hidden(self, z: Tensor) -> Tensor:
        return self.first(z).tanh()

    def forward(self, z: Tensor) -> Any:
        return self.last(self.hidden(z)).tanh().view(-1, *self.shape)


class D(nn.Module):
    """A right discriminator."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.first = nn.Linear(math.prod(context.sample_shape), 8)
        self.last = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.first(x.flatten(1)).tanh()).flatten()


class E(nn.Module):
    """A right encoder, that gives a variance where it is asked for one."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.first = nn.Linear(math.prod(context.sample_shape), 8)
        self.last = nn.Linear(8, 2 * context.latent_dim)
        self.variance = "variance" in context.requested

    def forward(self, x: Tensor) -> Any:
        mean, log_variance = self.last(self.first(x.flatten(1)).tanh()).chunk(2, dim=1)
        # So that all weights are used.
        return (mean, log_variance) if self.variance else mean + log_variance


BASES: Mapping[type[nn.Module], type[ComponentSpec]] = {
    G: GeneratorSpec,
    D: DiscriminatorSpec,
    E: EncoderSpec,
}


def spec(
    network: Callable[[BuildContext], Any],
    base: type[ComponentSpec] | None = None,
    **attributes: Any,
) -> type[ComponentSpec]:
    """A declaration whose `build` makes the network."""
    if base is None:
        base = next(found for kind, found in BASES.items() if issubclass(network, kind))  # type: ignore[arg-type]

    class Made(base):  # type: ignore[misc, valid-type]
        """A network of a test."""

        type: ClassVar[str] = "made"
        provides: ClassVar[frozenset[str]] = attributes.get(
            "provides", frozenset({"variance"}) if base is EncoderSpec else frozenset()
        )
        compiles: ClassVar[bool] = attributes.get("compiles", True)

        def build(self, context: BuildContext) -> Any:
            return network(context)

    return Made


def changed(base: type[nn.Module], forward: Callable[[Any, Tensor], Any]) -> type[nn.Module]:
    """A network with another forward pass, which is given the module and its input."""
    return type("Changed", (base,), {"forward": forward})


class Frozen(Function):
    """The identity, whose gradient torch cannot differentiate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


Terms = Callable[[Step], Any]


class Computing:
    def __init__(self, terms: Callable[..., Any]) -> None:
        self.compute = terms


def loss(
    terms: Terms | None = None,
    *,
    phases: Mapping[str, Phase] = PHASES,
    build: Callable[[BuildContext], Any] | None = None,
    has_weights: bool = False,
    needs: frozenset[str] = frozenset(),
    networks: Mapping[str, Role] | None = None,
    meanings: Mapping[str, str] | None = None,
) -> type[LossSpec]:
    """A loss of a function of a step, or of what `build` gives."""
    offered, owns, wanted, roles, said = phases, has_weights, needs, networks or {}, meanings or {}

    class Made(LossSpec):
        """A loss of a test."""

        type: ClassVar[str] = "made"
        phases: ClassVar[Mapping[str, Phase]] = offered
        needs: ClassVar[frozenset[str]] = wanted
        networks: ClassVar[Mapping[str, Role]] = roles
        terms: ClassVar[Mapping[str, str]] = said

        @property
        def has_weights(self) -> bool:
            return owns

        def build(self, context: BuildContext) -> Any:
            return Computing(terms) if build is None else build(context)  # type: ignore[arg-type]

    return Made


def generated(terms: Callable[[Tensor], Any]) -> type[LossSpec]:
    """A right game, but for the generator's terms, a function of the logits of its samples."""
    return loss(lambda step: terms(step.fake_logits) if step.phase == "generator" else game(step))


def game(step: Step) -> Any:
    """A right loss."""
    if step.phase == "generator":
        return {"loss": softplus(-step.fake_logits).mean()}
    fake, real = step.fake_logits, step.real_logits
    return {"loss": softplus(fake).mean() + softplus(-real).mean(), "D": real.detach().mean()}


def paired(terms: Callable[[Tensor, Step], Tensor], **phase: Any) -> type[LossSpec]:
    """A loss of one phase: a function of the generator's samples and the step."""
    phases = {"joint": Phase(trains=frozenset({"generator"}), **phase)}
    return loss(lambda step: {"loss": terms(step.fake, step)}, phases=phases)


def squares(x: Tensor, step: Step) -> Tensor:
    return (x - step.x).square().mean()


def penalty(
    terms: Callable[[Step], Any], at: str = "discriminator", by: frozenset[str] = frozenset()
) -> Any:
    """A regularizer: a function of a step."""

    class Made(RegularizerSpec):
        """A regularizer of a test."""

        type: ClassVar[str] = "made"
        phase: ClassVar[str] = at
        differentiates: ClassVar[frozenset[str]] = by

        def build(self, context: BuildContext) -> Any:
            return Computing(terms)

    return Made


def slope(step: Step) -> Tensor:
    """The gradient of D for each logit, for steps that are differentiated by x."""
    logits = step.real_logits
    gradient = torch.autograd.grad(logits.sum(), step.x, create_graph=True)[0]
    return gradient.reshape(len(logits), -1)


class Changing:
    """An augmentation of two functions."""

    def __init__(self, draw: Callable[[Tensor], Any], apply: Callable[..., Tensor]) -> None:
        self.draw, self.apply = draw, apply

    def __call__(self, x: Tensor, draw: Any) -> Tensor:
        return self.apply(x, draw)


def augmentation(
    apply: Callable[..., Tensor] = lambda x, draw: x,
    draw: Callable[[Tensor], Any] = lambda x: (),
    build: Callable[[BuildContext], Any] | None = None,
) -> type[AugmentationSpec]:
    """An augmentation that applies to samples what it draws."""

    class Made(AugmentationSpec):
        """An augmentation of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            return Changing(draw, apply) if build is None else build(context)

    return Made
