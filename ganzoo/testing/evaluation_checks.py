"""Checks of what a model is sampled and measured with: priors, extractors, metrics, probes.

A metric is given held-out samples as the real ones, and as generated ones some sets that are
known to be as good or worse: the real ones with no noise and with more and more, as many training
samples, and one real sample as often. The noise of samples and features pushes them all to one
side, so that they leave the place where the real ones are, and do not only spread. Probabilities
are mixed with the certainty that all samples are of one class, as when a generator collapses.
"""

from __future__ import annotations

import copy
import functools
import math
import numbers
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

from ganzoo.engine.random import generator_for
from ganzoo.specs import MetricSpec
from ganzoo.testing.bench import Bench, Reading
from ganzoo.testing.benches import first, smallest
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.effects import no_draws, one_line, streams_at
from ganzoo.testing.state_checks import GROUP, difference
from ganzoo.testing.tensors import largest_difference, not_finite

CODES = 40
EQUAL, TRAINING = "no noise", "training samples"
NOISE: Mapping[str, float] = {"little noise": 0.1, "more noise": 0.4, "much noise": 1.0}
"""Levels: noise of so many times `STRENGTH` deviations, or a share that is mixed in."""
STRENGTH = 4
SLACK = 0.05
"""Part of a value's range over all sets within which it may go the wrong way: values of copied
samples reach their floor again, and values over random subsets vary a little."""
ROUNDING = 1e-3
"""Part of a value's range that sums in another order may change."""
CHUNK = 100
OWN_STREAM = "draw from a torch.Generator of its own"
STEP = 0.01
"""How far weights are moved between a probe's two looks, as by a step of an optimizer."""

Values = Mapping[str, float]


def _fitted(bench: Bench, shift: float = 0.0) -> Any:
    """The prior, fitted to codes around `shift` if it is one that is fitted."""
    prior = bench.build()
    if bench.spec.fitted:  # type: ignore[attr-defined]
        stream = torch.Generator().manual_seed(1)
        prior.fit(torch.randn(CODES, bench.latent_dim, generator=stream) + shift)
    return prior


def _sample(prior: Any, count: int = 8, seed: int = 0) -> Any:
    return prior.sample(count, torch.Generator().manual_seed(seed))


@check("prior", on=first)
def prior_samples(bench: Bench) -> None:
    """Latents of another shape stop the generator; what is not finite makes empty pictures."""
    prior = _fitted(bench)
    for count in (1, 3):
        z, shape = _sample(prior, count), (count, bench.latent_dim)
        if not isinstance(z, Tensor) or tuple(z.shape) != shape or z.dtype != torch.float32:
            shown = f"{z.dtype} {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
            raise Wrong(f"sample({count}, generator) gives {shown}; give float32 {shape}")
        if not_finite(z):
            raise Wrong("gives latents that are not finite")


@check("prior", on=first)
def prior_seed(bench: Bench) -> None:
    """The seed of a run, or of whoever samples it, fixes the samples."""
    prior, samples = _fitted(bench), []
    for seed in (1, 2):
        with no_draws(seed, "sample()", "draw from the generator that it is given"):
            samples.append(_sample(prior))
    if not torch.equal(*samples):
        raise Wrong("gives other latents for the same generator; keep nothing from call to call")
    if torch.equal(samples[0], _sample(prior, seed=1)):
        raise Wrong("gives the same latents for another generator; draw from the one that is given")


@check("prior", on=first)
def prior_fit(bench: Bench) -> None:
    """A prior that says it is fitted, and is not, is sampled from where no code lies."""
    prior, fitted = _fitted(bench), bench.spec.fitted  # type: ignore[attr-defined]
    near = _sample(prior)
    if fitted and torch.equal(near, _sample(_fitted(bench, 3.0))):
        raise Wrong("gives the same latents whatever it is fitted to; write fitted = False")
    if not fitted:
        prior.fit(torch.ones(CODES, bench.latent_dim) + torch.eye(CODES, bench.latent_dim))
        if not torch.equal(near, _sample(prior)):
            raise Wrong("is changed by fit(), which is never called; write fitted = True")


