"""The checks of losses, regularizers and augmentations: each catches a component made wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from handmade import (
    JOINT,
    Frozen,
    augmentation,
    game,
    generated,
    loss,
    make,
    paired,
    penalty,
    slope,
    squares,
)
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import relu, softplus

from ganzoo.api import Batch, BuildContext, Networks, Phase
from ganzoo.specs import ComponentSpec
from ganzoo.testing import CHECKS, Skip, Wrong

MINE = [
    name
    for name, check in CHECKS.items()
    if check.function.__module__.endswith((".losses", ".augmentations"))
]


def _ones(x: Tensor) -> tuple[int, ...]:
    return (1,) * (x.dim() - 1)


def _filled(x: Tensor) -> Tensor:
    x = x.clone()
    x[x > 0.1] = 0.0
    return x


def thawing(phase: str, networks: Networks, batch: Batch) -> Any:
    networks.discriminator.requires_grad_(True)
    return game(phase, networks, batch)


def stepping(phase: str, networks: Networks, batch: Batch) -> Any:
    terms = game(phase, networks, batch)
    terms["loss"].backward(retain_graph=True)
    return terms


def resting(phase: str, networks: Networks, batch: Batch) -> Any:
    networks.discriminator.eval()
    return game(phase, networks, batch)


def naive(phase: str, networks: Networks, batch: Batch) -> Any:
    fake = networks.discriminator(networks.generator(batch.z))
    if phase == "generator":
        return {"loss": -fake.sigmoid().log().mean()}
    return game(phase, networks, batch)


def naive_pairs(phase: str, networks: Networks, batch: Batch) -> Any:
    real, fake = (
        networks.discriminator(batch.x),
        networks.discriminator(networks.generator(batch.z)),
    )
    return {"loss": -(real - fake).sigmoid().log().mean()}


def cheating(phase: str, networks: Networks, batch: Batch) -> Any:
    """Its generator phase looks at real samples."""
    terms = dict(game(phase, networks, batch))
    terms["seen"] = batch.x.mean()
    return terms


class Centred(nn.Module):
    """Weights of a loss, as a parameter."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(context.sample_shape))

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Any:
        return {"loss": squares(networks.generator(batch.z) + self.centre, batch)}


class Reference:
    """A loss that keeps a tensor on the CPU."""

    def __init__(self, context: BuildContext) -> None:
        self.reference = torch.zeros(context.sample_shape)

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Any:
        return {"loss": squares(networks.generator(batch.z) + self.reference, batch)}


class Growing:
    """An augmentation that remembers how often it was called."""

    def __init__(self, context: BuildContext) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, iteration: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


ENCODER = {"joint": Phase(trains=frozenset({"generator", "encoder"}))}


def without_encoder(phase: str, networks: Networks, batch: Batch) -> Any:
    return {"loss": squares(networks.generator(networks.encoder(batch.x).detach()), batch)}


