"""Checks of metrics, each with metrics that it finds wrong."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from kit import fault, passes, plugin_of, reason
from torch import Tensor

from ganzoo.api import BuildContext, MetricSpec, UserError
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first
from ganzoo.testing.checks import CHECKS, Subject
from ganzoo.testing.evaluation_checks import NOISE, noisy
from ganzoo.testing.reference import FEATURES, SAMPLES

KIND = [name for name, check in CHECKS.items() if check.kinds == {"metric"}]

Way = Literal["higher", "lower"]
Reads = Literal["samples", "features", "probabilities"]
Values = Callable[[Tensor, Tensor], Any]


class Collected:
    """Keeps what it is given, and has the values of a function of all of it."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.parts: Mapping[bool, list[Tensor]] = {True: [], False: []}

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        self.parts[real].append(samples)

    def compute(self) -> Any:
        return self.values(torch.cat(self.parts[True]), torch.cat(self.parts[False]))


def apart(real: Tensor, generated: Tensor) -> float:
    """Distance of two means."""
    return float((real.mean(0) - generated.mean(0)).norm())


def metric(
    values: Values = lambda real, generated: {"distance": apart(real, generated)},
    *,
    directions: Mapping[str, Way] | None = None,
    make: Callable[[Values], Any] = Collected,
    reading: Reads = "samples",
    **declared: Any,
) -> type[MetricSpec]:
    """A metric with these values, of which `distance` is better lower."""

    class Strange(MetricSpec):
        """Strange."""

        type: ClassVar[str] = "strange"
        reads: ClassVar[Reads] = reading
        better: ClassVar[Mapping[str, Way]] = (
            {"distance": "lower"} if directions is None else directions
        )

        def build(self, context: BuildContext) -> Any:
            return make(values)

    for name, value in declared.items():
        setattr(Strange, name, value)
    return Strange


def likeness(real: Tensor, generated: Tensor) -> dict[str, float]:
    return {"likeness": math.exp(-apart(real, generated))}


GOOD = {
    "samples": metric(),
    "features": metric(reading="features"),
    "probabilities": metric(reading="probabilities"),
    "points": metric(needs=frozenset({"data.points"})),
    "images": metric(needs=frozenset({"data.images"})),
    "higher": metric(likeness, directions={"likeness": "higher"}, bounds={"likeness": (0, 1)}),
    "a tensor": metric(lambda real, generated: {"distance": torch.tensor(apart(real, generated))}),
}


@pytest.mark.parametrize("check", [*KIND, "builds", "seeded-build", "silent-build"])
@pytest.mark.parametrize("name", GOOD)
def test_a_metric_without_faults(name: str, check: str) -> None:
    passes(check, GOOD[name])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (lambda *_: 0.5, "compute() returns a float; return values by name"),
        (
            lambda *_: {"distance": torch.ones(3)},
            "'distance' is a Tensor; return a float",
        ),
        (lambda *_: {"distance": "0.5"}, "'distance' is a str; return a float"),
        (
            lambda *_: {"distance": math.nan},
            "'distance' is nan where the generated samples are the real ones; give a finite "
            "number, or leave the value out",
        ),
        (
            lambda real, generated: (
                {"distance": math.log(apart(real, generated) == 0)}
                if apart(real, generated) == 0
                else {"distance": math.inf}
            ),
            "'distance' is inf where the generated samples are others of the same distribution; "
            "give a finite number, or leave the value out",
        ),
        (
            lambda *_: {"distance[l2]": 1.0},
            "compute() names a value 'distance[l2]'; take a word without brackets",
        ),
        (
            lambda *_: {1: 1.0},
            "compute() names a value 1; take a word without brackets",
        ),
        (
            lambda *_: {"gap": 1.0},
            "`better` names 'distance', and compute() gives gap; use those names",
        ),
    ],
)
def test_values_that_cannot_be_used(values: Values, found: str) -> None:
    assert fault("named-values", metric(values)) == found


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (
            {"collapse": {"gap": 2.0}},
            "`collapse` names 'gap', and compute() gives distance; use those names",
        ),
        (
            {"bounds": {"gap": (0, 1)}},
            "`bounds` names 'gap', and compute() gives distance; use those names",
        ),
        (
            {"labels": {"gap": "Gap"}},
            "`labels` names 'gap', and compute() gives distance; use those names",
        ),
        (
            {"better": {}, "collapse": {"distance": 2.0}},
            "`collapse` names 'distance', and `better` does not; say in `better` which way it "
            "gets worse",
        ),
        (
            {"bounds": {"distance": (1, None)}},
            "'distance' is 0 where the generated samples are the real ones, and its `bounds` are "
            "1 and None; widen them to what it can be",
        ),
        (
            {"bounds": {"distance": (None, -1)}},
            "'distance' is 0 where the generated samples are the real ones, and its `bounds` are "
            "None and -1; widen them to what it can be",
        ),
    ],
)
def test_declarations_that_do_not_fit(declared: Any, found: str) -> None:
    assert fault("named-values", metric(**declared)) == found


