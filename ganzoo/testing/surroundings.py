"""What a component is given when it is checked alone: data, other networks, a loss, a batch.

The parts are the kit's own where it has one, so that the fault of one plugin is not told of
another; what a component needs besides is looked for in the installed plugins.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ganzoo import registry
from ganzoo.engine.context import context_for, data_root
from ganzoo.engine.data import Data, Samples, to_unit
from ganzoo.engine.networks import bundle
from ganzoo.engine.random import generator_for, seeded
from ganzoo.errors import GanzooError, UserError, describe
from ganzoo.protocols import Batch, Networks
from ganzoo.specs import NETWORKS, BuildContext, ComponentSpec, LossSpec, RegularizerSpec
from ganzoo.testing import parts
from ganzoo.testing.checks import Skip, Subject, Wrong

Shape = tuple[int, ...]

IMAGES: Sequence[Shape] = ((1, 8, 8), (3, 16, 16), (1, 28, 28))
LARGER: Sequence[Shape] = ((3, 32, 32), (3, 64, 64), (3, 128, 128))
"""Images for components that refuse those above; the first that is taken is enough."""
POINTS: Sequence[Shape] = ((2,), (1,), (5,))
LATENT_DIM = 6
CLASSES = 4
CPU = torch.device("cpu")


@dataclass
class Surroundings:
    """A small world for one component, with samples of one shape.

    Its parts are made when they are first asked for, and stay.
    """

    spec: ComponentSpec
    sample_shape: Shape
    latent_dim: int = LATENT_DIM
    trains: frozenset[str] = field(default_factory=frozenset)
    """Networks that have to be there besides those that a recipe would have."""

    def fresh(self) -> Surroundings:
        """The same world before anything was made in it."""
        return replace(self)

    @cached_property
    def context(self) -> BuildContext:
        """What every component of this world is told."""
        return BuildContext(
            sample_shape=self.sample_shape,
            latent_dim=self.latent_dim,
            num_classes=CLASSES,
            iterations=100,
            data_root=data_root(),
        )

    @cached_property
    def data(self) -> Data:
        """The kit's data, or those of an installed data set that can what is needed."""
        needed = self._capabilities("data")
        if needed <= parts.DATA_PROVIDES:
            return parts.make_data(self.sample_shape, CLASSES)
        found = self._provider("data", "dataset", needed)
        self.sample_shape = found.sample_shape  # type: ignore[attr-defined]
        self.__dict__.pop("context", None)
        data: Data = found.build(self.context)
        return data

    @cached_property
    def networks(self) -> dict[str, nn.Module]:
        """The networks of a recipe for the component, by slot, in training mode."""
        self.data  # noqa: B018  (it may decide the shape)
        slots = self.trains | {need.partition(".")[0] for need in self.spec.needs}
        if isinstance(self.spec, LossSpec):
            slots |= trained(self.spec) | {"generator"}
        elif isinstance(self.spec, RegularizerSpec):
            # Phases that are called as these networks are those of a game between the two.
            game = {"generator", "discriminator"}
            slots |= game if self.spec.phase in game else {"generator"}
        return {slot: self._network(slot) for slot in NETWORKS if slot in slots}

    @cached_property
    def loss(self) -> Any:
        """A loss that can what is needed, or None."""
        needed = self._capabilities("loss")
        if not any(need.partition(".")[0] == "loss" for need in self.spec.needs):
            return None
        found = self._provider("loss", "loss", needed)
        assert isinstance(found, LossSpec)
        world = Surroundings(found, self.sample_shape, self.latent_dim)
        world.__dict__["data"] = self.data
        return world.build()

    @cached_property
    def view(self) -> Networks:
        """The networks as losses see them."""
        return bundle(self.networks)

    def build(self, seed: int = 0, **told: Any) -> Any:
        """The component, from a random stream of its own. `told` goes to its context."""
        context = context_for(
            self.spec,
            self.context,
            data=self.data,
            networks=self.networks,
            loss=self.loss,
            **told,
        )
        with seeded(seed, "initialisation", device=CPU):
            return self.spec.build(context)

    def batch(self, count: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
        """The first samples of the data, latents, labels and the rest."""
        train = self.data.train
        assert isinstance(train, Samples)
        indices = torch.arange(count)
        labels = None if train.labels is None else train.labels[:count].clone()
        return Batch(
            x=to_unit(train.values[:count]).to(dtype),
            z=self.latents(count, seed).to(dtype),
            labels=labels,
            indices=indices,
            iteration=torch.tensor(3.0),
        )

    def latents(self, count: int, seed: int = 0) -> Tensor:
        """Standard normal latents `(count, latent_dim)`."""
        return torch.randn(count, self.latent_dim, generator=generator_for(seed, "latents"))

    def _network(self, slot: str) -> nn.Module:
        needed = self._capabilities(slot)
        if needed <= parts.NETWORKS_PROVIDE[slot]:
            with seeded(1, slot, device=CPU):
                return parts.make_network(slot, self.sample_shape, self.latent_dim, needed)
        found = self._provider(slot, slot, needed)
        world = Surroundings(found, self.sample_shape, self.latent_dim)
        world.__dict__["data"] = self.data
        network: nn.Module = world.build(asked=needed)
        return network

    def _capabilities(self, slot: str) -> frozenset[str]:
        return frozenset(
            need.partition(".")[2] for need in self.spec.needs if need.startswith(f"{slot}.")
        )

    def _provider(self, slot: str, kind: str, needed: frozenset[str]) -> ComponentSpec:
        """An installed component that provides what is needed and asks for no keys.

        Raises `Skip` where there is none, and `Wrong` for a word that seems misspelt.
        """
        offers = [spec.provides for _, spec in self._offers(kind)]
        known = frozenset[str]().union(*offers, parts.NETWORKS_PROVIDE.get(slot, frozenset()))
        known |= parts.DATA_PROVIDES if slot == "data" else frozenset()
        for word in sorted(needed - known):
            if near := difflib.get_close_matches(word, sorted(known), n=1):
                raise Wrong(
                    f"it needs '{slot}.{word}', which no installed {kind} provides; "
                    f"did you mean '{slot}.{near[0]}'?"
                )
        for complete, spec in self._offers(kind):
            if complete and needed <= spec.provides:
                return spec()
        wanted = ", ".join(sorted(needed)) or "what it should"
        raise Skip(f"it needs {slot} with {wanted}, and no installed plugin offers such a {kind}")

    @staticmethod
    def _offers(kind: str) -> list[tuple[bool, type[ComponentSpec]]]:
        """The installed components of a kind, and whether each has a default for every key."""
        return [
            (not any(key.is_required() for key in entry.spec.model_fields.values()), entry.spec)
            for entry in registry.installed().entries(kind)
        ]


def make_spec(subject: Subject) -> ComponentSpec:
    """The subject's declaration with its example's keys; raises `Wrong` where they are refused."""
    assert subject.declared is not None
    try:
        return subject.declared.model_validate_json(json.dumps(dict(subject.example)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the table"
        what = f"the example {dict(subject.example)} is" if subject.example else "its defaults are"
        where = "`examples` of the class" if subject.example else "them"
        raise Wrong(f"{what} refused: {key}: {first['msg']}; correct {where}") from error


def worlds(subject: Subject, trains: frozenset[str] = frozenset()) -> list[Surroundings]:
    """A world for each sample shape that the component may be given and does not refuse.

    A component refuses a shape by a `UserError` when it is built. Raises `Wrong` where it
    refuses all.
    """
    assert subject.declared is not None
    spec = make_spec(subject)
    sizes = _sizes(subject.declared, json.dumps(dict(subject.example)), trains)
    return [Surroundings(spec, shape, latent_dim, trains) for shape, latent_dim in sizes]


def smallest(subject: Subject) -> list[Surroundings]:
    """Of those worlds the first of images and the first of points."""
    found: dict[int, Surroundings] = {}
    for world in worlds(subject):
        found.setdefault(len(world.sample_shape), world)
    return list(found.values())


def trained(spec: LossSpec) -> frozenset[str]:
    """Slots of the networks that some phase of a loss trains."""
    return frozenset().union(*(phase.trains for phase in spec.phases.values()))


@lru_cache(maxsize=1024)
def _sizes(
    declared: type[ComponentSpec], example: str, trains: frozenset[str]
) -> Sequence[tuple[Shape, int]]:
    """Sample shapes that a component does not refuse, each with the length of its latents."""
    spec = declared.model_validate_json(example)
    found: dict[Shape, int] = {}
    refusals: list[str] = []
    failures: list[tuple[Shape, Exception]] = []
    images = () if spec.needs & {"data.points", "data.density"} else (*IMAGES, *LARGER)
    points = () if "data.images" in spec.needs else POINTS
    for tried in (*images, *points):
        if tried in LARGER and found:
            continue
        try:
            shape, latent_dim = _built(spec, tried, trains)
        except UserError as error:
            refusals.append(error.message)
        except (Wrong, Skip):
            raise
        except Exception as error:
            failures.append((tried, error))
        else:
            found.setdefault(shape, latent_dim)
    if failures and not found:
        raise failures[0][1]
    if failures:
        shape, failure = failures[0]
        raise Wrong(
            f"cannot be built for samples of shape {shape}: {describe(failure)}; raise UserError "
            "in `build` for what it does not make"
        ) from failure
    if not found:
        raise Wrong(
            f"refuses samples of every shape that was tried: {refusals[0]}; "
            "declare in `needs` what the data must be able to do"
        )
    return list(found.items())


def _built(spec: ComponentSpec, shape: Shape, trains: frozenset[str]) -> tuple[Shape, int]:
    """The shape of samples and the length of latents with which the component is built.

    Raises the `UserError` of the first length where all are refused.
    """
    refusal = None
    # Some generators start from noise in the shape of a sample, some from one value more.
    for latent_dim in (LATENT_DIM, math.prod(shape), math.prod(shape) + 1):
        world = Surroundings(spec, shape, latent_dim, trains)
        try:
            world.build()
        except UserError as error:
            refusal = refusal or error
        else:
            # Data that others provide have a shape of their own.
            return world.sample_shape, latent_dim
    assert refusal is not None
    raise refusal


def missing_data(error: GanzooError, root: Path) -> bool:
    """Whether a data set was not built because its files are not on this machine."""
    return str(root) in str(error)