WRONG: list[tuple[str, type[ComponentSpec], str]] = [
    (
        "named-terms",
        generated(lambda fake: {"loss": softplus(-fake)}),
        "terms of phase 'generator': 'loss' has shape (8,); return its mean",
    ),
    (
        "named-terms",
        penalty(lambda d, batch: {"size": d(batch.x).square()}),
        "terms: 'size' has shape (8,); return its mean",
    ),
    (
        "named-terms",
        generated(lambda fake: fake.mean()),
        "; return a dict of tensors by name",
    ),
    ("named-terms", generated(lambda fake: {}), "terms of phase 'generator': {}; return a dict"),
    (
        "named-terms",
        generated(lambda fake: {"loss": fake.mean(), "weight": 0.5}),
        "'weight' is float; return a 0-d tensor, such as `batch.x.new_tensor(0.5)`",
    ),
    (
        "named-terms",
        generated(lambda fake: {"loss": fake.mean(), "sure": (fake > 0).sum()}),
        "'sure' is of torch.int64; return `.float()` of it",
    ),
    ("named-terms", generated(lambda fake: {0: fake.mean()}), "0 is no name; write a short text"),
    (
        "named-terms",
        generated(lambda fake: {"loss": (fake - 100).log().mean()}),
        "'loss' is nan for an ordinary batch",
    ),
    (
        "named-terms",
        generated(lambda fake: {"total": fake.mean()}),
        "the engine calls the sum 'total'; take another name",
    ),
    (
        "named-terms",
        paired(lambda x, batch: squares(x, batch) + None),
        "; if it uses another network than generator, name that in `needs`, or in `trains` of the",
    ),
    (
        "trains-its-networks",
        generated(lambda fake: {"loss": fake.detach().mean()}),
        "terms of phase 'generator': none of 'loss' carries a gradient; do not detach what is",
    ),
    (
        "trains-its-networks",
        loss(without_encoder, phases=ENCODER, needs=frozenset({"encoder"})),
        "terms of phase 'joint': no gradient reaches the encoder; do not detach what comes of it, "
        "or take it out of `trains` of the phase",
    ),
    (
        "trains-its-networks",
        penalty(lambda d, batch: {"size": d(batch.x).round().mean()}),
        "terms: no gradient reaches the discriminator",
    ),
    (
        "trains-its-networks",
        paired(lambda x, batch: (0 * x).abs().sqrt().mean() + squares(x, batch)),
        "the gradient to the generator is not finite for an ordinary batch",
    ),
    (
        "trains-its-networks",
        loss(build=Centred, phases=JOINT),
        "has weights that nothing trains; let `has_weights` return True",
    ),
    (
        "trains-its-networks",
        loss(build=Reference, phases=JOINT, has_weights=True),
        "`has_weights` is true, but `build` returns Reference without weights to train",
    ),
    (
        "leaves-others-alone",
        loss(thawing),
        "terms of phase 'generator': `compute` leaves the discriminator in another mode, or "
        "freezes or thaws it; put `train()` and `requires_grad_()` back",
    ),
    ("leaves-others-alone", loss(resting), "`compute` leaves the discriminator in another mode"),
    (
        "leaves-others-alone",
        loss(stepping),
        "`compute` leaves a gradient on the discriminator; take gradients by",
    ),
    (
        "true-gradient",
        generated(lambda fake: {"loss": (fake * fake.detach()).mean()}),
        "terms of phase 'generator': along a direction of the generator's weights the value",
    ),
    (
        "true-gradient",
        penalty(lambda d, batch: {"size": slope(d, batch.x).detach().mean() * d(batch.x).mean()}),
        "terms: along a direction of the discriminator's weights the value changes by",
    ),
    (
        "true-gradient",
        generated(lambda fake: {"loss": fake.float().mean()}),
        "'loss' is computed in torch.float32 from samples in float64; cast nothing",
    ),
    (
        "finite-at-extremes",
        loss(naive),
        "terms of phase 'generator': 'loss' is inf where logits are 1e4 or -1e4; write -log",
    ),
    (
        "finite-at-extremes",
        loss(naive_pairs, phases={"joint": Phase(trains=frozenset({"discriminator"}))}),
        "terms of phase 'joint': 'loss' is inf where logits are 1e4 or -1e4",
    ),
    (
        "finite-at-extremes",
        penalty(lambda d, batch: {"size": slope(d, batch.x).square().sum(1).sqrt().mean()}),
        "the gradient to the discriminator is not finite where the discriminator gives 0 for every "
        "sample; a root of 0 has no gradient: take `torch.linalg.vector_norm`",
    ),
    (
        "finite-at-extremes",
        paired(
            lambda x, batch: (1.0001 * x.square().mean() - x.mean()).mean() + (1 - x).log().mean()
        ),
        "'loss' is -inf where every pixel is -1 or 1; keep logarithms and roots away from 0",
    ),
    (
        "finite-at-extremes",
        loss(
            lambda phase, networks, batch: {
                "loss": squares(networks.generator(batch.z), batch).exp()
            },
            phases=JOINT,
            needs=frozenset({"data.points"}),
        ),
        "'loss' is inf where points are a hundred times as far out; keep",
    ),
    (
        "mean-over-the-batch",
        generated(lambda fake: {"loss": softplus(-fake).sum()}),
        "for a batch, the same batch twice and four times; take the mean over the batch, not the",
    ),
    (
        "mean-over-the-batch",
        paired(lambda x, batch: squares(x, batch) + 0.1 * x.square().sum().sqrt()),
        "take the mean over the batch, not the sum",
    ),
    (
        "mean-over-the-batch",
        penalty(lambda d, batch: {"size": (d(batch.x + torch.rand_like(batch.x)) + 1).sum()}),
        "terms: 'size' is ",
    ),
    (
        "mean-over-the-batch",
        generated(lambda fake: {"loss": softplus(-fake).mean() / len(fake)}),
        "it vanishes in large batches: divide by the batch size once",
    ),
    (
        "reads-data",
        loss(cheating),
        "terms of phase 'generator': 'seen' changes with the real samples, but the phase says "
        "reads_data=False; take that out",
    ),
    (
        "reads-data",
        paired(lambda x, batch: x.square().mean()),
        "terms of phase 'joint': none changes with the real samples, their labels or indices; "
        "declare the phase with reads_data=False",
    ),
    (
        "no-host-sync",
        paired(lambda x, batch: squares(x, batch) * float(x.detach().mean())),
        "terms of phase 'joint': a number is read (`.item()`, `float()`, `if` on a tensor) "
        "(test_losses.py:",
    ),
    (
        "no-host-sync",
        paired(lambda x, batch: squares(x, batch) + sum(x.mean(1).flatten().tolist())),
        "values are copied to the host (`.tolist()`)",
    ),
    (
        "no-host-sync",
        paired(lambda x, batch: squares(x, batch) + x.detach().numpy().mean()),
        "values are copied to the host (`.numpy()`)",
    ),
    (
        "no-host-sync",
        paired(lambda x, batch: x[x > 0].mean() + squares(x, batch)),
        "values are counted (`x[mask]`; take `torch.where` or `masked_fill`)",
    ),
    (
        "no-host-sync",
        penalty(lambda d, batch: {"size": d(batch.x).mean() * len(batch.labels.unique())}),
        "values are counted (`unique`)",
    ),
    (
        "no-host-sync",
        augmentation(lambda x: -x if torch.rand(()) < 0.5 else x),
        "terms: a number is read",
    ),
    (
        "follows-its-device",
        loss(build=Reference, phases=JOINT),
        "`reference` stayed on the CPU: make it of plain numbers, on the device of what comes in",
    ),
    (
        "follows-its-device",
        augmentation(lambda x: x + torch.rand(x.shape)),
        "on another device than the CPU it fails: RuntimeError: ",
    ),
    (
        "follows-its-device",
        generated(lambda fake: {"loss": fake.mean(), "weight": torch.tensor(0.5)}),
        "terms of phase 'generator': 'weight' is on the CPU whatever the device; make tensors on",
    ),
    (
        "augmented-shape",
        augmentation(lambda x: x[..., 1:] if x.dim() == 4 else x),
        "makes (1, 1, 8, 7) of (1, 1, 8, 8); keep the shape",
    ),
    (
        "augmented-shape",
        augmentation(lambda x: x * torch.rand(x.shape, dtype=torch.float64)),
        "makes torch.float64 of torch.float32; draw numbers in `dtype=x.dtype`",
    ),
    (
        "augmented-shape",
        augmentation(lambda x: x / x.std(0, correction=0)),
        "makes values that are not finite of samples of shape (1, 8, 8)",
    ),
    (
        "augmentation-gradient",
        augmentation(lambda x: (x * 127.5).round() / 127.5),
        "no gradient goes through it to the samples; do not detach, round or index by values",
    ),
    ("augmentation-gradient", augmentation(lambda x: x.detach()), "no gradient goes through it"),
    (
        "augmentation-gradient",
        augmentation(Frozen.apply),
        "cannot be differentiated twice, as R1 and gradient penalties do",
    ),
    (
        "augmentation-gradient",
        augmentation(lambda x: x + (0 * x).sqrt()),
        "has a gradient that is not finite; a root of 0 does this",
    ),
    (
        "augmentation-seed",
        augmentation(build=Growing),
        "makes other samples under the same seed; draw from torch's default stream, with",
    ),
    (
        "augmentation-input",
        augmentation(lambda x: x.add_(1)),
        "changes the samples that it is given; write no operation in place on x",
    ),
]


