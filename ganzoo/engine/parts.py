"""What a recipe is made of, built in one place, for whoever trains, samples, measures or draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.data import Data, DataDescription, describe_data
from ganzoo.engine.memory import check_network
from ganzoo.engine.random import seeded
from ganzoo.engine.step import Batch, Step, View, packed_shape, watch_outputs
from ganzoo.engine.values import MovingValues
from ganzoo.errors import RunError
from ganzoo.folders import cache_root, data_root
from ganzoo.protocols import Loss, Networks, Prior, Probe, Regularizer, Schedule
from ganzoo.recipe import Recipe
from ganzoo.specs import NETWORKS, BuildContext, ComponentSpec, DiscriminatorSpec, NetworkSpec


def base_context(recipe: Recipe) -> BuildContext:
    """What every component of the recipe gets to know."""
    spec = recipe.data.spec
    return BuildContext(
        sample_shape=spec.sample_shape,
        latent_dim=recipe.latent.dim,
        latent_distribution=recipe.latent.distribution,
        num_classes=spec.num_classes,
        iterations=recipe.train.iterations,
        data_root=data_root(),
        cache_root=cache_root(),
    )


class Parts:
    """The parts of a recipe, each built once, when it is first asked for, from a random stream of
    its own: the same generator starts from the same weights whatever it is trained with.

    Networks are built at once. They need no data, only a description of them, which a run keeps;
    `initialize` sets what starts from the data, and loading weights replaces it. Without a
    description the data set is built first. Raises `UserError` where its files are not there.
    """

    def __init__(
        self, recipe: Recipe, device: torch.device, description: DataDescription | None = None
    ) -> None:
        self.recipe, self.device = recipe, device
        self.context = replace(base_context(recipe), device=device)
        self.description = description or describe_data(recipe, self.data)
        samples = self.description.training_samples
        self.context = replace(self.context, training_samples=samples)
        self.values = MovingValues(recipe.train.iterations, device)
        self.networks = self._build_networks()

    @cached_property
    def data(self) -> Data:
        """The data set."""
        data: Data = self.recipe.data.spec.build(self.context)
        return data

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return self.recipe.train.seed

    def initialize(self) -> None:
        """Set what networks take from the training data, before the first iteration."""
        for name, component in self.recipe.networks.items():
            context = replace(self.network_context(name, component.spec), data=self.data)
            with seeded(self.seed, "initialisation", name, "data", device=self.device):
                component.spec.initialize(self.networks[name], context)

    @cached_property
    def loss(self) -> Loss:
        """The loss; one that is a module is on the device."""
        names = {name: list(network.state_dict()) for name, network in self.networks.items()}
        loss: Loss = self._part("loss", self.recipe.loss.spec)
        for name, network in self.networks.items():
            if strange := set(network.state_dict()) - set(names[name]):
                raise RunError(
                    f"loss '{self.recipe.loss.name}' puts '{min(strange)}' on the {name}",
                    hint="a loss that is a torch.nn.Module may keep it itself",
                )
        return loss

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Everything that may have weights: the networks by name, and a loss that is a module."""
        own = {"loss": self.loss} if isinstance(self.loss, nn.Module) else {}
        return {**self.networks, **own}

    @cached_property
    def regularizers(self) -> Sequence[Regularizer]:
        """The regularizers, in the recipe's order."""
        return self._array("regularizers")

    @cached_property
    def probes(self) -> Sequence[Probe]:
        """The probes, in the recipe's order."""
        return self._array("probes")

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule."""
        schedule: Schedule = self._part("schedule", self.recipe.schedule.spec)
        return schedule

    @cached_property
    def priors(self) -> Mapping[str, Prior]:
        """The priors by type, on the CPU, as they are before they are fitted."""
        built: dict[str, Prior] = {}
        for name, component in self.recipe.all_priors.items():
            built[name] = self._part(f"priors.{name}", component.spec, torch.device("cpu"))
        return built

    @cached_property
    def view(self) -> View:
        """How steps of training call the networks."""
        augmentations = self._array("augmentations")
        paired = [each.spec.paired for each in self.recipe.augmentations]
        return replace(self.plain_view, augmentations=augmentations, paired=paired)

    @cached_property
    def plain_view(self) -> View:
        """The same without augmentations."""
        specs = {name: each.spec for name, each in self.recipe.networks.items()}
        conditional = {name for name, spec in specs.items() if self.is_conditional(name, spec)}
        discriminator = specs.get("discriminator")
        pack = discriminator.pack if isinstance(discriminator, DiscriminatorSpec) else 1
        return View(frozenset(conditional), pack)

    def step(self, x: Tensor, labels: Tensor | None = None, indices: Tensor | None = None) -> Step:
        """A step outside of training on samples `(N, *sample_shape)`.

        `indices` are their positions in the training set, if that is where they are from.
        """
        if indices is None:
            indices = torch.empty(0, dtype=torch.int64, device=x.device)
        z = x.new_zeros(len(x), self.recipe.latent.dim)
        batch = Batch(x, z, labels, labels, indices, torch.zeros((), device=x.device))
        return Step("", self.networks, batch, view=self.plain_view)

    def with_memory(self) -> dict[str, Any]:
        """What has a state and is no module of `modules`, by its place in the recipe."""
        parts: dict[str, Any] = {"loss": self.loss, "schedule": self.schedule}
        arrays = {
            "regularizers": self.regularizers,
            "augmentations": self.view.augmentations,
            "probes": self.probes,
        }
        for array, built in arrays.items():
            parts |= {f"{array}.{index}": part for index, part in enumerate(built)}
        others = {place: part for place, part in parts.items() if place not in self.modules}
        return {place: part for place, part in others.items() if hasattr(part, "state_dict")}

    @cached_property
    def sampling(self) -> Sequence[str]:
        """Names of the networks that sampling uses: the generator and those that it needs."""
        names, found = ["generator"], []
        while names:
            found.append(name := names.pop())
            needs = {need.partition(".")[0] for need in self.recipe.networks[name].spec.needs}
            names += sorted(needs & self.networks.keys() - {*found, *names})
        return found

    def is_conditional(self, name: str, spec: ComponentSpec) -> bool:
        """Whether a network is called with labels. Losses call further networks without them."""
        conditional = self.recipe.condition is not None and name in NETWORKS
        return conditional and "classes" in spec.capabilities

    def context_for(self, place: str, spec: ComponentSpec, **more: Any) -> BuildContext:
        """The context of the component at a place of the recipe, with all that it needs."""
        needs = {need.partition(".")[0] for need in spec.needs}
        return replace(
            self.context,
            networks={name: self.networks[name] for name in self.networks if name in needs},
            data=self.data if "data" in needs else None,
            loss=self.loss if "loss" in needs and spec.kind == "metric" else None,
            moving=self.values.of(place, spec),
            **more,
        )

    def network_context(self, name: str, spec: NetworkSpec) -> BuildContext:
        """The context of a network, with the shape of what it sees."""
        recipe, context = self.recipe, self.context
        role = recipe.loss.spec.networks.get(name)
        shape = context.sample_shape
        if role is not None and role.sees == "codes":
            shape = (context.latent_dim,)
        elif role is not None and role.sees == "samples and codes":
            shape = (math.prod(shape) + context.latent_dim,)
        if isinstance(spec, DiscriminatorSpec):
            shape = packed_shape(shape, spec.pack)
        return replace(
            context,
            sample_shape=shape,
            conditional=self.is_conditional(name, spec),
            requested=recipe.requested(name),
        )

    def _build_networks(self) -> Networks:
        """The networks by name, on the device, in training mode."""
        components = self.recipe.networks
        needs = {
            name: {need.partition(".")[0] for need in component.spec.needs} & set(components)
            for name, component in components.items()
        }
        built: dict[str, nn.Module] = {}
        for name in TopologicalSorter(needs).static_order():
            spec = components[name].spec
            context = replace(
                self.network_context(name, spec),
                networks={other: built[other] for other in sorted(needs[name])},
            )
            with seeded(self.seed, "initialisation", name, device=torch.device("cpu")):
                check_network(name, spec, context)
            with seeded(self.seed, "initialisation", name, device=torch.device("cpu")):
                built[name] = spec.build(context)
        networks = Networks({name: built[name].to(self.device).train() for name in components})
        watch_outputs(networks, {name: each.spec.kind for name, each in components.items()})
        return networks

    def _array(self, name: str) -> Sequence[Any]:
        components = getattr(self.recipe, name)
        return [self._part(f"{name}.{index}", each.spec) for index, each in enumerate(components)]

    def _part(self, place: str, spec: ComponentSpec, device: torch.device | None = None) -> Any:
        """What a declaration builds; a module is put on the device."""
        context = self.context_for(place, spec)
        with seeded(self.seed, "initialisation", place, device=self.device):
            part = spec.build(context)
        return part.to(device or self.device) if isinstance(part, nn.Module) else part