@check("prior", on=first)
def prior_state(bench: Bench) -> None:
    """A fitted prior is kept as safetensors, and read when the run is sampled."""
    prior, other = _fitted(bench, 1.0), bench.build(1)
    state = prior.state_dict() if hasattr(prior, "state_dict") else None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise Wrong("has no state dict of tensors by name; make it a torch.nn.Module with buffers")
    try:
        file = safetensors.torch.save({key: value.contiguous() for key, value in state.items()})
        other.load_state_dict(safetensors.torch.load(file))
    except Exception as error:
        problem = f"its state cannot be kept as safetensors and loaded again: {one_line(error)}"
        raise Wrong(f"{problem}; register buffers of the same shapes in every build") from error
    if not torch.equal(_sample(prior), _sample(other)):
        raise Wrong("gives other latents after its state was loaded; keep all of it in buffers")


@check("extractor", on=smallest)
def extractor_outputs(bench: Bench) -> None:
    """Distances are taken in the features, and scores in the probabilities of the classes."""
    network = bench.component.eval()
    if not str(getattr(network, "note", "")).strip():
        raise Wrong("has no `note`; say in a text what a reader of the values has to know")
    widths = set()
    for count in (1, 3):
        output = network(bench.batch(count).x)
        if not (isinstance(output, tuple) and len(output) == 2):
            pair = "the pair of features (N, F) and logits (N, K), or None for the logits"
            raise Wrong(f"gives {type(output).__name__}; return {pair}")
        for values, name in zip(output, ("features", "logits"), strict=True):
            if values is None and name == "logits":
                continue
            if not isinstance(values, Tensor) or values.dim() != 2 or len(values) != count:
                shown = tuple(values.shape) if isinstance(values, Tensor) else values
                raise Wrong(f"gives {name} {shown} for {count} samples; give ({count}, ...)")
            if not_finite(values):
                raise Wrong(f"gives {name} that are not finite {bench.here}")
        widths.add(output[0].shape[1])
    if len(widths) > 1:
        raise Wrong("the number of features depends on the number of samples")


@check("extractor", on=smallest)
def fixed_features(bench: Bench) -> None:
    """Distances can be compared only in features of the same network, for every seed."""
    x, features = bench.batch().x, []
    for seed in (0, 1):
        network: nn.Module = bench.build(seed).eval()
        with streams_at(seed), torch.no_grad():
            features += [network(x)[0], network(x)[0]]
    if any(largest_difference(features[:1], [other]) for other in features[1:]):
        remedy = "draw nothing, and weights from generators with a fixed seed"
        raise Wrong(f"gives other features for the same samples; {remedy}")


def noisy(spec: MetricSpec, values: Tensor, level: float) -> Tensor:
    """What the metric reads, `(N, ...)`, worse by a level in [0, 1]."""
    if spec.reads == "probabilities":
        return torch.lerp(values, torch.eye(values.shape[1])[:1], level)
    noise = torch.randn(values.shape, generator=generator_for(0, "kit", "noise")).abs()
    worse = values + level * STRENGTH * values.std() * noise
    return worse.clamp(-1, 1) if values.ndim == 4 else worse


def _at(reading: Reading, places: Tensor) -> Reading:
    return Reading(reading.values[places], reading.labels[places])


class Comparison(NamedTuple):
    """The values of a metric, by set and name."""

    bench: Bench
    spec: MetricSpec
    values: Mapping[str, Values]

    def slack(self, share: float) -> dict[str, float]:
        """A share of each value's range over all sets."""
        slack = {}
        for key in frozenset().union(*self.values.values()):
            values = [each.get(key, math.nan) for each in self.values.values()]
            finite = [value for value in values if math.isfinite(value)] or [0.0]
            slack[key] = share * (max(finite) - min(finite))
        return slack

    def check_ranking(self, *names: str) -> None:
        """Raise `Wrong` where a value gets better from set to set, or is not a number."""
        if not self.spec.better:
            raise Skip("it says of no value which way is better")
        slack = self.slack(SLACK)
        for key, way in self.spec.better.items():
            values = [self.values[name].get(key, math.nan) for name in names]
            sign = 1 if way == "lower" else -1
            # Comparisons with what is not a number are false.
            if not all(sign * b >= sign * a - slack[key] for a, b in pairwise(values)):
                pairs = zip(values, names, strict=True)
                shown = ", then ".join(f"{value:.4g} with {name}" for value, name in pairs)
                raise Wrong(
                    f"'{key}' is {shown}, although {way} is better; turn `better` round, or leave "
                    "the value out of it if it does not say how good samples are"
                )


