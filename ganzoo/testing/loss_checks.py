"""Checks of losses, of regularizers and of augmentations: of what a step computes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters
from torch.utils._pytree import tree_leaves

from ganzoo import registry
from ganzoo.engine.group import named_terms as engine_named_terms
from ganzoo.engine.random import generator_for, seeded
from ganzoo.engine.step import Batch
from ganzoo.errors import RunError
from ganzoo.specs import LossSpec, RegularizerSpec
from ganzoo.testing import benches
from ganzoo.testing.bench import CPU, Bench, each_tensor
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.effects import one_line, plugin_place, streams_at
from ganzoo.testing.modes import META, Noise, Waits, advice, no_waiting, other_device
from ganzoo.testing.tensors import check_derivatives, not_finite, random_sum, trainable

SURE = "logits are 1e4 or -1e4; write -log sigmoid(l) as `softplus(-l)`, bound exponentials"
FLAT = (
    "the discriminator gives 0 for every sample; a root of 0 has no gradient: take "
    "`torch.linalg.vector_norm`, or add a small number"
)


@check("loss", "regularizer", on=benches.steps_of_variants)
def named_terms(bench: Bench) -> None:
    """The engine adds up 0-d terms and logs each under its name; another shape stops the run."""
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
        assert isinstance(bench.spec, LossSpec | RegularizerSpec)
        full = f"{bench.phase}/{name}" if isinstance(bench.spec, LossSpec) else name
        if (declared := bench.spec.terms) and full not in declared:
            problem = f"{where}: nothing is said of '{full}' in `terms`"
            raise Wrong(f"{problem}; say what it means there")


@check("loss", on=benches.first)
def scheduled_phases(bench: Bench) -> None:
    """A phase that no schedule runs trains nothing; statistics are called phase/term."""
    assert isinstance(bench.spec, LossSpec)
    names = bench.spec.phases.keys()
    for phase in names:
        if not re.fullmatch(r"[^\s/]+", phase):
            raise Wrong(f"the phase {phase!r} has no name that a schedule can run; take a word")
    schedules: list[Any] = [each.spec for each in registry.installed().entries("schedule")]
    runs = [each.runs for each in schedules if isinstance(each.runs, frozenset)]
    if missing := sorted(set(names).difference(*(each for each in runs if each <= names))):
        groups = ", ".join(f'["{phase}"]' for phase in names)
        table = f'schedule = {{ type = "sequence", groups = [{groups}] }}'
        problem = f"no schedule runs {', '.join(missing)} by itself"
        raise Skip(f"{problem}; recipes need {table}: say so in the docstring")


@check("loss", "regularizer", on=benches.steps_of_variants)
def trains_its_networks(bench: Bench) -> None:
    """A network that no gradient reaches stays as it was drawn, while its optimizer steps."""
    built = bench.component
    own = isinstance(built, nn.Module) and bool(trainable(built))
    declared = bench.spec.has_weights if isinstance(bench.spec, LossSpec) else own
    if declared and not own:
        problem = f"`build` returns {type(built).__name__} without weights to train"
        raise Wrong(f"`has_weights` is true, but {problem}; return a torch.nn.Module with weights")
    if own and not declared:
        remedy = "let `has_weights` return True, or keep them as buffers"
        raise Wrong(f"has weights that nothing trains; {remedy}")
    if missing := _unreached(bench):
        # A penalty may cost nothing until a network is steep enough.
        with torch.no_grad():
            for weight in nn.ModuleList(bench.modules.values()).parameters():
                weight.mul_(5)
        missing &= _unreached(bench)
    if missing:
        problem = f"{bench.where}: no gradient reaches the {' or the '.join(sorted(missing))}"
        remedy = "do not detach what comes of it, or take it out of `trains` of the phase"
        raise Wrong(f"{problem}; {remedy}")


def _unreached(bench: Bench) -> frozenset[str]:
    """What no gradient reaches of that which the step trains; for a regularizer one is enough."""
    total, reached = bench.minimised(bench.compute()), set()
    for name in sorted(bench.trains):
        if weights := bench.weights(name):
            slopes = torch.autograd.grad(total, weights, retain_graph=True, materialize_grads=True)
            if not_finite(*slopes):
                problem = f"the gradient to the {name} is not finite for an ordinary batch"
                raise Wrong(f"{bench.where}: {problem}")
            if any(bool(slope.any()) for slope in slopes):
                reached.add(name)
    enough = reached and isinstance(bench.spec, RegularizerSpec)
    return frozenset() if enough else bench.trains - reached


@check("loss", "regularizer", on=benches.steps)
def leaves_others_alone(bench: Bench) -> None:
    """A gradient left on a network that the phase does not train changes its next step."""

    def flags(module: nn.Module) -> list[bool]:
        modes = [part.training for part in module.modules()]
        return modes + [weight.requires_grad for weight in module.parameters()]

    before = {name: flags(module) for name, module in bench.modules.items()}
    bench.compute()
    for name, module in bench.modules.items():
        if any(weight.grad is not None for weight in module.parameters()):
            remedy = "take gradients by `torch.autograd.grad` and leave `backward` to the engine"
            raise Wrong(f"{bench.where}: `compute` leaves a gradient on the {name}; {remedy}")
        if flags(module) != before[name]:
            problem = f"`compute` leaves the {name} in another mode, or freezes or thaws it"
            raise Wrong(f"{bench.where}: {problem}; put `train()` and `requires_grad_()` back")


def in_float64(subject: Subject) -> Iterator[Bench]:
    """The smallest benches in each phase, in float64."""
    return benches.phases(benches.smallest(subject), dtype=torch.float64)


@check("loss", "regularizer", on=in_float64)
def true_gradient(bench: Bench) -> None:
    """A gradient that is not that of the value minimises something else than the curves show."""
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
            problem = f"'{name}' is computed in {term.dtype} from samples in float64"
            raise Wrong(f"{bench.where}: {problem}; cast nothing, a run is in float32 anyway")
    for name, seed in itertools.product(sorted(bench.trains), (0, 1)):
        if weights := bench.weights(name):
            _check_gradient(bench, name, weights, seed)


def _check_gradient(bench: Bench, name: str, weights: Sequence[nn.Parameter], seed: int) -> None:
    """Compare the gradient to a network's weights with differences along a random direction.

    The differences are between the weights that the component really saw: one that moves them
    itself, such as by clipping, is judged by where it put them.
    """
    start, stream = _flat(weights), generator_for(seed, "directions")
    direction = torch.randn(len(start), generator=stream, dtype=start.dtype)
    for size in (1e-6, 1e-7, 1e-8):  # smaller where a kink, as of a ReLU, lies within
        high, above, up = _at(bench, weights, start + size * direction)
        low, below, down = _at(bench, weights, start - size * direction)
        vector_to_parameters(start, weights)
        # The mean of the slopes at both ends is exact up to the third power of the way.
        expected, difference = float((up + down) / 2 @ (above - below)), high - low
        allowed = 1e-4 * max(abs(difference), abs(expected)) + 1e-13 * max(1.0, abs(high))
        if abs(difference - expected) <= allowed:
            return
    slope, promised = difference / (2 * size), expected / (2 * size)
    raise Wrong(
        f"{bench.where}: along a direction of the {name}'s weights the value changes by {slope:.6g}"
        f", the gradient says {promised:.6g}; look for a detached, rounded or hand-made part of "
        "the value, or declare the phase with stops_gradients=True where it is meant"
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
    slopes = torch.autograd.grad(total, weights, materialize_grads=True)
    for buffer, value in zip(buffers, before, strict=True):
        buffer.data.copy_(value)
    return total.item(), _flat(weights), _flat(slopes)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@check("loss", "regularizer", on=benches.steps)
def finite_at_extremes(bench: Bench) -> None:
    """Sure discriminators and samples at the border are ordinary, and one NaN ends a run."""
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

    def far(x: Tensor) -> Tensor:
        return x + ((x >= 0).to(x) * 2 - 1 - x).detach() if images else 100 * x

    where = "every pixel is -1 or 1" if images else "points are a hundred times as far out"
    where += "; keep logarithms and roots away from 0, and bound exponentials"
    for role, hook, situation in (
        ("discriminator", sure, SURE),
        ("discriminator", lambda module, inputs, logits: 0 * logits, FLAT),
        ("generator", lambda module, inputs, x: far(x), where),
    ):
        prepared = replace(bench)
        if role in prepared.modules:
            prepared.modules[role].register_forward_hook(hook)
        batch = prepared.batch()
        if role == "generator":
            batch = replace(batch, x=far(batch.x))
        yield prepared, batch, situation


@check("loss", "regularizer", on=benches.steps_of_variants)
def mean_over_the_batch(bench: Bench) -> None:
    """A sum makes the learning rate depend on the batch size, and on the number of devices."""
    noise, batch = Noise(), bench.batch()
    once = bench.compute(batch, within=noise)
    twice, four = (
        replace(bench).compute(_repeated(batch, times), within=Noise(noise)) for times in (2, 4)
    )
    for name in once:
        values = [terms[name].item() for terms in (once, twice, four)]
        if problem := _growth_problem(*values):
            shown = ", ".join(f"{value:.4g}" for value in values)
            found = f"'{name}' is {shown} for a batch, the same batch twice and four times"
            raise Wrong(f"{bench.where}: {found}; {problem}")


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


@check("loss", on=benches.steps_of_variants)
def reads_data(bench: Bench) -> None:
    """A phase that says it reads no data gets an old batch; to read data for nothing costs time."""
    assert isinstance(bench.spec, LossSpec)
    declared, batch = bench.spec.phases[bench.phase].reads_data, bench.batch()
    others = [replace(batch, x=batch.x.flip(0) / 2), replace(batch, indices=batch.indices + 1)]
    if batch.labels is not None:
        others.append(replace(batch, labels=batch.labels.flip(0)))
    if not declared:
        others.append(replace(batch, x=batch.x * torch.nan))  # as if they were missing
    before, after = bench.compute(batch), [replace(bench).compute(other) for other in others]
    changed = [name for each in after for name in each if not torch.equal(before[name], each[name])]
    if changed and not declared:
        problem = f"'{changed[0]}' changes with the real samples or their labels"
        raise Wrong(f"{bench.where}: {problem}, but the phase says reads_data=False; take that out")
    if declared and not changed:
        problem = f"{bench.where}: none changes with the real samples, their labels or indices"
        raise Wrong(f"{problem}; declare the phase with reads_data=False")


@check("loss", "regularizer", "augmentation", on=benches.steps)
def no_host_sync(bench: Bench) -> None:
    """A GPU that hands a number to the host stands still until new work comes, every iteration."""
    try:
        bench.compute(within=no_waiting())
    except Waits as error:
        problem = f"{bench.where}: {error}{plugin_place(error)}, for which the host waits"
        raise Wrong(f"{problem}; stay with operations on tensors") from error


def on_other_device(subject: Subject) -> Iterator[Bench]:
    """All variants in each phase, on another device than the CPU."""
    return benches.phases(benches.variants(subject), device=META)


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


@check("augmentation", on=benches.every_shape)
def augmented_shape(bench: Bench) -> None:
    """The discriminator reads augmented samples as it would read real ones."""
    for count in (1, 2, 3):
        batch = bench.batch(count)
        x, changed = batch.x, bench.compute(batch)["samples"]
        if changed.shape != x.shape:
            raise Wrong(f"makes {tuple(changed.shape)} of {tuple(x.shape)}; keep the shape")
        if changed.dtype != x.dtype:
            raise Wrong(f"makes {changed.dtype} of {x.dtype}; draw numbers in `dtype=x.dtype`")
        if not_finite(changed):
            raise Wrong(f"makes values that are not finite {bench.here}; bound what is divided by")


@check("augmentation", on=benches.smallest)
def augmentation_gradient(bench: Bench) -> None:
    """The generator learns through the augmentation, a gradient penalty through its gradient."""
    batch = bench.batch()
    batch.x.requires_grad_()
    total = random_sum([bench.compute(batch)["samples"].square()])
    check_derivatives(total, batch.x, bench.here, "do not detach, round or index by values")


@check("augmentation", on=benches.smallest)
def augmentation_seed(bench: Bench) -> None:
    """A run is the same run again only if all that is random in it follows torch's streams."""
    if not torch.equal(bench.compute()["samples"], bench.compute()["samples"]):
        remedy = "draw by `torch.rand` and the like, and keep nothing from call to call"
        raise Wrong(f"makes other samples under the same seed; {remedy}")


