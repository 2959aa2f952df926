"""Checks of priors and of feature extractors, each with components that it finds wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from kit import fault, passes
from torch import Tensor, nn

from ganzoo.api import BuildContext, ExtractorSpec, PriorSpec
from ganzoo.testing.checks import CHECKS

PRIOR = [name for name, check in CHECKS.items() if check.kinds == {"prior"}]
EXTRACTOR = [name for name, check in CHECKS.items() if check.kinds == {"extractor"}]


class Shifted(nn.Module):
    """A right prior: a normal distribution around the mean of the codes."""

    mean: Tensor

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(context.latent_dim))

    def fit(self, codes: Tensor) -> None:
        self.mean.copy_(codes.mean(0))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.mean + torch.randn(count, len(self.mean), generator=generator)


def prior(build: Callable[[BuildContext], Any], fits: bool = True) -> type[PriorSpec]:
    class Made(PriorSpec):
        """A prior of a test."""

        type: ClassVar[str] = "made"
        fitted: ClassVar[bool] = fits

        def build(self, context: BuildContext) -> Any:
            return build(context)

    return Made


def sampling(sample: Callable[[Any, int, torch.Generator], Any]) -> type[PriorSpec]:
    """The right prior, but for what it samples."""
    return prior(type("Sampling", (Shifted,), {"sample": sample}))


class Unfitted(Shifted):
    def fit(self, codes: Tensor) -> None: ...


class Plain(Shifted):
    """Keeps its mean outside of the state dict."""

    def fit(self, codes: Tensor) -> None:
        self.offset = codes.mean(0)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return super().sample(count, generator) + getattr(self, "offset", 0)


class Bare:
    """Has no state dict."""

    def __init__(self, context: BuildContext) -> None:
        self.dim = context.latent_dim

    def fit(self, codes: Tensor) -> None:
        self.mean = codes.mean(0)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.mean + torch.randn(count, self.dim, generator=generator)


class Collecting(Shifted):
    """Has a buffer whose shape comes with the codes."""

    def fit(self, codes: Tensor) -> None:
        self.mean = codes.mean(0)
        self.register_buffer("codes", codes)


def repeating(self: Shifted, count: int, generator: torch.Generator) -> Tensor:
    return self.mean + torch.linspace(-1, 1, count)[:, None]


def counting(self: Any, count: int, generator: torch.Generator) -> Tensor:
    self.calls = getattr(self, "calls", 0) + 1
    return Shifted.sample(self, count, generator) + self.calls


WRONG = [
    (
        "prior-samples",
        sampling(lambda self, count, generator: torch.zeros(count, 1)),
        "sample(1, generator) gives torch.float32 (1, 1); give float32 (1, 6)",
    ),
    (
        "prior-samples",
        sampling(lambda self, count, generator: Shifted.sample(self, count, generator).double()),
        "sample(1, generator) gives torch.float64 (1, 6); give float32 (1, 6)",
    ),
    (
        "prior-samples",
        sampling(lambda self, count, generator: None),
        "sample(1, generator) gives NoneType; give float32 (1, 6)",
    ),
    (
        "prior-samples",
        sampling(lambda self, count, generator: torch.full((count, 6), torch.nan)),
        "gives latents that are not finite",
    ),
    (
        "prior-seed",
        sampling(lambda self, count, generator: self.mean + torch.randn(count, 6)),
        "sample() draws from torch's default random stream; draw from the generator that it is "
        "given",
    ),
    (
        "prior-seed",
        sampling(repeating),
        "gives the same latents for another generator; draw from the one that is given",
    ),
    (
        "prior-seed",
        sampling(counting),
        "gives other latents for the same generator; keep nothing from call to call",
    ),
    (
        "prior-fit",
        prior(Unfitted),
        "gives the same latents whatever it is fitted to; write fitted = False",
    ),
    (
        "prior-fit",
        prior(Shifted, fits=False),
        "is changed by fit(), which is never called; write fitted = True",
    ),
    (
        "prior-state",
        prior(Bare),
        "has no state dict of tensors by name; make it a torch.nn.Module with buffers",
    ),
    (
        "prior-state",
        prior(Plain),
        "gives other latents after its state was loaded; keep all of it in buffers",
    ),
    (
        "prior-state",
        prior(Collecting),
        "its state cannot be kept as safetensors and loaded again: RuntimeError: ",
    ),
]


@pytest.mark.parametrize(
    ("check", "declared", "message"),
    [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(WRONG)],
)
def test_a_wrong_prior_is_caught(check: str, declared: type[PriorSpec], message: str) -> None:
    assert message in fault(check, declared)


def test_each_check_has_a_wrong_prior() -> None:
    assert {check for check, *_ in WRONG} == set(PRIOR)


@pytest.mark.parametrize("check", [*PRIOR, "builds", "seeded-build", "state-round-trip"])
@pytest.mark.parametrize("declared", [prior(Shifted), prior(Unfitted, fits=False)])
def test_right_priors_pass(check: str, declared: type[PriorSpec]) -> None:
    passes(check, declared)


class Features(nn.Module):
    """A right extractor."""

    note = "features of a test"

    def __init__(self, context: BuildContext) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Any:
        return x.flatten(1)[:, :2], None


def extractor(
    forward: Callable[[Tensor], Any] | None = None,
    network: type[nn.Module] = Features,
    **attributes: Any,
) -> Any:
    """The right extractor, but for its forward pass or attributes."""
    if forward is not None:
        attributes["forward"] = lambda self, x: forward(x)
    changed = type("Changed", (network,), attributes)

    class Made(ExtractorSpec):
        """An extractor of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            return changed(context)

    return Made