@functools.lru_cache(maxsize=1)
def compared(subject: Subject) -> list[Comparison]:
    """A metric's values for each of the sets; raises `Skip` where they are not to be had."""
    bench = first(subject)[0]
    spec: Any = bench.spec
    real = bench.reading()
    sets = {EQUAL: real, TRAINING: bench.reading(training=True)}
    for name, level in NOISE.items():
        sets[name] = Reading(noisy(spec, real.values, level), real.labels)
    sets["one sample"] = _at(real, torch.zeros(len(real.values), dtype=torch.int64))
    if not spec.judges_samples:
        # Such metrics may take long, and three sets are enough to see that none of them counts.
        sets = {name: sets[name] for name in (EQUAL, TRAINING, "much noise")}
    measured = {name: bench.measure(generated) for name, generated in sets.items()}
    try:
        values = {name: _floats(each) for name, each in measured.items()}
    except (AttributeError, TypeError) as error:
        raise Skip("its values are no numbers; see `named-values`") from error
    if missing := spec.better.keys() - values[EQUAL].keys():
        raise Skip(f"'{min(missing)}' is missing; see `named-values`")
    return [Comparison(bench, spec, values)]


def _floats(values: Any) -> Values:
    return {key: float(value) for key, value in values.items()}


def _check_same(values: Values, others: Values, slack: Values, where: str) -> None:
    """Raise `Wrong` where values differ by more than rounding and a slack."""
    for key, value in values.items():
        other, most = others.get(key, math.nan), slack.get(key, 0.0) + 1e-6
        if not np.isclose(other, value, rtol=1e-4, atol=most, equal_nan=True):
            raise Wrong(f"'{key}' is {value:.6g}, and {other:.6g} {where}")


def _check_values(values: Any, *, tensors: bool = False, where: str = "") -> None:
    """Raise `Wrong` unless these are finite numbers, or tensors that hold one, by name."""
    if not isinstance(values, Mapping):
        raise Wrong(f"compute() returns a {type(values).__name__}; return values by name")
    for name, value in values.items():
        if not isinstance(name, str) or not name or set(name) & set("[]\n"):
            raise Wrong(f"compute() names a value {name!r}; take a word without brackets")
        is_tensor = tensors and isinstance(value, Tensor) and value.ndim == 0
        if not is_tensor and not isinstance(value, numbers.Real):
            raise Wrong(f"'{name}' is a {type(value).__name__}; return a float")
        if not math.isfinite(value):
            raise Wrong(f"'{name}' is {value}{where}; give a finite number, or leave the value out")


@check("metric", on=first)
def named_values(bench: Bench) -> None:
    """A value that is missing or not finite is a hole in a curve, perhaps where it is best."""
    spec: Any = bench.spec
    for training, which in ((False, "the real ones"), (True, "others of the same distribution")):
        values = bench.measure(bench.reading(training=training))
        where = f" where the generated samples are {which}"
        _check_values(values, tensors=True, where=where)
        for name, value in values.items():
            least, most = spec.bounds.get(name, (None, None))
            if (least is not None and value < least) or (most is not None and value > most):
                limits = f"its `bounds` are {least} and {most}; widen them to what it can be"
                raise Wrong(f"'{name}' is {float(value):.6g}{where}, and {limits}")
        for attribute in ("better", "collapse", "bounds", "labels"):
            if missing := getattr(spec, attribute).keys() - values.keys():
                given = f"compute() gives {', '.join(values) or 'nothing'}; use those names"
                raise Wrong(f"`{attribute}` names '{min(missing)}', and {given}")
    if strangers := spec.collapse.keys() - spec.better.keys():
        remedy = "say in `better` which way it gets worse"
        raise Wrong(f"`collapse` names '{min(strangers)}', and `better` does not; {remedy}")


@check("metric", on=compared)
def equal_sets(sets: Comparison) -> None:
    """A generator that gives samples of the data themselves must not be beaten by a worse one."""
    if not sets.spec.judges_samples:
        raise Skip("its values do not depend on generated samples")
    for name in NOISE:
        sets.check_ranking(EQUAL, name)


@check("metric", on=compared)
def noisy_sets(sets: Comparison) -> None:
    """Models are ranked by values that get worse as samples do; one that goes both ways ranks
    them by chance, and one that is said not to look at samples is not taken again for others."""
    if not sets.spec.judges_samples:
        for name, values in sets.values.items():
            where = f"with {name} instead of the real ones; take judges_samples = False out"
            _check_same(sets.values[EQUAL], values, {}, where)
        return
    sets.check_ranking(*NOISE)
    if not any(sets.slack(1)[key] for key in sets.spec.better):
        remedy = "look at those with real=False, or write judges_samples: ClassVar[bool] = False"
        names = ", ".join(sets.spec.better)
        raise Wrong(f"{names} is the same whatever samples it is given; {remedy}")


