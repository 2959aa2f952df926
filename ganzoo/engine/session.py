"""Everything a run is made of, built from its recipe, and its state as a checkpoint holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganzoo.engine.backend import Backend, choose_backend
from ganzoo.engine.context import build_context, context_for
from ganzoo.engine.data import Data, Feed, Samples
from ganzoo.engine.networks import (
    Freezer,
    MovingAverage,
    augmented,
    build_networks,
    bundle,
    generate,
)
from ganzoo.engine.random import generator_for, seeded, stream_seed
from ganzoo.engine.ranks import Ranks
from ganzoo.engine.statistics import Statistics
from ganzoo.engine.update import LazyRegularizer, Update, build_optimizer
from ganzoo.errors import RunError, UserError
from ganzoo.protocols import Batch, Loss, Probe
from ganzoo.recipe import Recipe
from ganzoo.recipe.settings import Latent
from ganzoo.specs import BuildContext, ComponentSpec


def draw_latents(latent: Latent, count: int, generator: torch.Generator) -> Tensor:
    """Latents `(count, dim)` of the recipe's distribution, float32, on the generator's device."""
    z = torch.empty(count, latent.dim, device=generator.device)
    return fill_latents(latent, z, generator)


def fill_latents(latent: Latent, z: Tensor, generator: torch.Generator) -> Tensor:
    """Fresh latents into `z`, in place."""
    if latent.distribution == "uniform":
        return z.uniform_(-1, 1, generator=generator)
    return z.normal_(generator=generator)


class Looking(NamedTuple):
    """A probe and the iterations that it looks at."""

    type: str
    every: int
    probe: Probe

    def due(self, iteration: int) -> bool:
        """Whether it looks at iteration number `iteration`, counted from 1."""
        return iteration % self.every == 0


class Session:
    """The parts of a run on this rank. `prepare` makes one."""

    def __init__(
        self,
        recipe: Recipe,
        backend: Backend,
        ranks: Ranks,
        data: Data,
        networks: dict[str, nn.Module],
        context: BuildContext,
    ) -> None:
        device, seed = backend.device, recipe.train.seed
        batch_size = recipe.train.batch_size
        share = batch_size // ranks.size
        self.recipe, self.backend, self.ranks, self.data = recipe, backend, ranks, data
        self.networks = networks
        for network in networks.values():
            network.to(device).to(memory_format=backend.memory_format).train()
        self.loss: Loss = self._build("loss", recipe.loss.spec, context)
        self.modules = dict(networks)
        """Everything that has weights: the networks by slot, and the loss if it is a module."""
        if isinstance(self.loss, nn.Module):
            self.modules["loss"] = self.loss.to(device)
        self.feed = Feed(
            data.train,
            context.sample_shape,
            batch_size,
            seed=seed,
            device=device,
            rank=ranks.rank,
            world_size=ranks.size,
            labelled=context.num_classes is not None,
            memory_format=backend.memory_format,
        )
        # All ranks draw the latents of the whole batch and use their share of them.
        self.latent_stream = generator_for(seed, "latents", device=device)
        self._latents = torch.zeros(batch_size, recipe.latent.dim, device=device)
        z = self._latents[ranks.rank * share : (ranks.rank + 1) * share]
        iteration = torch.zeros((), device=device)
        self.batch = Batch(self.feed.x, z, self.feed.labels, self.feed.indices, iteration)
        self.optimizers = {
            slot: build_optimizer(options, _weights(slot, self.modules[slot]), device)
            for slot, options in recipe.optimizers.items()
        }
        decay = recipe.ema.decay
        generator = networks["generator"]
        self.average = (
            MovingAverage(generator, decay) if decay and list(generator.parameters()) else None
        )
        self.schedule = recipe.schedule.spec.build(context)
        self.statistics = Statistics(device)
        self.observed = Statistics(device)
        """What the schedule will be shown next, if it observes the run."""
        self.observation: dict[str, float] = {}
        """What the schedule was shown last."""
        self.view = bundle(networks)
        self.updates = self._updates(context)
        self.probes = [
            Looking(
                each.spec.type, each.spec.every, self._build(f"probes.{index}", each.spec, context)
            )
            for index, each in enumerate(recipe.probes)
        ]
        self.iteration = 0
        """Completed iterations."""
        self.batches = 0
        """Batches of real samples read so far."""
        self.steps: Counter[str] = Counter()
        """Steps taken so far, by phase."""
        self.seconds = 0.0
        """Wall-clock time spent training, over all parts of an interrupted run."""

    @property
    def images(self) -> int:
        """Real samples read so far, over all ranks."""
        return self.batches * self.recipe.train.batch_size

    @property
    def sampler(self) -> nn.Module:
        """The generator that samples are drawn from: the moving average where there is one."""
        return self.networks["generator"] if self.average is None else self.average.network

    def next_batch(self, group: Sequence[str]) -> None:
        """Fresh latents, and fresh real samples if some phase of the group looks at them."""
        self.batch.iteration.fill_(self.iteration)
        fill_latents(self.recipe.latent, self._latents, self.latent_stream)
        if any(self.recipe.loss.spec.phases[phase].reads_data for phase in group):
            self.feed.fill(self.batches)
            self.batches += 1

    def observe(self) -> None:
        """Show the schedule the latest statistics, if it is time; after each iteration."""
        every = self.recipe.schedule.spec.observes
        if every and (self.iteration + 1) % every == 0:
            self.observation = self.observed.read(self.ranks)  # host sync: the schedule's wish

    @contextmanager
    def probed(self, group: Sequence[str]) -> Iterator[None]:
        """Show the networks to the probes whose time it is, before and after a group is run."""
        looking = [each.probe for each in self.probes if each.due(self.iteration + 1)]
        for probe in looking:
            probe.before(group, self.view, self.batch)
        yield
        for probe in looking:
            probe.after(group, self.view, self.batch)

    def sample_fixed(self, count: int) -> Tensor:
        """`count` samples from latents that are the same at every call, float32 on the device."""
        device, seed = self.backend.device, self.recipe.train.seed
        z = draw_latents(self.recipe.latent, count, generator_for(seed, "pictures"))
        with seeded(seed, "pictures", "noise", device=device):
            return generate(self.sampler, z.to(device))

    def state_dict(self) -> dict[str, Any]:
        """The whole state as tensors and plain data; on several ranks, all must call this."""
        device = self.backend.device
        noise = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            noise["device"] = torch.cuda.get_rng_state(device)
        elif device.type == "mps":
            noise["device"] = torch.mps.get_rng_state()
        return {
            "fingerprint": self.recipe.fingerprint,
            "iteration": self.iteration,
            "batches": self.batches,
            "steps": dict(self.steps),
            "seconds": self.seconds,
            "networks": {slot: module.state_dict() for slot, module in self.modules.items()},
            "average": None if self.average is None else self.average.network.state_dict(),
            "optimizers": {slot: opt.state_dict() for slot, opt in self.optimizers.items()},
            "latents": self.latent_stream.get_state(),
            "noise": self.ranks.gather(noise),
            "statistics": self.statistics.state_dict(),
            "observed": self.observed.state_dict(),
            "observation": self.observation,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises `RunError` if it was made by another number of ranks."""
        if len(state["noise"]) != self.ranks.size:
            raise RunError(
                f"the checkpoint was written by {len(state['noise'])} processes, "
                f"not by {self.ranks.size}",
                hint="resume with as many as before",
            )
        for slot, module in self.modules.items():
            module.load_state_dict(state["networks"][slot])
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])
        for slot, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][slot])
        self.iteration, self.batches = state["iteration"], state["batches"]
        self.steps, self.seconds = Counter(state["steps"]), state["seconds"]
        self.latent_stream.set_state(state["latents"])
        self.statistics.load_state_dict(state["statistics"])
        self.observed.load_state_dict(state["observed"])
        self.observation = state["observation"]
        noise = state["noise"][self.ranks.rank]
        torch.set_rng_state(noise["cpu"])
        if self.backend.device.type == "cuda":
            torch.cuda.set_rng_state(noise["device"], self.backend.device)
        elif self.backend.device.type == "mps":
            torch.mps.set_rng_state(noise["device"])

    def _updates(self, context: BuildContext) -> dict[str, Update]:
        """The update of every phase that the schedule runs."""
        recipe = self.recipe
        freezer = Freezer(self.modules)
        augmentations = [
            self._build(f"augmentations.{index}", each.spec, context)
            for index, each in enumerate(recipe.augmentations)
        ]
        networks = augmented(self.view, augmentations, self.batch.iteration)
        observed = (self.observed,) if recipe.schedule.spec.observes else ()
        regularizers = [
            (each.spec, self._build(f"regularizers.{index}", each.spec, context))
            for index, each in enumerate(recipe.regularizers)
        ]
        updates = {}
        for name in sorted(recipe.schedule.spec.runs):
            trains = sorted(recipe.loss.spec.trains(name))
            updates[name] = Update(
                phase=name,
                trains=frozenset(trains),
                loss=self.loss,
                regularizers=[
                    LazyRegularizer(spec.type, regularizer, spec.every)
                    for spec, regularizer in regularizers
                    if spec.phase == name
                ],
                networks=networks,
                batch=self.batch,
                optimizers=[self.optimizers[slot] for slot in trains],
                learning_rates=[recipe.optimizers[slot].lr for slot in trains],
                freezer=freezer,
                backend=self.backend,
                ranks=self.ranks,
                statistics=(self.statistics, *observed),
            )
        return updates

    def _build(self, place: str, spec: ComponentSpec, context: BuildContext) -> Any:
        """A loss, regularizer or augmentation; what is random in it follows a stream of its own."""
        told = context_for(spec, context, data=self.data, networks=self.networks)
        seed = self.recipe.train.seed
        with seeded(seed, "initialisation", place, device=self.backend.device):
            return spec.build(told)


