"""Checks of losses and regularizers; some are of augmentations as well."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

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
from ganzoo.testing.modes import META, Noise, Waits, advice, no_waiting, other_device
from ganzoo.testing.tensors import not_finite, trainable

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
    assert isinstance(bench.spec, LossSpec)
    phases = bench.spec.phases.keys()
    for phase in phases:
        if not re.fullmatch(r"[^\s/]+", phase):
            raise Wrong(f"the phase {phase!r} has no name that a schedule can run; take a word")
    schedules: list[Any] = [each.spec for each in registry.installed().entries("schedule")]
    runs = [each.runs for each in schedules if isinstance(each.runs, frozenset)]
    if missing := sorted(set(phases).difference(*(each for each in runs if each <= phases))):
        groups = ", ".join(f'["{phase}"]' for phase in phases)
        raise Skip(
            f"no schedule runs {', '.join(missing)} by itself; recipes need schedule = "
            f'{{ type = "sequence", groups = [{groups}] }}: say so in the docstring'
        )


@check("loss", "regularizer", on=steps_of_variants)
def trains_its_networks(bench: Bench) -> None:
    """A network that the phase's gradient never reaches stays as it was drawn, while its
    optimizer counts steps."""
    spec, built = bench.spec, bench.component
    own = isinstance(built, nn.Module) and bool(trainable(built))
    if isinstance(spec, LossSpec) and own and not spec.has_weights:
        raise Wrong(
            "has weights that nothing trains; let `has_weights` return True, or make them buffers"
        )
    if isinstance(spec, LossSpec) and spec.has_weights and not own:
        raise Wrong(
            f"`has_weights` is true, but `build` returns {type(built).__name__} without weights to "
            "train; return a torch.nn.Module with parameters"
        )
    missing = _unreached(bench)
    if missing:
        # A penalty may cost nothing until a network is steep enough.
        with torch.no_grad():
            for weight in nn.ModuleList(bench.modules.values()).parameters():
                weight.mul_(5)
        missing &= _unreached(bench)
    if missing:
        raise Wrong(
            f"{bench.where}: no gradient reaches the {' or the '.join(sorted(missing))}; do not "
            "detach what comes of it, or take it out of `trains` of the phase"
        )


def _unreached(bench: Bench) -> frozenset[str]:
    """What no gradient reaches of that which the step trains; for a regularizer one is enough."""
    total, reached = bench.minimised(bench.compute()), set()
    for name in sorted(bench.trains):
        if weights := bench.weights(name):
            slopes = torch.autograd.grad(total, weights, retain_graph=True, materialize_grads=True)
            if not_finite(*slopes):
                raise Wrong(
                    f"{bench.where}: the gradient to the {name} is not finite for an ordinary batch"
                )
            if any(bool(slope.any()) for slope in slopes):
                reached.add(name)
    enough = reached and isinstance(bench.spec, RegularizerSpec)
    return frozenset() if enough else bench.trains - reached


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
                f"{bench.where}: `compute` leaves the {name} in another mode, or freezes or thaws "
                "it; put `train()` and `requires_grad_()` back as they were"
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
        if weights := bench.weights(name):
            for seed in (0, 1):
                _check_gradient(bench, name, weights, seed)


def _check_gradient(bench: Bench, name: str, weights: Sequence[nn.Parameter], seed: int) -> None:
    """Compare the gradient to a network's weights with differences along a random direction.

    The differences are between the weights that the component really saw: one that moves them
    itself, such as by clipping, is judged by where it put them.
    """
    start, stream = _flat(weights), generator_for(seed, "directions")
    direction = torch.randn(len(start), generator=stream, dtype=start.dtype)
    for size in STEPS:
        high, above, up = _at(bench, weights, start + size * direction)
        low, below, down = _at(bench, weights, start - size * direction)
        vector_to_parameters(start, weights)
        # The mean of the slopes at both ends is exact up to the third power of the way.
        expected, difference = float((up + down) / 2 @ (above - below)), high - low
        allowed = 1e-4 * max(abs(difference), abs(expected)) + 1e-13 * max(1.0, abs(high))
        if abs(difference - expected) <= allowed:
            return
    raise Wrong(
        f"{bench.where}: along a direction of the {name}'s weights the value changes by "
        f"{difference / (2 * size):.6g}, the gradient says {expected / (2 * size):.6g}; look for a "
        "detached, rounded or hand-made part of the value, or declare the phase with "
        "stops_gradients=True where it is meant"
    )


def _at(
    bench: Bench, weights: Sequence[nn.Parameter], place: Tensor
) -> tuple[float, Tensor, Tensor]:
    """The value with other weights, the weights that it was taken at, and the gradient there.

    All buffers are put back, running means among them.
    """
    buffers = list(nn.ModuleList(bench.modules.values()).buffers())
    before = [buffer.clone() for buffer in buffers]
    vector_to_parameters(place, weights)
    total = bench.minimised(bench.compute())
    for buffer, value in zip(buffers, before, strict=True):
        buffer.data.copy_(value)
    slopes = torch.autograd.grad(total, weights, materialize_grads=True)
    return total.item(), _flat(weights), _flat(slopes)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@check("loss", "regularizer", on=steps)
def finite_at_extremes(bench: Bench) -> None:
    """Discriminators that are sure and samples at the border are ordinary in a run, and one value
    that is not finite ends it."""
    for prepared, batch, situation in _extremes(bench):
        terms = prepared.compute(batch)
        for name, term in terms.items():
            if not_finite(term):
                raise Wrong(f"{bench.where}: '{name}' is {term.item()} where {situation}")
        if any(term.requires_grad for term in terms.values()):
            prepared.minimised(terms).backward()
        for name in sorted(prepared.trains):
            if not_finite(*(weight.grad for weight in prepared.weights(name))):
                problem = f"the gradient to the {name} is not finite where {situation}"
                raise Wrong(f"{bench.where}: {problem}")


def _extremes(bench: Bench) -> Iterator[tuple[Bench, Batch, str]]:
    """Situations at the border of what a loss meets in a run: a bench whose networks are prepared,
    a batch, and for messages what the situation is and what helps."""
    images, periods = len(bench.sample_shape) == 3, itertools.cycle((1, 2))

    def sure(module: nn.Module, inputs: object, logits: Tensor) -> Tensor:
        # One call has the signs - + - +, the next - - + +: all four pairs of signs are there.
        signs = torch.arange(len(logits)) // next(periods) % 2 * 2 - 1
        return logits + (1e4 * signs - logits).detach()

    def flat(module: nn.Module, inputs: object, logits: Tensor) -> Tensor:
        return 0 * logits

    def extreme(x: Tensor) -> Tensor:
        return x + ((x >= 0).to(x) * 2 - 1 - x).detach() if images else 100 * x

    for hook, situation in (
        (
            sure,
            "logits are 1e4 or -1e4; write -log sigmoid(l) as `softplus(-l)`, bound exponentials",
        ),
        (
            flat,
            "the discriminator gives 0 for every sample; a root of 0 has no gradient: take "
            "`torch.linalg.vector_norm`, or add a small number",
        ),
    ):
        prepared = replace(bench)
        if (network := prepared.modules.get("discriminator")) is not None:
            network.register_forward_hook(hook)
            yield prepared, prepared.batch(), situation
    prepared = replace(bench)
    if (network := prepared.modules.get("generator")) is not None:
        network.register_forward_hook(lambda module, inputs, x: extreme(x))
    batch = prepared.batch()
    situation = "every pixel is -1 or 1" if images else "points are a hundred times as far out"
    remedy = "keep logarithms and roots away from 0, and bound exponentials"
    yield prepared, replace(batch, x=extreme(batch.x)), f"{situation}; {remedy}"


@check("loss", "regularizer", on=steps_of_variants)
def mean_over_the_batch(bench: Bench) -> None:
    """A sum over the batch makes the learning rate depend on the batch size, and on the number
    of devices that share the batch."""
    noise, batch = Noise(), bench.batch()
    once = bench.compute(batch, within=noise)
    twice, four = (
        replace(bench).compute(_repeated(batch, times), within=Noise(noise)) for times in (2, 4)
    )
    for name in once:
        values = [terms[name].item() for terms in (once, twice, four)]
        if problem := _growth_problem(*values):
            shown = ", ".join(f"{value:.4g}" for value in values)
            raise Wrong(
                f"{bench.where}: '{name}' is {shown} for a batch, the same batch twice and four "
                f"times; {problem}"
            )


def _repeated(batch: Batch, times: int) -> Batch:
    """A batch that holds every sample several times."""
    return each_tensor(batch, lambda each: torch.cat([each] * times) if each.dim() else each)


def _growth_problem(once: float, twice: float, four: float) -> str | None:
    """What is wrong with a value that is this for a batch, the batch twice and four times.

    A mean stays. An estimate without bias comes nearer to its limit in steps that shrink, the
    sum of logarithms over a batch grows in equal ones; those of a sum double.
    """
    small = 1e-3 * max(abs(once), abs(twice), abs(four)) + 1e-6
    first, second = abs(twice - once), abs(four - twice)
    if max(first, second) <= small:
        return None
    if second > 1.2 * first + small:
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
    others = [replace(batch, x=batch.x.flip(0) / 2), replace(batch, indices=batch.indices + 1)]
    if batch.labels is not None:
        others.append(replace(batch, labels=batch.labels.flip(0)))
    if not declared:
        others.append(replace(batch, x=batch.x * torch.nan))  # as if they were missing
    before = bench.compute(batch)
    changed = [
        name
        for other in others
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
            f"{bench.where}: none changes with the real samples, their labels or indices; declare "
            "the phase with reads_data=False"
        )


@check("loss", "regularizer", "augmentation", on=steps)
def no_host_sync(bench: Bench) -> None:
    """A GPU that has to hand a number to the host stands still until the host has sent new work,
    in every iteration."""
    try:
        bench.compute(within=no_waiting())
    except Waits as error:
        problem = f"{bench.where}: {error}{plugin_place(error)}, for which the host waits"
        raise Wrong(f"{problem}; stay with operations on tensors") from error


@check("loss", "regularizer", "augmentation", on=on_other_device)
def follows_its_device(bench: Bench) -> None:
    """A tensor made on the CPU stops the first iteration on a GPU."""
    with other_device(bench.component):
        terms = bench.compute()
    for name, term in terms.items():
        # A number on the CPU, such as a key's value, can be logged from there.
        if term.device != META and (term.requires_grad or term.dim()):
            problem = f"'{name}' is on the CPU whatever the device"
            raise Wrong(f"{bench.where}: {problem}; {advice(bench.component)}")