@check("metric", on=compared)
def sample_order(sets: Comparison) -> None:
    """The order of samples means nothing; it must not decide which of two models is better."""
    bench, stream = sets.bench, generator_for(0, "kit", "order")
    for training, name in ((False, EQUAL), (True, TRAINING)):
        readings = bench.reading(training=training), bench.reading()
        orders = [torch.randperm(len(each.values), generator=stream) for each in readings]
        values = _floats(bench.measure(*map(_at, readings, orders)))
        where = "in another order of the same samples; do not pair generated with real ones"
        _check_same(sets.values[name], values, sets.slack(SLACK), where)


@check("metric", on=compared)
def sample_chunks(sets: Comparison) -> None:
    """Samples come in chunks, the last one smaller: no value may depend on how they are cut."""
    values = _floats(sets.bench.measure(sets.bench.reading(training=True), chunk=CHUNK))
    remedy = "take it over all samples, not over those of one update()"
    where = f"where the same samples are given {CHUNK} at a time; {remedy}"
    _check_same(sets.values[TRAINING], values, sets.slack(ROUNDING), where)


@check("metric", on=first)
def metric_input(bench: Bench) -> None:
    """All metrics of a run are given the same tensors: the next one would measure others."""
    for training in (False, True):
        kept, metric = bench.reading(training=training), bench.build()
        values = kept.values.clone()
        for real in (True, False):
            labels = kept.labels if real or bench.conditional else None
            metric.update(values, real=real, labels=labels)
        metric.compute()
        if not torch.equal(values, kept.values):
            raise Wrong(
                "it changes the samples that it is given; copy them, or write no operation in place"
            )


@check("metric", on=compared)
def metric_seed(sets: Comparison) -> None:
    """Measuring must not change what is trained or drawn next, nor depend on what was before."""
    generated, real = sets.bench.reading(training=True), sets.bench.reading()
    metric, remedy = sets.bench.build(), f"{OWN_STREAM}, with a fixed seed"
    with no_draws(1, "it", remedy):
        values = _floats(sets.bench.measure(generated, real, metric=metric))
    where = f"when the same is measured again; {remedy}"
    _check_same(sets.values[TRAINING], values, {}, where)


@check("probe", on=first)
def probe_values(bench: Bench) -> None:
    """Values go into a curve by name; one that is no number at the start of a run has none."""
    probe, step, networks = bench.component, bench.step(), bench.parts.networks.values()
    probe.before(GROUP, step)
    with torch.no_grad():
        for weight in nn.ModuleList(networks).parameters():
            weight.add_(STEP)
    probe.after(GROUP, step)
    _check_values(probe.compute())
    picture = probe.draw()
    if picture is not None and not isinstance(picture, Image.Image):
        raise Wrong(f"draw() returns a {type(picture).__name__}; return a PIL image or None")


@check("probe", on=first)
def probe_side_effects(bench: Bench) -> None:
    """A run that is measured must train the same weights as one that is not."""
    step, networks = bench.step(), bench.parts.networks
    for weight in nn.ModuleList(networks.values()).parameters():
        weight.grad = torch.ones_like(weight)
    calls = {"before": (GROUP, step), "after": (GROUP, step), "compute": (), "draw": ()}
    for name, arguments in calls.items():
        before = _state(networks)
        with no_draws(1, f"{name}()", OWN_STREAM):
            getattr(bench.component, name)(*arguments)
        if changed := difference(before, _state(networks)):
            raise Wrong(f"{name}() changes {changed}; put it back as it was, and train nothing")


def _state(networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """What a probe might change of the networks."""
    state: dict[str, Any] = {}
    for slot, network in networks.items():
        for name, value in network.state_dict(prefix=f"{slot}.").items():
            state[f"the value of {name}"] = copy.deepcopy(value)
        for name, weight in network.named_parameters(prefix=slot):
            state[f"requires_grad of {name}"] = weight.requires_grad
            state[f"the gradient of {name}"] = copy.deepcopy(weight.grad)
        for name, module in network.named_modules(prefix=slot):
            state[f"the mode (train or eval) of {name}"] = module.training
    return state