def prepare(recipe: Recipe, device: torch.device, ranks: Ranks) -> Session:
    """Build every part of a recipe's run; no network has moved yet.

    torch's default random streams are left at the start of the run's noise stream. Raises
    `UserError` where the data are not there or the batch cannot be split.
    """
    if recipe.train.batch_size % ranks.size:
        raise UserError(
            f"train.batch_size = {recipe.train.batch_size} cannot be split evenly "
            f"between {ranks.size} processes"
        )
    context = build_context(recipe)
    with ranks.first_before_others():
        # Only one process may download.
        data: Data = recipe.data.spec.build(context)
    _check_data(recipe.data.name, data, context.sample_shape)
    networks = build_networks(recipe, context, data)
    backend = choose_backend(recipe.engine, device, networks)
    session = Session(recipe, backend, ranks, data, networks, context)
    torch.manual_seed(stream_seed(recipe.train.seed, "noise", ranks.rank))
    return session


def _check_data(name: str, data: Data, sample_shape: tuple[int, ...]) -> None:
    """Hold a data set to what its declaration says of it."""
    if not len(data.train):
        raise UserError(f"dataset '{name}' has no training samples")
    shape = data.train.values.shape[1:] if isinstance(data.train, Samples) else sample_shape
    if tuple(shape) != sample_shape:
        raise RunError(
            f"dataset '{name}' declares samples of shape {sample_shape}, but holds {tuple(shape)}",
            hint="this is a fault of the plugin that offers it",
        )


def _weights(slot: str, network: nn.Module) -> list[nn.Parameter]:
    weights = list(network.parameters())
    if not weights:
        raise UserError(
            f"the {slot} has nothing to train, but the schedule trains it",
            hint="schedule.type=discriminator-only leaves the generator alone",
        )
    return weights