class Drawn(Features):
    """Has weights that the seed of the run decides."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.scale = nn.Parameter(torch.rand(()))

    def forward(self, x: Tensor) -> Any:
        return self.scale * x.flatten(1), None


WRONG_EXTRACTORS = [
    (
        "extractor-outputs",
        extractor(note=" "),
        "has no `note`; say in a text what a reader of the values has to know",
    ),
    (
        "extractor-outputs",
        extractor(lambda x: x.flatten(1)),
        "gives Tensor; return the pair of features (N, F) and logits (N, K), or None for the",
    ),
    (
        "extractor-outputs",
        extractor(lambda x: (x, None)),
        "gives features (1, 1, 8, 8) for 1 samples; give (1, ...)",
    ),
    (
        "extractor-outputs",
        extractor(lambda x: (x.flatten(1), x.mean().reshape(1, 1))),
        "gives logits (1, 1) for 3 samples; give (3, ...)",
    ),
    (
        "extractor-outputs",
        extractor(lambda x: (None, None)),
        "gives features None for 1 samples; give (1, ...)",
    ),
    (
        "extractor-outputs",
        extractor(lambda x: (x.flatten(1) / 0, None)),
        "gives features that are not finite with samples of shape (1, 8, 8)",
    ),
    (
        "extractor-outputs",
        extractor(lambda x: (x.flatten(1)[:, : len(x)], None)),
        "the number of features depends on the number of samples",
    ),
    (
        "fixed-features",
        extractor(lambda x: (x.flatten(1) + torch.randn(len(x), 1), None)),
        "gives other features for the same samples; draw nothing, and weights from generators with",
    ),
    (
        "fixed-features",
        extractor(network=Drawn),
        "gives other features for the same samples; draw nothing, and weights from generators with",
    ),
]


@pytest.mark.parametrize(
    ("check", "declared", "message"),
    [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(WRONG_EXTRACTORS)],
)
def test_a_wrong_extractor_is_caught(
    check: str, declared: type[ExtractorSpec], message: str
) -> None:
    assert message in fault(check, declared)


def test_each_check_has_a_wrong_extractor() -> None:
    assert {check for check, *_ in WRONG_EXTRACTORS} == set(EXTRACTOR)


@pytest.mark.parametrize("check", [*EXTRACTOR, "builds", "seeded-build"])
@pytest.mark.parametrize(
    "declared", [extractor(), extractor(lambda x: (x.flatten(1), x.flatten(1)[:, :1]))]
)
def test_right_extractors_pass(check: str, declared: type[ExtractorSpec]) -> None:
    passes(check, declared)
