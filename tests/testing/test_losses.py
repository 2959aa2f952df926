"""The checks of losses, regularizers and augmentations: each catches a component made wrong."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from handmade import (
    JOINT,
    PHASES,
    Changing,
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
from torch.nn.functional import one_hot, relu, softplus

from ganzoo.api import BuildContext, Phase, Role, Step
from ganzoo.specs import ComponentSpec
from ganzoo.testing import CHECKS, Skip, Wrong

MINE = [
    name for name, check in CHECKS.items() if check.function.__module__.endswith(".loss_checks")
]


def _ones(x: Tensor) -> tuple[int, ...]:
    return (1,) * (x.dim() - 1)


def _filled(x: Tensor) -> Tensor:
    x = x.clone()
    x[x > 0.1] = 0.0
    return x


def thawing(step: Step) -> Any:
    step.networks.discriminator.requires_grad_(True)
    return game(step)


def stepping(step: Step) -> Any:
    terms = game(step)
    terms["loss"].backward(retain_graph=True)
    return terms


def resting(step: Step) -> Any:
    step.networks.discriminator.eval()
    return game(step)


def naive(step: Step) -> Any:
    if step.phase == "generator":
        return {"loss": -step.fake_logits.sigmoid().log().mean()}
    return game(step)


def naive_pairs(step: Step) -> Any:
    return {"loss": -(step.real_logits - step.fake_logits).sigmoid().log().mean()}


def cheating(step: Step) -> Any:
    """Its generator phase looks at real samples."""
    return {**game(step), "seen": step.x.mean()}


def unlabelled(step: Step) -> Any:
    """Calls D without its labels."""
    if step.phase == "generator":
        return game(step)
    return {**game(step), "real": step.networks.discriminator(step.x).mean()}


class Centred(nn.Module):
    """Weights of a loss, as a parameter."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(context.sample_shape))

    def compute(self, step: Step) -> Any:
        return {"loss": squares(step.fake + self.centre, step)}


class Reference:
    """A loss that keeps a tensor on the CPU."""

    def __init__(self, context: BuildContext) -> None:
        self.reference = torch.zeros(context.sample_shape)

    def compute(self, step: Step) -> Any:
        return {"loss": squares(step.fake + self.reference, step)}


class Growing(Changing):
    """An augmentation that remembers how often it was called."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(lambda x: (), lambda x, draw: x)
        self.calls = 0

    def __call__(self, x: Tensor, draw: Any) -> Tensor:
        self.calls += 1
        return x + self.calls


class Running(nn.Module):
    """A loss of the distance to a running mean, which its calls move."""

    mean: Tensor

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def compute(self, step: Step) -> Any:
        mean = step.fake.mean()
        apart = (mean - self.mean).square()
        self.mean.lerp_(mean.detach(), 0.1)
        return {"loss": squares(step.fake, step) + apart}


class Growth(nn.Module):
    """A loss with a factor that its calls raise, and its gradient is taken with."""

    factor: Tensor

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.register_buffer("factor", torch.zeros(()))

    def compute(self, step: Step) -> Any:
        self.factor += 1
        return {"loss": squares(step.fake, step) * self.factor}


class Wide(nn.Module):
    """A loss in the features of a wide random network with many kinks."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        values = math.prod(context.sample_shape)
        self.features = nn.Sequential(nn.Linear(values, 3000), nn.ReLU()).requires_grad_(False)

    def compute(self, step: Step) -> Any:
        fake, real = (self.features(x.flatten(1)) for x in (step.fake, step.x))
        return {"loss": (fake - real).square().mean()}


def classified(step: Step) -> Any:
    """Looks at labels without waiting for the device."""
    weights = one_hot(step.labels, 4).float().mean(0)
    return {"loss": squares(step.fake, step) * weights.square().sum()}


def criticised(step: Step) -> Any:
    """Has a critic of codes, as an adversarial autoencoder has."""
    critic = step.networks["critic"]
    if step.phase == "critic":
        return {
            "loss": softplus(critic(step.code.detach())).mean() + softplus(-critic(step.z)).mean()
        }
    return {"loss": softplus(-critic(step.code)).mean() + squares(step.generate(step.code), step)}


