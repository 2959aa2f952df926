"""Checks of losses and regularizers; the last two are of augmentations as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from ganzoo.engine import update as engine_update
from ganzoo.engine.random import generator_for
from ganzoo.errors import RunError
from ganzoo.protocols import Batch
from ganzoo.specs import LossSpec, RegularizerSpec
from ganzoo.testing.attempts import not_finite
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.extremes import SITUATIONS
from ganzoo.testing.moving import META, advice, elsewhere, immobile
from ganzoo.testing.surroundings import smallest
from ganzoo.testing.trials import Terms, Trial, on, parts, repeated, trial, trials
from ganzoo.testing.watching import Noise, Waits, no_waiting, place, said

STEP = 1e-6
"""Size of the differences of weights that gradients are compared with, in float64."""


@check("loss", "regularizer")
def named_terms(subject: Subject) -> None:
    """The engine adds up 0-d terms and logs each under its name; a term of another shape stops
    the run, or is added up over the batch where a mean was meant."""
    for tried in trials(subject):
        given, where = tried.compute(), tried.part.where
        try:
            terms = engine_update.named_terms(where, given)
        except RunError as error:
            raise Wrong(f"{error.message}; {error.hint}") from error
        if not terms:
            raise Wrong(f"{where}: {given!r:.60}; return a dict of tensors by name")
        for name, term in terms.items():
            if not (isinstance(name, str) and name):
                raise Wrong(f"{where}: {name!r} is no name; write a short text")
            if not term.is_floating_point():
                raise Wrong(f"{where}: '{name}' is of {term.dtype}; return `.float()` of it")
            if not_finite(term):
                raise Wrong(f"{where}: '{name}' is {term.item()} for an ordinary batch")
            if name == "total" and tried.part.phase is not None:
                raise Wrong(f"{where}: the engine calls the sum 'total'; take another name")


@check("loss", "regularizer")
def trains_its_networks(subject: Subject) -> None:
    """A network that the phase's gradient never reaches stays as it was drawn, while its
    optimizer counts steps."""
    for tried in trials(subject):
        _check_own_weights(tried)
        terms = tried.compute()
        tried.minimised(terms)
        missing = _unreached(tried, terms)
        if missing:
            # A penalty may cost nothing until a network is steep enough.
            with torch.no_grad():
                for module in tried.modules.values():
                    for weight in module.parameters():
                        weight.mul_(5)
            missing &= _unreached(tried, tried.compute())
        if missing:
            raise Wrong(
                f"{tried.part.where}: no gradient reaches the {' or the '.join(sorted(missing))}; "
                "do not detach what comes of it, or take it out of `trains` of the phase"
            )


@check("loss", "regularizer")
def leaves_others_alone(subject: Subject) -> None:
    """A gradient left on a network that the phase does not train joins its next step, which then
    goes another way."""
    for tried in trials(subject):
        where = tried.part.where
        wanted = {slot: _flags(module) for slot, module in tried.modules.items()}
        tried.compute()
        for slot, module in tried.modules.items():
            if any(weight.grad is not None for weight in module.parameters()):
                raise Wrong(
                    f"{where}: `compute` leaves a gradient on the {slot}; take gradients by "
                    "`torch.autograd.grad` and leave `backward` to the engine"
                )
            if _flags(module) != wanted[slot]:
                raise Wrong(
                    f"{where}: `compute` leaves the {slot} in another mode, or freezes or thaws "
                    "it; put `train()` and `requires_grad_()` back as they were"
                )


@check("loss", "regularizer")
def true_gradient(subject: Subject) -> None:
    """A gradient that is not that of the value, as after a detached factor, minimises something
    else than what the curves show."""
    for tried in trials(subject, torch.float64):
        # What the loss itself does to weights, such as clipping, is done once before.
        try:
            terms = tried.compute()
        except RuntimeError as error:
            if "dtype" in str(error) or "scalar type" in str(error):
                raise Skip(f"it cannot compute in float64: {said(error)}") from error
            raise
        for name, term in terms.items():
            if term.requires_grad and term.dtype != torch.float64:
                raise Wrong(
                    f"{tried.part.where}: '{name}' is computed in {term.dtype} from samples in "
                    "float64; cast nothing, networks return float32 in every run"
                )
        for slot in sorted(tried.part.trains):
            if tried.weights(slot):
                _check_gradient(tried, slot)


@check("loss", "regularizer")
def finite_at_extremes(subject: Subject) -> None:
    """Discriminators that are sure and samples at the border are ordinary in a run, and one value
    that is not finite ends it."""
    for world in smallest(subject):
        for part in parts(world.spec):
            for meet in SITUATIONS:
                tried = trial(world, part)
                situation = meet(tried)
                if situation is not None:
                    _check_finite(tried, *situation)


@check("loss", "regularizer")
def mean_over_the_batch(subject: Subject) -> None:
    """A sum over the batch makes the learning rate depend on the batch size, and on the number
    of devices that share the batch."""
    for world in smallest(subject):
        for part in parts(world.spec):
            noise = Noise()
            tried = trial(world, part)
            once = tried.compute(watched=noise)
            twice, four = (
                trial(world, part).compute(repeated(tried.batch, times), watched=Noise(noise))
                for times in (2, 4)
            )
            for name in once:
                values = [float(terms[name].detach()) for terms in (once, twice, four)]
                if problem := _grows(*values):
                    seen = ", ".join(f"{value:.4g}" for value in values)
                    raise Wrong(
                        f"{part.where}: '{name}' is {seen} for a batch, the same batch twice and "
                        f"four times; {problem}"
                    )


@check("loss")
def reads_data(subject: Subject) -> None:
    """A phase that says it reads no data is shown an old batch of them; one that says it does
    and does not costs the time to read them."""
    for tried in trials(subject):
        part = tried.part
        assert part.phase is not None
        declared = cast(LossSpec, tried.world.spec).phases[part.phase].reads_data
        before = tried.compute()
        changed = [
            name
            for batch in _other_data(tried.batch, missing=not declared)
            for name in _changes(tried, before, batch)
        ]
        if changed and not declared:
            raise Wrong(
                f"{part.where}: '{changed[0]}' changes with the real samples, but the phase says "
                "reads_data=False; take that out"
            )
        if declared and not changed:
            raise Wrong(
                f"{part.where}: none changes with the real samples, their labels or indices; "
                "declare the phase with reads_data=False"
            )


@check("loss", "regularizer", "augmentation")
def no_host_sync(subject: Subject) -> None:
    """A GPU that has to hand a number to the host stands still until the host has sent new work,
    in every iteration."""
    for tried in trials(subject):
        try:
            tried.compute(watched=no_waiting())
        except Waits as error:
            raise Wrong(
                f"{tried.part.where}: {error}{place(error)}, for which the host waits; stay with "
                "operations on tensors"
            ) from error


@check("loss", "regularizer", "augmentation")
def follows_its_device(subject: Subject) -> None:
    """A tensor made on the CPU stops the first iteration on a GPU."""
    for world in smallest(subject):
        for part in parts(world.spec):
            with elsewhere():
                tried = trial(world, part)
                for module in tried.modules.values():
                    module.to(META)
                try:
                    terms = tried.compute(on(META, tried.batch))
                except Exception as error:
                    raise immobile(error, tried.component) from error
            for name, term in terms.items():
                if term.device != META:
                    raise Wrong(
                        f"{part.where}: '{name}' is on the CPU whatever the device; "
                        f"{advice(tried.component)}"
                    )


def _check_own_weights(tried: Trial) -> None:
    """Raise `Wrong` unless a loss says of itself whether it has weights to train."""
    spec = tried.world.spec
    if not isinstance(spec, LossSpec):
        return
    made = tried.world.fresh().build()
    weights = list(made.parameters()) if isinstance(made, nn.Module) else []
    own = any(weight.requires_grad for weight in weights)
    if spec.has_weights and not own:
        raise Wrong(
            f"`has_weights` is true, but `build` returns {type(made).__name__} without weights to "
            "train; return a torch.nn.Module with parameters"
        )
    if own and not spec.has_weights:
        raise Wrong(
            "has weights that nothing trains; let `has_weights` return True, or keep them as "
            "buffers"
        )


def _unreached(tried: Trial, terms: Terms) -> frozenset[str]:
    """What no gradient of the terms reaches of that which the part trains.

    For a regularizer one network is enough. Raises `Wrong` where a gradient is not finite.
    """
    total, reached = tried.minimised(terms), set()
    for slot in sorted(tried.part.trains):
        if weights := tried.weights(slot):
            found = torch.autograd.grad(total, weights, retain_graph=True, allow_unused=True)
            gradients = [gradient for gradient in found if gradient is not None]
            if any(map(not_finite, gradients)):
                raise Wrong(
                    f"{tried.part.where}: the gradient to the {slot} is not finite for an "
                    "ordinary batch"
                )
            if any(bool(gradient.any()) for gradient in gradients):
                reached.add(slot)
    if reached and isinstance(tried.world.spec, RegularizerSpec):
        return frozenset()
    return tried.part.trains - reached


def _flags(module: nn.Module) -> list[bool]:
    """Modes of all parts of a module, and which of its weights are frozen."""
    return [
        *(part.training for part in module.modules()),
        *(weight.requires_grad for weight in module.parameters()),
    ]


def _check_gradient(tried: Trial, slot: str) -> None:
    """Compare the gradient to a network's weights with differences along random directions.

    The differences are between the weights that the component really saw: one that moves them
    itself, such as by clipping, is judged by where it put them.
    """
    weights = tried.weights(slot)
    start = [weight.detach().clone() for weight in weights]
    stream = generator_for(0, "directions")
    for _ in range(2):
        direction = [torch.randn(w.shape, generator=stream, dtype=w.dtype) for w in weights]
        (high, above, up), (low, below, down) = (
            _at(tried, weights, start, direction, step) for step in (STEP, -STEP)
        )
        # The mean of the slopes at both ends is exact up to the third power of the way.
        expected = sum(
            float(((u + d) / 2 * (a - b)).sum())
            for a, b, u, d in zip(above, below, up, down, strict=True)
        )
        seen = high - low
        allowed = 1e-4 * max(abs(seen), abs(expected)) + 1e-13 * max(1.0, abs(high))
        if not abs(seen - expected) <= allowed:
            raise Wrong(
                f"{tried.part.where}: along a direction of the {slot}'s weights the value changes "
                f"by {seen / (2 * STEP):.6g}, the gradient says {expected / (2 * STEP):.6g}; "
                "look for a detached, rounded or hand-made part of the value"
            )


def _at(
    tried: Trial,
    weights: Sequence[nn.Parameter],
    start: Sequence[Tensor],
    direction: Sequence[Tensor],
    step: float,
) -> tuple[float, Sequence[Tensor], Sequence[Tensor]]:
    """The value a step away from where the weights start, the weights that it was taken at, and
    the gradient there. The weights are put back."""
    with torch.no_grad():
        for weight, value, by in zip(weights, start, direction, strict=True):
            weight.copy_(value + step * by)
    total = tried.minimised(tried.compute())
    seen = [weight.detach().clone() for weight in weights]
    found = torch.autograd.grad(total, weights, allow_unused=True)
    with torch.no_grad():
        for weight, value in zip(weights, start, strict=True):
            weight.copy_(value)
    gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(seen, found, strict=True)]
    return float(total.detach()), seen, gradients


def _check_finite(tried: Trial, situation: str, remedy: str) -> None:
    terms = tried.compute()
    for name, term in terms.items():
        if not_finite(term.detach()):
            raise Wrong(
                f"{tried.part.where}: '{name}' is {term.item()} where {situation}; {remedy}"
            )
    if any(term.requires_grad for term in terms.values()):
        tried.minimised(terms).backward()
    for slot in sorted(tried.part.trains):
        if any(w.grad is not None and not_finite(w.grad) for w in tried.weights(slot)):
            raise Wrong(
                f"{tried.part.where}: the gradient to the {slot} is not finite where {situation}; "
                f"{remedy}"
            )


def _grows(once: float, twice: float, four: float) -> str | None:
    """What is wrong with a value that is this for a batch, the batch twice and four times.

    A mean stays. An estimate without bias comes nearer to its limit in steps that shrink, the
    sum of logarithms over a batch grows in equal ones; those of a sum double.
    """
    small = 1e-3 * max(abs(once), abs(twice), abs(four)) + 1e-6
    first, second = twice - once, four - twice
    if abs(first) <= small and abs(second) <= small:
        return None
    if abs(second) > 1.2 * abs(first) + small:
        return "take the mean over the batch, not the sum"
    if abs(2 * four - twice) <= small:
        return "it vanishes in large batches: divide by the batch size once"
    return None


def _other_data(batch: Batch, *, missing: bool) -> list[Batch]:
    """Batches in which one of the things that are read with the data is another, or missing."""
    labels = [] if batch.labels is None else [replace(batch, labels=batch.labels.roll(1))]
    nothing = [replace(batch, x=batch.x * torch.nan)] if missing else []
    return [
        replace(batch, x=batch.x.flip(0) / 2),
        *labels,
        replace(batch, indices=batch.indices + 1),
        *nothing,
    ]


def _changes(tried: Trial, before: Terms, batch: Batch) -> list[str]:
    """Names of the terms that are others with another batch."""
    after = trial(tried.world, tried.part).compute(batch)
    return [name for name in before if not torch.equal(before[name], after[name])]
