"""Checks of losses and regularizers; some are of augmentations as well."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ganzoo import registry
from ganzoo.engine.group import named_terms as engine_named_terms
from ganzoo.engine.random import generator_for
from ganzoo.engine.step import Batch
from ganzoo.errors import RunError
from ganzoo.specs import LossSpec, RegularizerSpec
from ganzoo.testing.bench import Bench, each_tensor
from ganzoo.testing.benches import first, phases, smallest, steps, steps_of_variants, variants
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.effects import one_line, plugin_place
from ganzoo.testing.extreme_inputs import SITUATIONS
from ganzoo.testing.modes import META, Noise, Waits, advice, no_waiting, other_device
from ganzoo.testing.tensors import not_finite

Terms = Mapping[str, Tensor]

STEPS = (1e-6, 1e-7, 1e-8)
"""Sizes of the differences of weights that gradients are compared with, in float64: a smaller one
is taken where a kink, as of a ReLU, lies within the one before."""


def in_float64(subject: Subject) -> Iterator[Bench]:
    """The smallest benches in each phase, in float64."""
    return phases(smallest(subject), dtype=torch.float64)


def on_other_device(subject: Subject) -> Iterator[Bench]:
    """All variants in each phase, on another device than the CPU."""
    return phases(variants(subject), device=META)


@check("loss", "regularizer", on=steps_of_variants)
def named_terms(bench: Bench) -> None:
    """The engine adds up 0-d terms and logs each under its name; a term of another shape stops
    the run, or is added up over the batch where a mean was meant."""
    output, where = bench.compute(), bench.where
    try:
        terms = engine_named_terms(where, output)
    except RunError as error:
        raise Wrong(f"{error.message}; {error.hint}") from error
    if not terms:
        raise Wrong(f"{where}: {output!r:.60}; return a dict of tensors by name")
    for name, term in terms.items():
        if not (isinstance(name, str) and name):
            raise Wrong(f"{where}: {name!r} is no name; write a short text")
        if not term.is_floating_point():
            raise Wrong(f"{where}: '{name}' is of {term.dtype}; return `.float()` of it")
        if not_finite(term):
            raise Wrong(f"{where}: '{name}' is {term.item()} for an ordinary batch")
        if name == "total" and isinstance(bench.spec, LossSpec):
            raise Wrong(f"{where}: the engine calls the sum 'total'; take another name")


@check("loss", on=first)
def scheduled_phases(bench: Bench) -> None:
    """A phase that no schedule runs trains nothing; one whose name has a slash in it mixes up the
    names of statistics, which are called phase/term."""
    spec = bench.spec
    assert isinstance(spec, LossSpec)
    for phase in spec.phases:
        if not re.fullmatch(r"[^\s/]+", phase):
            raise Wrong(f"the phase {phase!r} has no name that a schedule can run; take a word")
    schedules = [entry.spec for entry in registry.installed().entries("schedule")]
    runs = [each.runs for each in schedules if isinstance(each.runs, frozenset)]  # type: ignore[attr-defined]
    reached = frozenset[str]().union(*(each for each in runs if each <= spec.phases.keys()))
    if missing := sorted(spec.phases.keys() - reached):
        groups = ", ".join(f'["{phase}"]' for phase in spec.phases)
        raise Skip(
            f"no schedule runs {', '.join(missing)} by itself; recipes need schedule = "
            f'{{ type = "sequence", groups = [{groups}] }}: say so in the docstring'
        )


@check("loss", "regularizer", on=steps_of_variants)
def trains_its_networks(bench: Bench) -> None:
    """A network that the phase's gradient never reaches stays as it was drawn, while its
    optimizer counts steps."""
    _check_own_weights(bench)
    terms = bench.compute()
    bench.minimised(terms)
    missing = _unreached(bench, terms)
    if missing:
        # A penalty may cost nothing until a network is steep enough.
        with torch.no_grad():
            for module in bench.modules.values():
                for weight in module.parameters():
                    weight.mul_(5)
        missing &= _unreached(bench, bench.compute())
    if missing:
        raise Wrong(
            f"{bench.where}: no gradient reaches the {' or the '.join(sorted(missing))}; "
            "do not detach what comes of it, or take it out of `trains` of the phase"
        )


def _check_own_weights(bench: Bench) -> None:
    """Raise `Wrong` unless a loss says of itself whether it has weights to train."""
    spec, component = bench.spec, bench.component
    if not isinstance(spec, LossSpec):
        return
    weights = component.parameters() if isinstance(component, nn.Module) else ()
    own = any(weight.requires_grad for weight in weights)
    if spec.has_weights and not own:
        raise Wrong(
            f"`has_weights` is true, but `build` returns {type(component).__name__} without "
            "weights to train; return a torch.nn.Module with parameters"
        )
    if own and not spec.has_weights:
        raise Wrong(
            "has weights that nothing trains; let `has_weights` return True, or keep them as "
            "buffers"
        )


def _unreached(bench: Bench, terms: Terms) -> frozenset[str]:
    """What no gradient of the terms reaches of that which the step trains.

    For a regularizer one network is enough. Raises `Wrong` where a gradient is not finite.
    """
    total, reached = bench.minimised(terms), set()
    for name in sorted(bench.trains):
        if weights := bench.weights(name):
            slopes = torch.autograd.grad(total, weights, retain_graph=True, allow_unused=True)
            gradients = [gradient for gradient in slopes if gradient is not None]
            if any(map(not_finite, gradients)):
                raise Wrong(
                    f"{bench.where}: the gradient to the {name} is not finite for an ordinary batch"
                )
            if any(bool(gradient.any()) for gradient in gradients):
                reached.add(name)
    if reached and isinstance(bench.spec, RegularizerSpec):
        return frozenset()
    return bench.trains - reached


@check("loss", "regularizer", on=steps)
def leaves_others_alone(bench: Bench) -> None:
    """A gradient left on a network that the phase does not train joins its next step, which then
    goes another way."""

    def flags(module: nn.Module) -> list[bool]:
        modes = [part.training for part in module.modules()]
        return modes + [weight.requires_grad for weight in module.parameters()]

    before = {name: flags(module) for name, module in bench.modules.items()}
    bench.compute()
    for name, module in bench.modules.items():
        if any(weight.grad is not None for weight in module.parameters()):
            raise Wrong(
                f"{bench.where}: `compute` leaves a gradient on the {name}; take gradients by "
                "`torch.autograd.grad` and leave `backward` to the engine"
            )
        if flags(module) != before[name]:
            raise Wrong(
                f"{bench.where}: `compute` leaves the {name} in another mode, or freezes or "
                "thaws it; put `train()` and `requires_grad_()` back as they were"
            )


@check("loss", "regularizer", on=in_float64)
def true_gradient(bench: Bench) -> None:
    """A gradient that is not that of the value, as after a detached factor, minimises something
    else than what the curves show."""
    if isinstance(bench.spec, LossSpec) and bench.spec.phases[bench.phase].stops_gradients:
        raise Skip(f"phase '{bench.phase}' stops gradients on purpose")
    # What the loss itself does to weights, such as clipping, is done once before.
    try:
        terms = bench.compute()
    except RuntimeError as error:
        if "dtype" in str(error) or "scalar type" in str(error):
            raise Skip(f"it cannot compute in float64: {one_line(error)}") from error
        raise
    for name, term in terms.items():
        if term.requires_grad and term.dtype != torch.float64:
            raise Wrong(
                f"{bench.where}: '{name}' is computed in {term.dtype} from samples in float64; "
                "cast nothing, networks return float32 in every run"
            )
    for name in sorted(bench.trains):
        if bench.weights(name):
            _check_gradient(bench, name)


def _check_gradient(bench: Bench, name: str) -> None:
    """Compare the gradient to a network's weights with differences along random directions.

    The differences are between the weights that the component really saw: one that moves them
    itself, such as by clipping, is judged by where it put them.
    """
    weights = bench.weights(name)
    for seed in (0, 1):
        stream = generator_for(seed, "directions")
        direction = [torch.randn(w.shape, generator=stream, dtype=w.dtype) for w in weights]
        for size in STEPS:
            (high, above, up), (low, below, down) = (
                _at(bench, weights, direction, signed) for signed in (size, -size)
            )
            # The mean of the slopes at both ends is exact up to the third power of the way.
            pairs = zip(above, below, up, down, strict=True)
            expected = sum(float(((u + d) / 2 * (a - b)).sum()) for a, b, u, d in pairs)
            difference = high - low
            allowed = 1e-4 * max(abs(difference), abs(expected)) + 1e-13 * max(1.0, abs(high))
            if abs(difference - expected) <= allowed:
                break
        else:
            raise Wrong(
                f"{bench.where}: along a direction of the {name}'s weights the value changes by "
                f"{difference / (2 * size):.6g}, the gradient says {expected / (2 * size):.6g}; "
                "look for a detached, rounded or hand-made part of the value, or declare the "
                "phase with stops_gradients=True where it is meant"
            )


def _at(
    bench: Bench, weights: Sequence[nn.Parameter], direction: Sequence[Tensor], size: float
) -> tuple[float, Sequence[Tensor], Sequence[Tensor]]:
    """The value some way from where the weights start, the weights that it was taken at, and the
    gradient there. All weights and buffers are put back, running means among them."""
    state = [*weights, *(b for module in bench.modules.values() for b in module.buffers())]
    start = [value.detach().clone() for value in state]
    with torch.no_grad():
        for weight, by in zip(weights, direction, strict=True):
            weight.add_(size * by)
    total = bench.minimised(bench.compute())
    used = [weight.detach().clone() for weight in weights]
    slopes = torch.autograd.grad(total, weights, allow_unused=True)
    with torch.no_grad():
        for value, before in zip(state, start, strict=True):
            value.copy_(before)
    gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(used, slopes, strict=True)]
    return float(total.detach()), used, gradients


@check("loss", "regularizer", on=steps)
def finite_at_extremes(bench: Bench) -> None:
    """Discriminators that are sure and samples at the border are ordinary in a run, and one value
    that is not finite ends it."""
    for prepare in SITUATIONS:
        prepared = replace(bench)
        if (situation := prepare(prepared)) is None:
            continue
        terms = prepared.compute(situation.batch)
        where, end = f"not finite where {situation.name}", situation.remedy
        for name, term in terms.items():
            if not_finite(term.detach()):
                raise Wrong(
                    f"{bench.where}: '{name}' is {term.item()} where {situation.name}; {end}"
                )
        if any(term.requires_grad for term in terms.values()):
            prepared.minimised(terms).backward()
        for name in sorted(prepared.trains):
            if any(w.grad is not None and not_finite(w.grad) for w in prepared.weights(name)):
                raise Wrong(f"{bench.where}: the gradient to the {name} is {where}; {end}")


@check("loss", "regularizer", on=steps_of_variants)
def mean_over_the_batch(bench: Bench) -> None:
    """A sum over the batch makes the learning rate depend on the batch size, and on the number
    of devices that share the batch."""
    noise, batch = Noise(), bench.batch()
    once = bench.compute(batch, within=noise)
    twice, four = (
        replace(bench).compute(repeated(batch, times), within=Noise(noise)) for times in (2, 4)
    )
    for name in once:
        values = [float(terms[name].detach()) for terms in (once, twice, four)]
        if problem := _growth_problem(*values):
            shown = ", ".join(f"{value:.4g}" for value in values)
            raise Wrong(
                f"{bench.where}: '{name}' is {shown} for a batch, the same batch twice and "
                f"four times; {problem}"
            )


def repeated(batch: Batch, times: int) -> Batch:
    """A batch that holds every sample several times."""
    return each_tensor(batch, lambda each: torch.cat([each] * times) if each.dim() else each)


def _growth_problem(once: float, twice: float, four: float) -> str | None:
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


@check("loss", on=steps_of_variants)
def reads_data(bench: Bench) -> None:
    """A phase that says it reads no data is given an old batch of them; one that says it does
    and does not costs the time to read them."""
    assert isinstance(bench.spec, LossSpec)
    declared, batch = bench.spec.phases[bench.phase].reads_data, bench.batch()
    before = bench.compute(batch)
    changed = [
        name
        for other in _other_data(batch, missing=not declared)
        for name, term in replace(bench).compute(other).items()
        if not torch.equal(before[name], term)
    ]
    if changed and not declared:
        raise Wrong(
            f"{bench.where}: '{changed[0]}' changes with the real samples or their labels, but "
            "the phase says reads_data=False; take that out"
        )
    if declared and not changed:
        raise Wrong(
            f"{bench.where}: none changes with the real samples, their labels or indices; "
            "declare the phase with reads_data=False"
        )


def _other_data(batch: Batch, *, missing: bool) -> Iterator[Batch]:
    """Batches in which one of the things that are read with the data is another, or missing."""
    yield replace(batch, x=batch.x.flip(0) / 2)
    if batch.labels is not None:
        yield replace(batch, labels=batch.labels.flip(0))
    yield replace(batch, indices=batch.indices + 1)
    if missing:
        yield replace(batch, x=batch.x * torch.nan)


@check("loss", "regularizer", "augmentation", on=steps)
def no_host_sync(bench: Bench) -> None:
    """A GPU that has to hand a number to the host stands still until the host has sent new work,
    in every iteration."""
    try:
        bench.compute(within=no_waiting())
    except Waits as error:
        raise Wrong(
            f"{bench.where}: {error}{plugin_place(error)}, for which the host waits; stay with "
            "operations on tensors"
        ) from error


@check("loss", "regularizer", "augmentation", on=on_other_device)
def follows_its_device(bench: Bench) -> None:
    """A tensor made on the CPU stops the first iteration on a GPU."""
    with other_device(bench.component):
        terms = bench.compute()
    for name, term in terms.items():
        # A number on the CPU, such as a key's value, can be logged from there.
        if term.device != META and (term.requires_grad or term.dim()):
            raise Wrong(
                f"{bench.where}: '{name}' is on the CPU whatever the device; "
                f"{advice(bench.component)}"
            )