CRITIC = {
    "critic": Phase(trains=frozenset({"critic"})),
    "coding": Phase(trains=frozenset({"generator", "encoder"})),
}
ONE = {"joint": Phase(trains=frozenset({"discriminator"}))}
UNREAD = {"generator": PHASES["generator"]}
ENCODER = {"joint": Phase(trains=frozenset({"generator", "encoder"}))}


def without_encoder(step: Step) -> Any:
    return {"loss": squares(step.generate(step.code.detach()), step)}


X = frozenset({"x"})
IMAGES = frozenset({"data.images"})
LONELY = nn.Parameter(torch.ones(2))
"""Weights that no module has."""

WRONG: list[tuple[str, type[ComponentSpec], str]] = [
    (
        "named-terms",
        generated(lambda fake: {"loss": softplus(-fake)}),
        "terms of phase 'generator': 'loss' has shape (8,); return its mean",
    ),
    (
        "named-terms",
        penalty(lambda step: {"size": step.real_logits.square()}),
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
        "'weight' is float; return a 0-d tensor, such as `step.x.new_tensor(0.5)`",
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
        loss(game, meanings={"generator/loss": "-E log D", "discriminator/loss": "the rest"}),
        "nothing is said of 'discriminator/D' in `terms`; say what it means there",
    ),
    (
        "named-terms",
        paired(lambda x, step: squares(x, step) + step.code.mean()),
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
        penalty(lambda step: {"size": step.real_logits.round().mean()}),
        "terms: no gradient reaches the discriminator",
    ),
    (
        "trains-its-networks",
        paired(lambda x, step: (0 * x).abs().sqrt().mean() + squares(x, step)),
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
        penalty(lambda step: {"size": slope(step).detach().mean() * step.real_logits.mean()}, by=X),
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
        penalty(lambda step: {"size": slope(step).square().sum(1).sqrt().mean()}, by=X),
        "the gradient to the discriminator is not finite where the discriminator gives 0 for every "
        "sample; a root of 0 has no gradient: take `torch.linalg.vector_norm`",
    ),
    (
        "finite-at-extremes",
        paired(
            lambda x, step: (1.0001 * x.square().mean() - x.mean()).mean() + (1 - x).log().mean()
        ),
        "'loss' is -inf where every pixel is -1 or 1; keep logarithms and roots away from 0",
    ),
    (
        "finite-at-extremes",
        loss(
            lambda step: {"loss": squares(step.fake, step) + (1 - step.x.abs()).sum().log()},
            phases=JOINT,
            needs=IMAGES,
        ),
        "'loss' is -inf where every pixel is -1 or 1",
    ),
    (
        "finite-at-extremes",
        loss(
            lambda step: {"loss": squares(step.fake, step).exp()},
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
        paired(lambda x, step: squares(x, step) + 0.1 * x.square().sum().sqrt()),
        "take the mean over the batch, not the sum",
    ),
    (
        "mean-over-the-batch",
        penalty(
            lambda step: {"size": (step.discriminate(step.x + torch.rand_like(step.x)) + 1).sum()}
        ),
        "terms: 'size' is ",
    ),
    (
        "mean-over-the-batch",
        generated(lambda fake: {"loss": softplus(-fake).mean() / len(fake)}),
        "it vanishes in large batches: divide by the batch size once",
    ),
    (
        "scheduled-phases",
        loss(game, phases={"fake/critic": Phase(trains=frozenset({"discriminator"}))}),
        "the phase 'fake/critic' has no name that a schedule can run; take a word",
    ),
    (
        "named-terms",
        loss(unlabelled),
        "terms of phase 'discriminator' and labels: a network is called without labels "
        "(test_losses.py:",
    ),
    (
        "named-terms",
        penalty(lambda step: {"size": step.networks.discriminator(step.x).square().mean()}),
        "terms and labels: a network is called without labels",
    ),
    (
        "named-terms",
        loss(
            lambda step: {"loss": (step.real_logits * step.x.mean((1, 2, 3))).mean()},
            phases=ONE,
            needs=IMAGES,
        ),
        "RuntimeError: The size of tensor a (4) must match the size of tensor b (8)",
    ),
    (
        "reads-data",
        loss(
            lambda step: {"loss": step.discriminate(step.fake).mean()},
            phases=UNREAD,
            needs=frozenset({"discriminator"}),
        ),
        "terms of phase 'generator' and labels: 'loss' changes with the real samples or their ",
    ),
    (
        "reads-data",
        loss(cheating),
        "terms of phase 'generator': 'seen' changes with the real samples or their labels, "
        "but the phase says reads_data=False; take that out",
    ),
    (
        "reads-data",
        paired(lambda x, step: x.square().mean()),
        "terms of phase 'joint': none changes with the real samples, their labels or indices; "
        "declare the phase with reads_data=False",
    ),
    (
        "no-host-sync",
        paired(lambda x, step: squares(x, step) * float(x.detach().mean())),
        "terms of phase 'joint': a number is read (`.item()`, `float()`, `if` on a tensor) "
        "(test_losses.py:",
    ),
    (
        "no-host-sync",
        paired(lambda x, step: squares(x, step) + sum(x.mean(1).flatten().tolist())),
        "values are copied to the host (`.tolist()`)",
    ),
    (
        "no-host-sync",
        paired(lambda x, step: squares(x, step) + x.detach().numpy().mean()),
        "values are copied to the host (`.numpy()`)",
    ),
    (
        "no-host-sync",
        paired(lambda x, step: x[x > 0].mean() + squares(x, step)),
        "values are counted (`x[mask]`; take `torch.where` or `masked_fill`)",
    ),
    (
        "no-host-sync",
        penalty(lambda step: {"size": step.real_logits.mean() * len(step.labels.unique())}),
        "values are counted (`unique`)",
    ),
    (
        "no-host-sync",
        augmentation(lambda x, draw: -x if draw < 0.5 else x, lambda x: torch.rand(())),
        "terms: a number is read",
    ),
    (
        "follows-its-device",
        loss(build=Reference, phases=JOINT),
        "`reference` stayed on the CPU: make it of plain numbers, on the device of what comes in",
    ),
    (
        "follows-its-device",
        augmentation(lambda x, draw: x + draw, lambda x: torch.rand(x.shape)),
        "on another device than the CPU it fails: RuntimeError: ",
    ),
    (
        "follows-its-device",
        generated(lambda fake: {"loss": fake.mean(), "weights": (1 * LONELY).sum()}),
        "terms of phase 'generator': 'weights' is on the CPU whatever the device; make tensors on",
    ),
    (
        "augmented-shape",
        augmentation(lambda x, draw: x[..., 1:] if x.dim() == 4 else x),
        "makes (1, 1, 8, 7) of (1, 1, 8, 8); keep the shape",
    ),
    (
        "augmented-shape",
        augmentation(lambda x, draw: x * draw, lambda x: torch.rand(x.shape, dtype=torch.float64)),
        "makes torch.float64 of torch.float32; draw numbers in `dtype=x.dtype`",
    ),
    (
        "augmented-shape",
        augmentation(lambda x, draw: x / x.std(0, correction=0)),
        "makes values that are not finite with samples of shape (1, 8, 8)",
    ),
    (
        "augmentation-gradient",
        augmentation(lambda x, draw: (x * 127.5).round() / 127.5),
        "has no gradient to the samples with samples of shape (1, 8, 8); do not detach, round or",
    ),
    (
        "augmentation-gradient",
        augmentation(lambda x, draw: x.detach()),
        "has no gradient to the samples",
    ),
    (
        "augmentation-gradient",
        augmentation(lambda x, draw: Frozen.apply(x)),
        "cannot be differentiated twice, as R1 and gradient penalties do",
    ),
    (
        "augmentation-gradient",
        augmentation(lambda x, draw: x + (0 * x).sqrt()),
        "has a gradient to the samples that is not finite, with samples of shape (1, 8, 8)",
    ),
    (
        "augmentation-draw",
        augmentation(lambda x, draw: x + torch.rand_like(x)),
        "`__call__` draws from torch's default random stream; draw in `draw`, and let `__call__`",
    ),
    (
        "augmentation-draw",
        augmentation(build=Growing),
        "makes other samples of the same draw; put all that is random into `draw`",
    ),
    (
        "augmentation-draw",
        augmentation(lambda x, draw: x, lambda x: torch.rand(len(x))),
        "makes the same samples whatever the draw is; let `__call__` use it",
    ),
    (
        "augmentation-draw",
        augmentation(lambda x, draw: x * draw, lambda x: float(torch.rand(()))),
        "; give tensors, on the device of the samples",
    ),
    (
        "augmentation-seed",
        augmentation(build=Growing),
        "makes other samples under the same seed; draw by `torch.rand` and the like, and keep",
    ),
    (
        "augmentation-input",
        augmentation(lambda x, draw: x.add_(1)),
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
    assert len(MINE) == 15


RIGHT = {
    "game": loss(game),
    "squares": paired(squares),
    "weights": loss(build=Centred, phases=JOINT, has_weights=True),
    "running mean": loss(build=Running, phases=JOINT),
    "growth": loss(build=Growth, phases=JOINT),
    "kinks": loss(build=Wide, phases=JOINT),
    "labels": loss(classified, phases=JOINT),
    "critic": loss(
        criticised,
        phases=CRITIC,
        needs=frozenset({"encoder"}),
        networks={"critic": Role(kind="discriminator", sees="codes")},
    ),
    "stopped": paired(
        lambda x, step: squares(x.detach() + x - x.detach(), step) + (x * x.detach()).mean(),
        stops_gradients=True,
    ),
    "density": loss(
        lambda step: {"loss": -step.networks.generator.log_prob(step.x).mean()},
        phases=JOINT,
        needs=frozenset({"generator.log_prob"}),
    ),
    # Without bias and so not the same for a batch that is repeated.
    "variance": paired(lambda x, step: squares(x, step) + x.var(0).mean()),
    "noise": paired(lambda x, step: squares(x + torch.randn_like(x), step)),
    # Without counting where the mask is true.
    "filled": paired(lambda x, step: squares(_filled(x), step)),
    "one-sided": penalty(
        lambda step: {"size": relu(vector_norm(slope(step), dim=1) - 1).square().mean()}, by=X
    ),
    "flip": augmentation(
        lambda x, draw: torch.where(draw.view(-1, *_ones(x)) < 0.5, x, -x),
        lambda x: torch.rand(len(x), device=x.device),
    ),
}


SKIPPED = {("critic", "scheduled-phases"), ("stopped", "true-gradient")}


@pytest.mark.parametrize("name", RIGHT)
def test_right_components_pass(name: str) -> None:
    declared, tried = RIGHT[name], 0
    for check in MINE:
        if declared.kind in CHECKS[check].kinds:
            tried += 1
            if (name, check) not in SKIPPED:
                make(check, declared)
    assert tried == {"loss": 10, "regularizer": 8, "augmentation": 7}[declared.kind]


def test_phases_that_no_schedule_runs_by_itself_are_skipped_with_what_recipes_need() -> None:
    with pytest.raises(Skip) as caught:
        make("scheduled-phases", RIGHT["critic"])
    assert str(caught.value) == (
        "no schedule runs coding, critic by itself; recipes need schedule = "
        '{ type = "sequence", groups = [["critic"], ["coding"]] }: say so in the docstring'
    )
    make("scheduled-phases", RIGHT["game"])


def test_a_phase_that_stops_gradients_is_skipped() -> None:
    with pytest.raises(Skip, match="phase 'joint' stops gradients on purpose"):
        make("true-gradient", RIGHT["stopped"])


def test_noise_that_does_not_fit_a_repeated_batch_is_skipped() -> None:
    declared = paired(lambda x, step: squares(x, step) + torch.rand(len(x) + 1).mean())
    with pytest.raises(Skip, match=r"draws noise of shape \(9,\) for a batch and of shape \(17,"):
        make("mean-over-the-batch", declared)


def test_noise_that_is_drawn_sample_by_sample_is_skipped() -> None:
    declared = paired(lambda x, step: squares(x, step) + sum(torch.rand(()) for _ in x))
    with pytest.raises(Skip, match="it draws more often for a batch that is repeated"):
        make("mean-over-the-batch", declared)


def test_a_loss_for_float32_alone_has_no_gradient_to_compare() -> None:
    weight = torch.ones(1, 1)
    declared = paired(lambda x, step: squares(x.flatten(1)[:, :1] @ weight, step))
    with pytest.raises(Skip, match="it cannot compute in float64: RuntimeError: "):
        make("true-gradient", declared)


def test_a_misspelt_need_is_wrong() -> None:
    with pytest.raises(Wrong, match=r"needs 'data.image', .* did you mean 'data.images'\?"):
        make("named-terms", loss(game, needs=frozenset({"data.image"})))


def test_a_loss_that_needs_what_nobody_offers_is_skipped() -> None:
    with pytest.raises(Skip, match="it needs discriminator with wings, and no installed plugin"):
        make("named-terms", loss(game, needs=frozenset({"discriminator.wings"})))