@pytest.mark.parametrize(
    ("check", "declared", "message"),
    [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(WRONG)],
)
def test_a_wrong_component_is_caught(
    check: str, declared: type[ComponentSpec], message: str
) -> None:
    with pytest.raises(Wrong, match=re.escape(message)) as caught:
        make(check, declared)
    assert f"why it matters: {CHECKS[check].why}" in str(caught.value)


def test_each_check_has_a_wrong_component() -> None:
    assert {check for check, *_ in WRONG} == set(MINE)
    assert len(MINE) == 13


RIGHT = {
    "game": loss(game),
    "squares": paired(squares),
    "weights": loss(build=Centred, phases=JOINT, has_weights=True),
    "density": loss(
        lambda phase, networks, batch: {"loss": -networks.generator.log_prob(batch.x).mean()},
        phases=JOINT,
        needs=frozenset({"generator.log_prob"}),
    ),
    # Without bias and so not the same for a batch that is repeated.
    "variance": paired(lambda x, batch: squares(x, batch) + x.var(0).mean()),
    "noise": paired(lambda x, batch: squares(x + torch.randn_like(x), batch)),
    # Without counting where the mask is true.
    "filled": paired(lambda x, batch: squares(_filled(x), batch)),
    "one-sided": penalty(
        lambda d, batch: {"size": relu(vector_norm(slope(d, batch.x), dim=1) - 1).square().mean()}
    ),
    "flip": augmentation(
        lambda x: torch.where(torch.rand(len(x), device=x.device).view(-1, *_ones(x)) < 0.5, x, -x)
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_components_pass(name: str) -> None:
    declared, tried = RIGHT[name], 0
    for check in MINE:
        if declared.kind in CHECKS[check].kinds:
            make(check, declared)
            tried += 1
    assert tried == {"loss": 9, "regularizer": 8, "augmentation": 6}[declared.kind]


def test_noise_that_does_not_fit_a_repeated_batch_is_skipped() -> None:
    declared = paired(lambda x, batch: squares(x, batch) + torch.rand(len(x) + 1).mean())
    with pytest.raises(Skip, match=r"draws noise of shape \(9,\) for a batch and of shape \(17,"):
        make("mean-over-the-batch", declared)


def test_noise_that_is_drawn_sample_by_sample_is_skipped() -> None:
    declared = paired(lambda x, batch: squares(x, batch) + sum(torch.rand(()) for _ in x))
    with pytest.raises(Skip, match="it draws more often for a batch that is repeated"):
        make("mean-over-the-batch", declared)


def test_a_loss_for_float32_alone_has_no_gradient_to_compare() -> None:
    weight = torch.ones(1, 1)
    declared = paired(lambda x, batch: squares(x.flatten(1)[:, :1] @ weight, batch))
    with pytest.raises(Skip, match="it cannot compute in float64: RuntimeError: "):
        make("true-gradient", declared)


def test_a_misspelt_need_is_wrong() -> None:
    with pytest.raises(Wrong, match=r"needs 'data.image', .* did you mean 'data.images'\?"):
        make("named-terms", loss(game, needs=frozenset({"data.image"})))


def test_a_loss_that_needs_what_nobody_offers_is_skipped() -> None:
    with pytest.raises(Skip, match="it needs discriminator with wings, and no installed plugin"):
        make("named-terms", loss(game, needs=frozenset({"discriminator.wings"})))