DECLARE = "; declare in `needs` what the data must be able to do"


def test_a_metric_without_any_value() -> None:
    assert fault("builds", metric(lambda *_: {})) == (
        "refuses samples of every shape that was tried: compute() gives no value" + DECLARE
    )


def test_a_metric_that_refuses_everything() -> None:
    def refuse(values: Values) -> Any:
        raise UserError("metric 'strange' is for sounds")

    assert fault("builds", metric(make=refuse)) == (
        "refuses samples of every shape that was tried: metric 'strange' is for sounds" + DECLARE
    )


def test_a_metric_of_one_kind_of_samples() -> None:
    class Points(Collected):
        def __init__(self, values: Values) -> None:
            super().__init__(values)

        def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
            if samples.ndim != 2:
                raise UserError("metric 'strange' is for points")
            super().update(samples, real=real)

    passes("builds", metric(make=Points))


TURNED = (
    "; turn `better` round, or leave the value out of it if it does not say how good samples are"
)


def test_a_direction_that_is_the_wrong_way_round() -> None:
    found = fault("equal-sets", metric(directions={"distance": "higher"}))
    assert re.fullmatch(
        r"'distance' is 0 with no noise, then \S+ with \w+ noise, although higher is better"
        rf"{TURNED}",
        found,
    )


def test_a_distance_whose_least_value_is_elsewhere() -> None:
    shifted = metric(
        lambda real, generated: {"distance": apart(real + 0.2 * real.std(), generated)}
    )
    found = fault("equal-sets", shifted)
    assert re.match(r"'distance' is \S+ with no noise, then \S+ with little noise, although", found)
    passes("noisy-sets", shifted)


@pytest.mark.parametrize("reading", ["samples", "features", "probabilities"])
def test_a_distance_that_goes_up_and_down(reading: Reads) -> None:
    def wave(real: Tensor, generated: Tensor) -> dict[str, float]:
        size = apart(real, generated) / apart(real, noisy(declared(), real, 1.0))
        return {"distance": abs(math.sin(size * math.pi))}

    declared = metric(wave, reading=reading)
    assert re.fullmatch(
        r"'distance' is \S+ with little noise, then \S+ with more noise, then \S+ with much noise, "
        rf"although lower is better{TURNED}",
        fault("noisy-sets", declared),
    )
    passes("equal-sets", declared)


def test_a_value_that_noise_makes_no_number() -> None:
    def broken(real: Tensor, generated: Tensor) -> dict[str, float]:
        far = apart(real, generated)
        return {
            "distance": far if far < apart(real, noisy(GOOD["samples"](), real, 0.9)) else math.nan
        }

    assert "then nan with much noise, although" in fault("noisy-sets", metric(broken))


def test_a_value_that_never_changes() -> None:
    assert fault("noisy-sets", metric(lambda *_: {"distance": 0.0})) == (
        "distance is the same whatever samples it is given; look at those with real=False, or "
        "write judges_samples: ClassVar[bool] = False"
    )


def test_a_metric_that_does_not_judge_samples() -> None:
    still = metric(lambda *_: {"distance": 0.5}, judges_samples=False)
    passes("noisy-sets", still)
    assert reason("equal-sets", still) == "its values do not depend on generated samples"
    found = fault("noisy-sets", metric(judges_samples=False))
    assert re.fullmatch(
        r"'distance' is 0, and \S+ with training samples instead of the real ones; take "
        r"judges_samples = False out",
        found,
    )


@pytest.mark.parametrize("check", ["equal-sets", "noisy-sets"])
def test_a_value_without_a_direction(check: str) -> None:
    assert reason(check, metric(directions={})) == "it says of no value which way is better"


@pytest.mark.parametrize("check", ["equal-sets", "noisy-sets", "sample-order"])
def test_values_that_are_no_numbers_are_told_once(check: str) -> None:
    broken = metric(lambda *_: {"distance": "0.5"})
    assert reason(check, metric(lambda *_: {"distance": None})) == (
        "its values are no numbers; see `named-values`"
    )
    assert fault("named-values", broken) == "'distance' is a str; return a float"
    assert reason(check, metric(lambda *_: {"gap": 1.0})) == (
        "'distance' is missing; see `named-values`"
    )


def test_a_metric_that_pairs_samples() -> None:
    def paired(real: Tensor, generated: Tensor) -> dict[str, float]:
        return {"distance": float((real - generated).square().mean())}

    assert re.fullmatch(
        r"'distance' is 0, and \S+ in another order of the same samples; do not pair generated "
        r"with real ones",
        fault("sample-order", metric(paired)),
    )


class PerChunk(Collected):
    """The mean of the values of each chunk."""

    def compute(self) -> Any:
        pairs = zip(self.parts[True], self.parts[False], strict=True)
        return {"distance": float(np.mean([apart(*pair) for pair in pairs]))}


class LastChunk(Collected):
    """Keeps what came last."""

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        self.parts[real][:] = [samples]


