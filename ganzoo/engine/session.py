"""A run in training on this process: its parts, and all that changes from step to step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.data import class_rows, take
from ganzoo.engine.average import MovingAverage, refresh_batch_norm
from ganzoo.engine.backend import Backend, choose_backend
from ganzoo.engine.batches import Batches
from ganzoo.engine.group import Updater
from ganzoo.engine.health import Signs
from ganzoo.engine.memory import check_training
from ganzoo.engine.networks import evaluating, generate
from ganzoo.engine.optimizers import Optimizers
from ganzoo.engine.parts import Parts
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.random import draw_labels, draw_latents, generator_for, seeded, stream_seed
from ganzoo.engine.start import Start
from ganzoo.engine.statistics import Observation, Statistics
from ganzoo.engine.step import Step
from ganzoo.engine.threads import choose_threads
from ganzoo.errors import UserError
from ganzoo.plans import planned_snapshots
from ganzoo.protocols import Networks, Probe
from ganzoo.ramps import Ramp, Ramps
from ganzoo.recipe import Recipe
from ganzoo.runs import Plan

REFRESHED = 20
"""Batches over which the statistics of batch normalisation are taken anew."""


class ScheduledProbe(NamedTuple):
    """A probe and the iterations in which it measures."""

    type: str
    every: int
    probe: Probe

    def due(self, iteration: int) -> bool:
        """Whether it measures in iteration number `iteration`, counted from 1."""
        return iteration % self.every == 0


@dataclass
class Counters:
    """How far a run has come."""

    iteration: int = 0
    """Completed iterations."""
    steps: Counter[str] = field(default_factory=Counter)
    """Steps taken so far, by phase."""
    seconds: float = 0.0
    """Wall-clock time spent training, over all parts of an interrupted run."""


class Session:
    """A run in training. `prepare` makes one; `ganzoo.engine.state` saves and restores it."""

    def __init__(self, recipe: Recipe, parts: Parts, backend: Backend, group: ProcessGroup) -> None:
        device = backend.device
        self.recipe, self.parts, self.data = recipe, parts, parts.data
        self.fingerprint = recipe.fingerprint
        """That of the run, which a resumed one keeps even if its arithmetic is done otherwise."""
        self.earlier: list[Plan] = []
        """What a run that was made longer was to be before."""
        self.backend, self.group = backend, group
        self.batches = Batches(
            recipe, parts.data, parts.description, device, group, backend.memory_format
        )
        self.optimizers = Optimizers(recipe.optimizers, parts.modules, parts.values, device)
        self.average = self._average()
        self.schedule = parts.schedule
        self.statistics, self.signs = Statistics(device), Signs(device)
        self.observation = Observation(recipe.schedule.spec.observes, device)
        observed = (self.observation.statistics,) if self.observation.every else ()
        statistics = (self.statistics, *observed)
        self.updater = Updater(parts, self.optimizers, backend, group, statistics, self.signs)
        self.probes = [
            ScheduledProbe(component.spec.type, component.spec.every, probe)
            for component, probe in zip(recipe.probes, parts.probes, strict=True)
        ]
        self.counters = Counters()

    @property
    def iteration(self) -> int:
        """Completed iterations."""
        return self.counters.iteration

    @property
    def images(self) -> int:
        """Real samples read so far, over all processes."""
        return self.batches.read * self.recipe.train.batch_size

    @property
    def snapshots(self) -> frozenset[int]:
        """The iterations after which weights are kept to be measured; the last is one of them."""
        last, count = self.recipe.train.iterations, self.recipe.evaluate.snapshots
        return frozenset(planned_snapshots(self.earlier, last, count))

    def close(self) -> None:
        """End the processes that read the data."""
        self.batches.loader.close()

    @contextmanager
    def probed(self, phases: Sequence[str]) -> Iterator[None]:
        """Let the probes that are due measure before and after a group is run."""
        due = [each.probe for each in self.probes if each.due(self.iteration + 1)]
        if due:
            step = Step("", self.parts.networks, self.batches.batch, view=self.parts.plain_view)
        for probe in due:
            probe.before(phases, step)
        yield
        for probe in due:
            probe.after(phases, step)

    def sampled_networks(self) -> Networks:
        """All networks as they are saved and sampled from: averaged where there is an average."""
        if self.average is None:
            return self.parts.networks
        averaged = self.average.networks
        with seeded(self.parts.seed, "batch norm", device=self.backend.device):
            refresh_batch_norm(averaged["generator"], self._generator_inputs())
        return Networks({**self.parts.networks, **averaged})

    def sample_fixed(self, count: int) -> tuple[Tensor, Tensor | None]:
        """`count` samples and their classes, from latents that are the same at every call.

        Samples are float32 on the device. Those of a conditional run are in rows of one class,
        which have the same latents; there are as many of each as `count` allows, at least one.
        """
        recipe, device, seed = self.recipe, self.backend.device, self.parts.seed
        columns, rows, labels = count, 1, None
        if shares := self.parts.description.class_shares:
            labels = class_rows(len(shares), count).to(device)
            columns = int((labels == 0).sum())
            rows = len(labels) // columns
        z = draw_latents(recipe.latent, columns, seed, "pictures").repeat(rows, 1)
        generator = self.sampled_networks().generator
        with seeded(seed, "pictures", "noise", device=device):
            return generate(generator, z.to(device), labels), labels

    def _generator_inputs(self) -> Iterator[tuple[Tensor, ...]]:
        """Batches of what the generator reads in training: codes where the loss knows them, else
        latents; with classes in a conditional run."""
        recipe, seed, shares = self.recipe, self.parts.seed, self.parts.description.class_shares
        count, stream = REFRESHED * recipe.train.batch_size, generator_for(seed, "batch norm")
        z = draw_latents(recipe.latent, count, seed, "batch norm")
        labels = draw_labels(shares or (1.0,), count, seed, "batch norm")
        places = torch.randint(len(self.data.train), (count,), generator=stream)
        for batch in torch.arange(count).chunk(REFRESHED):
            inputs = [z[batch], labels[batch]]
            if "codes" in recipe.loss.spec.capabilities:
                inputs = list(self.codes(places[batch])[:2])
            yield tuple(each.to(self.backend.device) for each in inputs[: 1 + bool(shares)])

    @torch.no_grad()
    def codes(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of training samples, their classes (-1 without any) and the samples themselves.

        For losses that provide `"codes"`; networks are in evaluation mode.
        """
        device = self.backend.device
        x, labels = (each.to(device) for each in take(self.data.train, indices))
        step = self.parts.step(x, labels, indices.to(device))
        with evaluating(*self.parts.networks.values()):
            codes: Tensor = self.parts.loss.codes(step)  # type: ignore[attr-defined]
        return codes.float(), labels, x

    def _average(self) -> MovingAverage | None:
        """The moving average, where the recipe wants one and there is something to average."""
        decay, networks = self.recipe.ema.decay, self.parts.networks
        if not isinstance(decay, Ramp | Ramps) and decay == 0:
            return None
        averaged = {name: networks[name] for name in self.parts.sampling}
        if not list(networks["generator"].parameters()):
            return None
        return MovingAverage(averaged, decay, self.recipe.train.iterations)