@check("augmentation", on=benches.smallest)
def augmentation_draw(bench: Bench) -> None:
    """`paired` gives real samples and fakes the same draw: all that is random has to be in it."""
    x, augmentation, draws = bench.batch().x, bench.component, []
    for seed in range(6):
        with seeded(seed, "noise", device=CPU):
            draws.append(augmentation.draw(x))
        with streams_at(seed) as moved:
            augmentation(x, draws[-1])
            if stream := moved():
                remedy = "draw in `draw`, and let `__call__` apply it"
                raise Wrong(f"`__call__` draws from {stream}; {remedy}")
    first, second = (tree_leaves(draw) for draw in draws[:2])
    if strange := [leaf for leaf in first if not isinstance(leaf, Tensor)]:
        raise Wrong(f"`draw` gives {strange[0]!r:.40}; give tensors, on the device of the samples")
    outputs = [augmentation(x, draw) for draw in draws]
    if not torch.equal(outputs[0], augmentation(x, draws[0])):
        raise Wrong("makes other samples of the same draw; put all that is random into `draw`")
    alike = all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    if not alike and all(torch.equal(outputs[0], other) for other in outputs):
        raise Wrong("makes the same samples whatever the draw is; let `__call__` use it")


@check("augmentation", on=benches.smallest)
def augmentation_input(bench: Bench) -> None:
    """The batch is read by several phases and terms; each would find it augmented once more."""
    batch = bench.batch()
    before = batch.x.clone()
    bench.compute(batch)
    if not torch.equal(before, batch.x):
        raise Wrong("changes the samples that it is given; write no operation in place on x")