@pytest.mark.parametrize("make", [PerChunk, LastChunk])
@pytest.mark.parametrize("reading", ["samples", "features", "probabilities"])
def test_a_metric_that_depends_on_how_samples_are_cut(make: Any, reading: Reads) -> None:
    assert re.fullmatch(
        r"'distance' is \S+, and \S+ where the same samples are given 100 at a time; take it over "
        r"all samples, not over those of one update\(\)",
        fault("sample-chunks", metric(make=make, reading=reading)),
    )


def test_a_value_over_random_subsets_may_vary_a_little() -> None:
    def subset(real: Tensor, generated: Tensor) -> dict[str, float]:
        stream = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(real), generator=stream)[:128]
        return {"distance": apart(real[rows], generated[rows])}

    for check in KIND:
        passes(check, metric(subset, reading="features"))


class InPlace(Collected):
    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        super().update(samples.add_(1), real=real)


class LateInPlace(Collected):
    def compute(self) -> Any:
        for part in self.parts[False]:
            part.zero_()
        return super().compute()


@pytest.mark.parametrize("make", [InPlace, LateInPlace])
def test_a_metric_that_changes_its_samples(make: Any) -> None:
    assert fault("metric-input", metric(make=make)) == (
        "it changes the samples that it is given; copy them, or write no operation in place"
    )


@pytest.mark.parametrize(
    ("draw", "stream"),
    [
        (lambda: torch.randn(1), "torch's default random stream"),
        (lambda: torch.manual_seed(0), "torch's default random stream"),
        (random.random, "Python's random stream"),
        (np.random.rand, "numpy's random stream"),
    ],
)
def test_a_metric_that_draws(draw: Callable[[], Any], stream: str) -> None:
    def drawn(real: Tensor, generated: Tensor) -> dict[str, float]:
        draw()
        return {"distance": apart(real, generated)}

    assert fault("metric-seed", metric(drawn)) == (
        f"it draws from {stream}; draw from a torch.Generator of its own, with a fixed seed"
    )


def test_a_metric_that_draws_from_a_stream_that_no_seed_fixes() -> None:
    stream = torch.Generator()

    def drawn(real: Tensor, generated: Tensor) -> dict[str, float]:
        return {"distance": apart(real, generated) + float(torch.rand(1, generator=stream))}

    found = fault("metric-seed", metric(drawn))
    assert re.fullmatch(
        r"'distance' is \S+, and \S+ when the same is measured again; draw from a torch.Generator "
        r"of its own, with a fixed seed",
        found,
    )


def bench_of(declared: type[MetricSpec]) -> Bench:
    return first(Subject(plugin_of(declared), declared))[0]


def test_what_a_metric_is_built_with() -> None:
    """Features and data belong together, and cost nothing."""
    bench = bench_of(metric(reading="features", needs=frozenset({"data", "generator"})))
    context, features = bench.context, bench.context.features
    assert features.data is context.data
    assert features.held_out.features.shape == (SAMPLES, FEATURES)
    # Without weights of its own, so that nothing is kept on disk.
    assert (features.extractor.name, features.extractor.digest) == ("reference", "")
    extraction = features.extractor(torch.zeros(3, *context.sample_shape))
    assert torch.equal(extraction.features, torch.zeros(3, FEATURES))
    probabilities = features.training.probabilities
    assert torch.allclose(probabilities.sum(1), torch.ones(SAMPLES))
    # Every class is met, and most samples are surely of one.
    assert probabilities.argmax(1).unique().numel() == probabilities.shape[1]
    assert probabilities.max(1).values.median() > 0.7
    assert abs(float(features.training.features.mean())) < 0.1
    assert not context.networks["generator"].training
    assert torch.equal(bench.reading().values, features.held_out.features)
    training = bench.reading(training=True).values
    assert torch.equal(training, features.training.features)


class OfClasses(Collected):
    """Needs the labels that were asked for."""

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        assert labels is not None
        assert len(labels) == len(samples)
        super().update(samples, real=real)


def test_metrics_of_conditional_recipes_are_given_labels() -> None:
    conditional = metric(make=OfClasses, needs=frozenset({"condition"}))
    for check in KIND:
        passes(check, conditional)
    assert "AssertionError" in fault("builds", metric(make=OfClasses))


@pytest.mark.parametrize("reading", ["samples", "features", "probabilities"])
def test_what_is_noisy_gets_worse_and_stays_what_it_is(reading: Reads) -> None:
    bench = bench_of(metric(reading=reading))
    values = bench.reading().values
    assert torch.equal(noisy(bench.spec, values, 0.0), values)  # type: ignore[arg-type]
    for level in NOISE.values():
        worse = noisy(bench.spec, values, level)  # type: ignore[arg-type]
        assert worse.shape == values.shape
        if reading == "probabilities":
            assert torch.allclose(worse.sum(1), torch.ones(len(worse)))
            assert bool((worse >= 0).all())
        if reading == "samples":
            assert bool((worse.abs() <= 1).all())


def test_each_check_of_metrics_is_tested() -> None:
    source = Path(__file__).read_text()
    assert [name for name in KIND if f'fault("{name}"' not in source] == []
