"""The reconstruction error of held-out and of training samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ganzoo_autoencoder import (
    ElboLoss,
    MmdLoss,
    PairedCodesLoss,
    ReconstructionErrorMetric,
    ReconstructionLoss,
)
from torch import Tensor, nn

from ganzoo.api import BuildContext, LossSpec, Networks, UserError
from ganzoo.engine import Data, Samples
from ganzoo.engine.step import Batch, Step, View

STREAM = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (150, 1, 4, 4), generator=STREAM, dtype=torch.uint8)
OTHERS = torch.randint(0, 100, (250, 1, 4, 4), generator=STREAM, dtype=torch.uint8)

PLAIN = ReconstructionLoss()
PLAIN_VIEW = View()


class Constant(nn.Module):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, z: Tensor) -> Tensor:
        return self.value.expand(len(z), *self.value.shape)


class Shift(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z + 0.5


def measure(
    encoder: nn.Module,
    decoder: nn.Module,
    data: Any,
    *,
    loss: LossSpec = PLAIN,
    view: View = PLAIN_VIEW,
    **keys: Any,
) -> dict[str, float]:
    shape = tuple(data.train.values.shape[1:])
    networks = Networks({"encoder": encoder.eval(), "generator": decoder.eval()})

    def step(x: Tensor, labels: Tensor | None = None) -> Step:
        return Step("", networks, Batch(x, torch.zeros(len(x), 2), labels, labels), view=view)

    context = BuildContext(
        sample_shape=shape,
        latent_dim=2,
        num_classes=3 if view.conditional else None,
        training_samples=len(data.train),
    )
    metric = ReconstructionErrorMetric(**keys).build(
        replace(context, data=data, loss=loss.build(context), step=step)
    )
    metric.update(torch.zeros(2, *shape), real=True)
    metric.update(torch.zeros(2, *shape), real=False)
    return dict(metric.compute())


class Disk:
    """The images read one by one."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.values[index], -1


def test_a_perfect_autoencoder_has_no_error() -> None:
    data = Data(Samples(OTHERS), Samples(IMAGES))
    values = measure(nn.Identity(), nn.Identity(), data)
    assert values == {"reconstruction-error": 0, "training": 0}


def test_the_error_of_a_constant_one_is_the_variance_of_the_pixels() -> None:
    p = IMAGES.double() / 255
    decoder = Constant((2 * p.mean(0) - 1).float())
    values = measure(nn.Identity(), decoder, Data(Samples(IMAGES), Samples(IMAGES)))
    variance = float(p.var(0, correction=0).mean())
    assert values["reconstruction-error"] == pytest.approx(variance, rel=1e-5)
    assert values["training"] == pytest.approx(variance, rel=1e-5)


def test_held_out_and_training_samples_are_not_mixed_up() -> None:
    data = Data(Samples(OTHERS), Samples(IMAGES))
    values = measure(nn.Identity(), Constant(-torch.ones(1, 4, 4)), data, samples=1000)
    # All held-out samples; of the training ones as many, not all.
    held_out = float((IMAGES.double() / 255).square().mean())
    assert values["reconstruction-error"] == pytest.approx(held_out, rel=1e-5)
    squares = (OTHERS.double() / 255).square().mean((1, 2, 3))
    assert float(squares.min()) < values["training"] < float(squares.max())
    assert values["training"] != pytest.approx(float(squares.mean()), rel=1e-5)
    assert values["training"] == pytest.approx(float(squares.mean()), rel=0.05)


def test_points_are_measured_in_their_own_units() -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    values = measure(nn.Identity(), Shift(), Data(Samples(points), Samples(points)))
    assert values["reconstruction-error"] == pytest.approx(0.25)


class Labelled(nn.Module):
    """An identity that adds the class."""

    def forward(self, value: Tensor, labels: Tensor) -> Tensor:
        return value + labels[:, None]


def test_conditional_networks_get_the_classes_of_the_held_out_samples() -> None:
    labels = torch.arange(3).repeat(50)
    points = torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    data = Data(Samples(points, labels), Samples(points + 1, labels))
    view = View(conditional=frozenset({"encoder", "generator"}))
    values = measure(Labelled(), Labelled(), data, view=view)
    # Twice the class, squared: 0, 4 and 16.
    assert values["reconstruction-error"] == pytest.approx(20 / 3)


def test_without_held_out_samples_both_values_are_of_training_ones() -> None:
    values = measure(nn.Identity(), Constant(torch.zeros(1, 4, 4)), Data(Samples(IMAGES)))
    assert values["reconstruction-error"] == values["training"] > 0


def test_samples_on_disk_give_the_same_values() -> None:
    decoder = Constant(torch.zeros(1, 4, 4))
    memory = measure(nn.Identity(), decoder, Data(Samples(OTHERS), Samples(IMAGES)), samples=60)
    disk = measure(nn.Identity(), decoder, Data(Disk(OTHERS), Disk(IMAGES)), samples=60)
    assert memory == disk


class Encoder(nn.Linear):
    """Images to codes of length 2, or to the mean and log-variance of such."""

    def __init__(self, *, variance: bool) -> None:
        super().__init__(16, 4 if variance else 2)
        self.variance = variance

    def forward(self, x: Tensor) -> Any:
        code = super().forward(x.flatten(1))
        return code.chunk(2, 1) if self.variance else code


class Decoder(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 16)

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).tanh().view(-1, 1, 4, 4)


@pytest.mark.parametrize("loss", [ReconstructionLoss(), ElboLoss(), MmdLoss()], ids=repr)
def test_every_loss_with_an_encoder_repeats_its_values(loss: LossSpec) -> None:
    torch.manual_seed(0)
    encoder, decoder = Encoder(variance=isinstance(loss, ElboLoss)), Decoder()
    data = Data(Samples(OTHERS), Samples(IMAGES))
    values = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        values.append(measure(encoder, decoder, data, loss=loss))
        assert torch.equal(torch.get_rng_state(), before)
    assert values[0] == values[1]
    if not isinstance(loss, ElboLoss):
        x = IMAGES.float() / 127.5 - 1
        expected = ((decoder(encoder(x)) - x) / 2).square().mean().detach()
        assert values[0]["reconstruction-error"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_a_loss_with_codes_of_training_samples_only_is_refused(learned: bool) -> None:
    data = Data(Samples(OTHERS), Samples(IMAGES))
    with pytest.raises(
        UserError,
        match=r"metric 'reconstruction-error' needs codes of held-out samples, but the loss knows"
        r" those of training samples only",
    ) as caught:
        measure(Encoder(variance=False), Decoder(), data, loss=PairedCodesLoss(learned=learned))
    assert caught.value.hint == "remove the metric, or take a loss that trains the encoder"