def prepare(
    recipe: Recipe,
    device: torch.device,
    group: ProcessGroup,
    warn: Callable[[str], None] = lambda text: None,
    start: Start | None = None,
) -> Session:
    """Build every part of a recipe's run; no network has moved yet.

    `warn` is called with a sentence for what goes wrong in training and is mended. `start` puts the
    weights of another run into the parts, from which a moving average starts too. torch's default
    random streams are left at the start of the run's noise stream; on a CPU its number of threads
    is set, which `arithmetic` puts back. Raises `UserError` where the data are not there, or the
    batch cannot be split or held in memory.
    """
    pack = 1 if recipe.discriminator is None else recipe.discriminator.spec.pack
    train = recipe.train
    if train.batch_size % (group.size * train.accumulate * pack):
        each = f", in {train.accumulate} parts each" if train.accumulate > 1 else ""
        packs = f", in packs of {pack}" if pack > 1 else ""
        raise UserError(
            f"train.batch_size = {train.batch_size} cannot be split evenly "
            f"between {group.size} processes{each}{packs}"
        )
    check_training(recipe)
    with group.first_before_others():
        parts = Parts(recipe, device)  # only one process may download the data
    parts.initialize()
    if start is not None:
        start(parts.modules)
    backend = choose_backend(recipe.engine, device, parts.networks)
    if device.type == "cpu":
        torch.set_num_threads(choose_threads(recipe.engine.threads, parts))
    for network in parts.networks.values():
        network.to(memory_format=backend.memory_format)
    session = Session(recipe, parts, backend, group)
    session.batches.loader.warn = warn
    torch.manual_seed(stream_seed(recipe.train.seed, "noise", group.rank))
    return session
