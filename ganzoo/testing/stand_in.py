"""What a metric is told when it is checked: samples, and features of them that cost nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ganzoo.engine.context import context_for
from ganzoo.engine.data import Data
from ganzoo.engine.random import generator_for, seeded
from ganzoo.errors import UserError
from ganzoo.evaluation.classifier import take
from ganzoo.evaluation.extractors import Extractor, Seen
from ganzoo.protocols import Metric
from ganzoo.specs import NETWORKS, BuildContext, ComponentSpec, MetricSpec
from ganzoo.testing import parts
from ganzoo.testing.checks import Wrong
from ganzoo.testing.surroundings import CLASSES, CPU, IMAGES, LARGER, POINTS, Surroundings

SAMPLES = 256
"""Training samples, and held-out ones."""
FEATURES = 8


class Projection(nn.Module):
    """Samples to `FEATURES` features (points of fewer values as they are) and class logits.

    A fixed random rotation: features of uniform noise are about normal and independent.
    """

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        super().__init__()
        stream, values = generator_for(0, "kit", "features"), math.prod(sample_shape)
        kept = min(FEATURES, values)
        square = torch.randn(values, kept, generator=stream)
        rotation = torch.linalg.qr(square).Q if kept < values else torch.eye(values)
        self.rotation = nn.Parameter(rotation)
        self.head = nn.Parameter(4 * torch.randn(kept, CLASSES, generator=stream))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = x.flatten(1) @ self.rotation
        return features, features @ self.head


@dataclass(frozen=True)
class Features:
    """What metrics use of `ganzoo.evaluation.Features`, without a classifier to train."""

    data: Data
    extractor: Extractor
    training: Seen
    held_out: Seen

    @classmethod
    def of(cls, data: Data, sample_shape: tuple[int, ...]) -> Features:
        """The first samples of the data, as a fixed random projection sees them."""
        network = Projection(sample_shape).requires_grad_(False).eval()
        extractor = Extractor("kit", network, "a fixed random projection")
        held_out = data.train if data.held_out is None else data.held_out
        training, apart = (
            extractor(take(part, torch.arange(min(SAMPLES, len(part))))[0])
            for part in (data.train, held_out)
        )
        return cls(data, extractor, training, apart)


def told(
    world: Surroundings, features: Features | None = None
) -> tuple[ComponentSpec, BuildContext]:
    """The declaration of a world, and what the world tells it."""
    data, networks, loss = world.data, world.networks, world.loss
    context = context_for(
        world.spec, world.context, data=data, networks=networks, loss=loss, features=features
    )
    return world.spec, context


def measured(spec: ComponentSpec) -> tuple[ComponentSpec, BuildContext]:
    """A metric's declaration and what it is told, in the first world in which it has figures.

    It is given a generator that has learned nothing, in evaluation mode as all its networks are.
    """
    assert isinstance(spec, MetricSpec)
    refusals = []
    for shape in (*IMAGES, *POINTS, *LARGER):
        if ("data.points" in spec.needs and len(shape) == 3) or (
            "data.images" in spec.needs and len(shape) == 1
        ):
            continue
        world = _World(spec, shape)
        told_of = told(world, Features.of(world.data, world.sample_shape))[1]
        try:
            with seeded(0, "initialisation", device=CPU):
                metric = spec.build(told_of)
            samples = real(spec, told_of)
            give(metric, samples, samples)
            if metric.compute():
                return spec, told_of
            refusals.append("compute() gives no figure")
        except UserError as error:
            refusals.append(error.message)
    raise Wrong(f"refuses samples of every shape that was tried: {refusals[0]}")


class _World(Surroundings):
    """A world with enough samples, and with networks that suit the loss where one is needed."""

    @cached_property
    def data(self) -> Data:
        if super()._capabilities("data") <= parts.DATA_PROVIDES:
            return parts.make_data(self.sample_shape, CLASSES, training=SAMPLES, held_out=SAMPLES)
        return super().data

    @cached_property
    def networks(self) -> dict[str, nn.Module]:
        networks = super().networks
        for network in networks.values():
            network.requires_grad_(False).eval()
        return networks

    def _capabilities(self, slot: str) -> frozenset[str]:
        own = super()._capabilities(slot)
        wanted = super()._capabilities("loss")
        if slot not in NETWORKS or not wanted:
            return own
        # The loss that will be found, as it is found when it is built.
        loss = self._provider("loss", "loss", wanted)
        return own | Surroundings(loss, self.sample_shape)._capabilities(slot)


def real(spec: MetricSpec, context: BuildContext) -> Tensor:
    """The held-out samples as the metric reads them, float32 `(N, ...)`."""
    seen: Features = context.features
    return _read(spec, seen, seen.held_out, held_out=True)


def training(spec: MetricSpec, context: BuildContext) -> Tensor:
    """As many training samples."""
    seen: Features = context.features
    return _read(spec, seen, seen.training, held_out=False)


def _read(spec: MetricSpec, features: Features, seen: Seen, *, held_out: bool) -> Tensor:
    if spec.reads == "features":
        return seen.features
    if spec.reads == "probabilities":
        assert seen.probabilities is not None
        return seen.probabilities
    data = features.data
    part = data.held_out if held_out and data.held_out is not None else data.train
    return take(part, torch.arange(len(seen.features)))[0]


def give(metric: Metric, real: Tensor, generated: Tensor, *, chunk: int = 1000) -> None:
    """Give a fresh metric its samples as the engine does."""
    for part in real.split(chunk):
        metric.update(part, real=True)
    for part in generated.split(chunk):
        metric.update(part, real=False)
