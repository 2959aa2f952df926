"""The update of a group of phases: one batch, gradients summed, one step for each optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.engine.backend import Backend
from ganzoo.engine.health import Signs
from ganzoo.engine.networks import Freezer
from ganzoo.engine.optimizers import Optimizers
from ganzoo.engine.parts import Parts
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.statistics import Statistics
from ganzoo.engine.step import Batch, Step
from ganzoo.errors import RunError
from ganzoo.protocols import Regularizer


class LazyRegularizer(NamedTuple):
    """A regularizer with its name and its period k in iterations."""

    name: str
    regularizer: Regularizer
    every: int
    differentiates: frozenset[str]


class Updater:
    """Runs groups of phases. It never waits for the device."""

    def __init__(
        self,
        parts: Parts,
        optimizers: Optimizers,
        backend: Backend,
        group: ProcessGroup,
        statistics: Sequence[Statistics],
        signs: Signs,
    ) -> None:
        self.parts, self.optimizers = parts, optimizers
        self.backend, self.group, self.statistics = backend, group, statistics
        self.signs = signs
        self.loss, self.declared = parts.loss, parts.recipe.loss.spec
        self.accumulate = parts.recipe.train.accumulate
        self.freezer = Freezer(parts.modules)
        self.trains = {name: self.declared.trains(name) for name in self.declared.phases}
        self.regularizers: dict[str, list[LazyRegularizer]] = {}
        for component, built in zip(parts.recipe.regularizers, parts.regularizers, strict=True):
            spec = component.spec
            lazy = LazyRegularizer(spec.type, built, spec.every, spec.differentiates)
            self.regularizers.setdefault(spec.phase, []).append(lazy)
        observers = [parts.loss, *parts.regularizers, *parts.view.augmentations]
        self.observers = [each.observe for each in observers if hasattr(each, "observe")]

    def run(self, phases: Sequence[str], batch: Batch, iteration: int) -> None:
        """Take all gradients of a group, then let each of its optimizers step once."""
        if len(set(phases)) < len(phases):
            raise RunError(
                f"the schedule names a phase twice in one group: {', '.join(phases)}",
                hint="two groups of one phase each are two steps",
            )
        trained = sorted(frozenset().union(*(self.trains[phase] for phase in phases)))
        self.optimizers.zero_grad(trained)
        for phase in phases:
            self.backward(phase, batch, iteration)
        self.group.average(self.optimizers.gradients(trained))
        for name in trained if self.signs.due(iteration) else ():
            self.signs.add_gradients(name, self.optimizers.gradients([name]))
        self.optimizers.step(trained)

    def backward(self, phase: str, batch: Batch, iteration: int) -> None:
        """Add the gradients of a phase's terms to those of the weights; move nothing.

        Of a batch in k parts each adds a k-th of its own gradients, so that terms that are means
        over samples have the gradients of the whole batch.
        """
        trains = self.trains[phase]
        self.freezer.thaw_only(trains)
        lazy = self.regularizers.get(phase, [])
        due = [each for each in lazy if iteration % each.every == 0]
        differentiates = self.declared.phases[phase].differentiates.union(
            *(each.differentiates for each in due)
        )
        weights = [weight for name in trains for weight in self.freezer.trainable[name]]
        judged: list[tuple[Tensor, Tensor]] = []
        for part in batch.parts(self.accumulate):
            step = Step(
                phase,
                self.parts.networks,
                part,
                trains=trains,
                differentiates=differentiates,
                view=self.parts.view,
            )
            terms, minimised = self.compute(step, due)
            total = torch.stack(minimised).sum() if len(minimised) > 1 else minimised[0]
            mean = total / self.accumulate if self.accumulate > 1 else total
            # Samples that are differentiated need no gradients of the total themselves.
            mean.backward(inputs=weights if differentiates else None)
            if lazy or len(minimised) > 1:
                terms["total"] = total
            named = {f"{phase}/{name}": term for name, term in terms.items()}
            for statistics in self.statistics:
                statistics.add(named)
            with torch.no_grad():
                for observe in self.observers:
                    observe(step)
            computed = vars(step)  # no forward pass is made for this
            if "discriminator" in trains and {"real_logits", "fake_logits"} <= set(computed):
                judged.append((step.real_logits.detach(), step.fake_logits.detach()))
        if judged and self.signs.due(iteration):
            real, fake = zip(*judged, strict=True)
            self.signs.add_logits(torch.cat(real), torch.cat(fake))

    def compute(
        self, step: Step, due: Sequence[LazyRegularizer]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The terms of a phase by name, 0-d, and what of them is minimised.

        Raises `RunError` where none carries a gradient.
        """
        # Derivatives of derivatives lose too much in bfloat16, and share their forward passes.
        with nullcontext() if due else self.backend.autocast():
            terms = named_terms(f"terms of phase '{step.phase}'", self.loss.compute(step))
            minimised = [term for term in terms.values() if term.requires_grad]
            for each in due:
                where = f"terms of regularizer '{each.name}'"
                for name, term in named_terms(where, each.regularizer.compute(step)).items():
                    terms[f"{each.name}/{name}"] = term
                    if term.requires_grad:
                        minimised.append(term * each.every if each.every > 1 else term)
        if not minimised:
            raise RunError(
                f"phase '{step.phase}': none of the terms {', '.join(terms)} carries a gradient"
                f" to {', '.join(sorted(step.trains))}",
                hint="a loss must not detach what it minimises",
            )
        return terms, minimised


def named_terms(where: str, terms: object) -> dict[str, Tensor]:
    """What a loss or regularizer gave: 0-d tensors by name.

    Raises `RunError` for anything else; `where` says in its message what gave it.
    """
    if not isinstance(terms, Mapping):
        raise RunError(f"{where}: {terms!r:.60}", hint="return a dict of tensors by name")
    for name, term in terms.items():
        if not isinstance(term, Tensor):
            raise RunError(
                f"{where}: '{name}' is {type(term).__name__}",
                hint="return a 0-d tensor, such as `step.x.new_tensor(0.5)`",
            )
        if term.dim():
            raise RunError(
                f"{where}: '{name}' has shape {tuple(term.shape)}", hint="return its mean"
            )
    return dict(terms)
