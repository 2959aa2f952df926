"""The component under test with all that it is built with and called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganzoo import specs
from ganzoo.data import take
from ganzoo.engine.networks import Freezer
from ganzoo.engine.parts import Parts
from ganzoo.engine.random import generator_for, seeded
from ganzoo.engine.step import Batch, Step, packed
from ganzoo.errors import UserError, describe
from ganzoo.evaluation.features import Features
from ganzoo.folders import data_root
from ganzoo.recipe import settings
from ganzoo.recipe.model import ARRAYS, Component, Recipe
from ganzoo.specs import NETWORKS, BuildContext, ComponentSpec
from ganzoo.testing import reference
from ganzoo.testing.checks import Skip, Wrong
from ganzoo.testing.effects import no_network, plugin_place
from ganzoo.testing.reference import KIT, REFERENCES

Shape = tuple[int, ...]
Tensors = tuple[Tensor, ...]
Context = AbstractContextManager[object]

LATENT_DIM = 6
COUNT = 8
"""Samples of a batch."""
CPU = torch.device("cpu")
GIVES = {"generator": "samples", "discriminator": "logits", "encoder": "codes"}


class Reading(NamedTuple):
    """What a metric reads of N samples: float32 `(N, ...)`, and their classes, int64 `(N,)`."""

    values: Tensor
    labels: Tensor


@dataclass
class Bench:
    """A component, the recipe and the data around it, and the modules of a step.

    Everything is made when it is first asked for, and stays; `dataclasses.replace` gives a bench
    on which nothing was made yet.
    """

    spec: ComponentSpec
    sample_shape: Shape
    latent_dim: int = LATENT_DIM
    conditional: bool = False
    pack: int = 1
    """Samples that the discriminator judges together."""
    phase: str = ""
    """The phase in which a loss or regularizer is computed."""
    requested: frozenset[str] | None = None
    """What is requested of a network; None for all that it provides."""
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe around the component, which itself stands among the metrics: these are not
        built with the rest, and what they need is requested of the other components."""
        roles = self.spec.networks if isinstance(self.spec, specs.LossSpec) else {}
        kit: Any = {kind: Component("reference", REFERENCES[kind][0](), KIT) for kind in NETWORKS}
        components: dict[str, Any] = {
            **dict.fromkeys(ARRAYS, ()),
            **dict.fromkeys((*NETWORKS, "extractor")),
            **reference.surroundings(self.spec, self.sample_shape, self.pack),
            "metrics": (Component(self.spec.type, self.spec, KIT),),
        }
        return Recipe(
            name="kit",
            summary="",
            condition="class" if self.conditional else None,
            latent=settings.Latent(dim=self.latent_dim),
            further_networks={name: kit[role.kind] for name, role in roles.items()},
            optimizers={},
            train=settings.Train(iterations=100, batch_size=COUNT),
            ema=settings.Ema(),
            log=settings.Log(),
            checkpoint=settings.Checkpoint(),
            engine=settings.Engine(device="cpu"),
            evaluate=settings.Evaluate(),
            **components,
        )

    @cached_property
    def parts(self) -> Parts:
        """The parts of the recipe. The networks are in evaluation mode where they are measured."""
        try:
            parts = Parts(self.recipe, CPU)
        except UserError as error:
            if str(data_root()) not in str(error):
                raise
            raise Skip(f"the data that it needs are not here: {error.message}") from error
        parts.initialize()
        if isinstance(self.spec, specs.MetricSpec):
            for network in parts.networks.values():
                network.eval().requires_grad_(False)
        return parts

    @cached_property
    def context(self) -> BuildContext:
        """What the component is built with."""
        spec, parts = self.spec, self.parts
        context = parts.context_for(spec.kind, spec)
        if isinstance(spec, specs.NetworkSpec):
            requested = spec.provides - {"classes"} if self.requested is None else self.requested
            own = parts.network_context(spec.kind, spec)
            return replace(own, networks=context.networks, requested=requested)
        if isinstance(spec, specs.DatasetSpec):
            shape, classes = spec.sample_shape, spec.num_classes
            root = context.data_root.absolute()
            return replace(context, sample_shape=shape, num_classes=classes, data_root=root)
        if isinstance(spec, specs.MetricSpec):
            return replace(context, features=self.features, step=parts.step)
        return replace(context, data=parts.data) if spec.kind == "extractor" else context

    @cached_property
    def features(self) -> Features:
        """Features for metrics, which cost nothing."""
        return Features(self.parts, Component("reference", reference.ReferenceExtractor(), KIT))

    def build(
        self, seed: int = 0, *, initialized: bool = True, within: Context | None = None
    ) -> Any:
        """The component, from a random stream of its own; a network is initialized with the data.
        Raises `Skip` where files that it needs are not on this machine."""
        context = self.context
        root = context.data_root if isinstance(self.spec, specs.DatasetSpec) else None
        with seeded(seed, "initialisation", device=CPU), no_network(root), within or nullcontext():
            component = self.spec.build(context)
            if isinstance(self.spec, specs.NetworkSpec):
                if not isinstance(component, nn.Module):
                    name = type(component).__name__
                    raise Wrong(f"`build` returns {name}; return a torch.nn.Module")
                if initialized:
                    self.spec.initialize(component, replace(context, data=self.parts.data))
            return component

    @cached_property
    def component(self) -> Any:
        """The component as it is first built."""
        return self.build()

    @cached_property
    def modules(self) -> Mapping[str, nn.Module]:
        """The networks by name, and the component if it is a module, frozen as in a run."""
        modules = dict(self.parts.networks)
        if isinstance(self.component, nn.Module):
            modules[self.spec.kind] = self.component
        for module in modules.values():
            module.to(device=self.device, dtype=self.dtype)
        Freezer(modules).thaw_only(self.trains)
        return modules

    @cached_property
    def trains(self) -> frozenset[str]:
        """What the step trains: names of networks, and perhaps `loss`."""
        if isinstance(self.spec, specs.LossSpec):
            return self.spec.trains(self.phase)
        networks = frozenset(self.parts.networks)
        return networks & {self.phase} or networks

    def weights(self, name: str) -> list[nn.Parameter]:
        """The weights of a module that are trained now."""
        module = self.modules.get(name)
        return [] if module is None else [w for w in module.parameters() if w.requires_grad]

    @property
    def reads(self) -> str:
        """What a network reads, for messages."""
        return "latents" if self.spec.kind == "generator" else "samples"

    @property
    def gives(self) -> str:
        """What a network gives, for messages."""
        return GIVES[self.spec.kind]

    @property
    def where(self) -> str:
        """For messages about terms."""
        phase = f" of phase '{self.phase}'" if isinstance(self.spec, specs.LossSpec) else ""
        return f"terms{phase}{self._variant}"

    @property
    def here(self) -> str:
        """For messages about networks."""
        return f"with samples of shape {self.sample_shape}{self._variant}"

    @property
    def _variant(self) -> str:
        packs = f" in packs of {self.pack}" if self.pack > 1 else ""
        return " and labels" if self.conditional else packs

    def batch(self, count: int = COUNT, seed: int = 0) -> Batch:
        """Real samples, latents, labels and the rest; the first samples for seed 0."""
        train, stream = self.parts.data.train, generator_for(seed, "latents")
        indices = (torch.arange(count) + seed * count) % len(train)
        x, labels = take(train, indices)
        batch = Batch(
            x=x.to(self.dtype),
            z=torch.randn(count, self.latent_dim, generator=stream).to(self.dtype),
            labels=labels if self.recipe.data.spec.num_classes is not None else None,
            fake_labels=labels.roll(1) if self.conditional else None,
            indices=indices,
            iteration=torch.tensor(3.0 + seed),
        )
        return each_tensor(batch, lambda tensor: tensor.to(self.device))

    def step(self, batch: Batch | None = None) -> Step:
        """A step on a batch, by default the first one."""
        spec = self.spec
        declaring = spec.phases.get(self.phase) if isinstance(spec, specs.LossSpec) else spec
        self.modules  # noqa: B018  (moves and freezes the networks)
        return Step(
            self.phase,
            self.parts.networks,
            batch or self.batch(),
            trains=self.trains,
            differentiates=getattr(declaring, "differentiates", frozenset()),
            view=self.parts.plain_view,
        )

    def compute(self, batch: Batch | None = None, *, within: Context | None = None) -> Any:
        """The terms of a loss or regularizer; what an augmentation gives, as the term `samples`.
        What is random in it is the same in every call."""
        step = self.step(batch)
        with seeded(0, "noise", device=CPU), within or nullcontext():
            try:
                if isinstance(self.spec, specs.AugmentationSpec):
                    return {"samples": self.component(step.x, self.component.draw(step.x))}
                return self.component.compute(step)
            except reference.MissingLabels as error:
                problem = f"a network is called without labels{plugin_place(error)}"
                remedy = (
                    "call `step.discriminate`, `step.generate` and `step.encode`, which know them"
                )
                raise Wrong(f"{self.where}: {problem}; {remedy}") from error
            except (AttributeError, KeyError) as error:
                if "has no network" not in str(error) and str(error).strip("'") not in NETWORKS:
                    raise
                networks = ", ".join(sorted(self.parts.networks))
                problem = f"{describe(error)}; if it uses another network than {networks}"
                remedy = "name that in `needs`, or in `trains` of the phase"
                raise Wrong(f"{self.where}: {problem}, {remedy}") from error

    def minimised(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The sum that the engine takes the gradient of; raises `Wrong` where there is none."""
        minimised = [term.sum() for term in terms.values() if term.requires_grad]
        if not minimised:
            problem = f"none of {', '.join(map(repr, terms))} carries a gradient"
            raise Wrong(f"{self.where}: {problem}; do not detach what is minimised")
        return torch.stack(minimised).sum()

    def inputs(self, count: int, seed: int = 0) -> Tensors:
        """What a network is called with: latents or samples `(count, ...)`, and perhaps labels."""
        pack = self.spec.pack if isinstance(self.spec, specs.DiscriminatorSpec) else 1
        batch = self.batch(count * pack, seed)
        value = batch.z if self.spec.kind == "generator" else packed(batch.x, pack)
        return (value, batch.labels) if self.conditional and batch.labels is not None else (value,)

    def expected(self, count: int) -> list[Shape]:
        """Shapes of what a network gives for a batch of `count`."""
        if self.spec.kind == "encoder":
            return [(count, self.latent_dim)] * (1 + ("variance" in self.context.requested))
        return [(count, *(self.sample_shape if self.spec.kind == "generator" else ()))]

    def outputs(
        self, inputs: Tensors, *, training: bool = False, seed: int | None = 0, network: Any = None
    ) -> Tensors:
        """What the component, or another network, gives for a batch; an encoder perhaps a pair.
        What is random in it follows `seed`; without one, the default stream is continued. Raises
        `Wrong` where something else than tensors comes back."""
        network = (self.component if network is None else network).train(training)
        with nullcontext() if seed is None else seeded(seed, "noise", device=CPU):
            output = network(*inputs)
        outputs = output if isinstance(output, tuple) else (output,)
        if not all(isinstance(each, Tensor) for each in outputs):
            names = ", ".join(type(each).__name__ for each in outputs)
            raise Wrong(f"`forward` returns {names}; return {self.gives} as a tensor")
        return outputs

    def reading(self, *, training: bool = False) -> Reading:
        """The held-out samples as a metric reads them, or as many training samples."""
        reads, features = getattr(self.spec, "reads", "samples"), self.features
        part = features.data.train if training else features.real
        values, labels = take(part, torch.arange(len(part)))
        extraction = features.training if training else features.held_out
        return Reading(values if reads == "samples" else getattr(extraction, reads), labels)

    def measure(
        self, fake: Reading, real: Reading | None = None, *, metric: Any = None, chunk: int = 1000
    ) -> Any:
        """What a fresh metric computes of copies of samples, given as the engine does."""
        metric = self.build() if metric is None else metric
        for reading, is_real in ((real or self.reading(), True), (fake, False)):
            chunks = [each.clone().split(chunk) for each in reading]
            for values, labels in zip(*chunks, strict=True):
                known = labels if is_real or self.conditional else None
                metric.update(values, real=is_real, labels=known)
        return metric.compute()


def each_tensor(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with a function of each of its tensors."""
    tensors: dict[str, Any] = {field.name: getattr(batch, field.name) for field in fields(batch)}
    changed = {name: function(each) for name, each in tensors.items() if each is not None}
    return replace(batch, **changed)
