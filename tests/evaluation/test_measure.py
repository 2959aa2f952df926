"""Values of a run at its end and at its snapshots, and the conclusions from them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import safetensors.torch
import torch
from torch import Tensor

from ganzoo import Run, train
from ganzoo.data import Samples, to_unit
from ganzoo.errors import RunError, UserError
from ganzoo.evaluation.document import Best, Direction, Measures, Snapshot
from ganzoo.evaluation.measure import best_of, collapse, measure
from ganzoo.recipe import Component, Recipe
from ganzoo.recipe.settings import Evaluate
from ganzoo.sampling import Sampler
from ganzoo.specs import MetricSpec

from .conftest import (
    CODED,
    TINY,
    Needy,
    Scripted,
    Watching,
    WatchingFeatures,
    WatchingProbabilities,
    data_of,
    metric,
)

MakeRun = Callable[..., Run]

COUNTING = (
    TINY.replace('optimizer = { type = "adam", lr = 1e-2, betas = [0.5, 0.999] }\n', "")
    .replace('discriminator = { type = "mlp", hidden = [16] }\n', "")
    .replace("non-saturating", "test-counting")
    .replace("alternating", "joint")
    + '[optimizer]\ntype = "sgd"\nlr = 1e-3\n[optimizer.loss]\ntype = "sgd"\nlr = 1.0\n'
)
CONDITIONAL = (
    TINY.replace('type = "mlp"', 'type = "test-classes"')
    .replace('name = "tiny"', 'name = "tiny"\ncondition = "class"')
    .replace(", hidden = [16]", "")
)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Metrics record in their classes."""
    yield
    for records in (Watching.updates, Watching.contexts, Scripted.script):
        records.clear()


@pytest.fixture
def run(recipe: Callable[..., Recipe], tmp_path: Path) -> MakeRun:
    """`run("train.seed=1")`: the tiny recipe, trained; or another text."""
    numbers = itertools.count(1)

    def run(*overrides: str, text: str = TINY) -> Run:
        identity = f"run-{next(numbers)}"
        return train(recipe(*overrides, text=text), runs=tmp_path, identity=identity)

    return run


def measured(run: Run, *metrics: Component[MetricSpec], **options: Any) -> Measures:
    measures = measure(run.recipe, run.folder, metrics, **options)
    assert json.loads(json.dumps(measures)) == measures
    return measures


def given(real: bool) -> list[Tensor]:
    """The samples of either kind that the metric was given, update by update."""
    return [update.samples for update in Watching.updates if update.real == real]


# The history of a run.


def rows(*values: float, iterations: Sequence[int] = (5, 10, 15, 20)) -> list[Snapshot]:
    return [
        {"iteration": iteration, "values": {"test-scripted": value}}
        for iteration, value in zip(iterations, values, strict=True)
    ]


def test_history_best_and_end(run: MakeRun) -> None:
    made = run()
    values = [(3.0, 0.4), (1.0, 0.6), (2.0, 0.6), (2.5, 0.5)]
    Scripted.script += [{"test-scripted": low, "score": high, "free": 7.0} for low, high in values]
    measures = measured(made, metric(Scripted))
    names = ("test-scripted", "test-scripted/score", "test-scripted/free")
    assert measures["history"] == [
        {"iteration": iteration, "values": dict(zip(names, (*pair, 7.0), strict=True))}
        for iteration, pair in zip((5, 10, 15, 20), values, strict=True)
    ]
    assert (measures["iteration"], measures["values"]) == (20, measures["history"][-1]["values"])
    assert measures["better"] == {"test-scripted": "lower", "test-scripted/score": "higher"}
    # The first of two that are equally good.
    assert measures["best"] == {
        "test-scripted": {"value": 1.0, "iteration": 10},
        "test-scripted/score": {"value": 0.6, "iteration": 10},
    }
    assert measures["collapse"] == [
        "test-scripted was 1 after 10 iterations and is 2.5 at the end",
    ]
    assert measures["extractor"] is None
    assert measures["data"] == {"train": 1500, "held_out": 297}
    assert (measures["generated"], measures["real"], measures["real_from"]) == (60, 60, "held out")
    assert measures["prior"] == "latent"
    assert measures["other_priors"] == {}


def test_a_run_without_snapshots_is_measured_at_its_end(run: MakeRun) -> None:
    made = run("evaluate.snapshots=0")
    assert made.folder.snapshots() == []
    measures = measured(made, metric(Watching))
    assert [row["iteration"] for row in measures["history"]] == [20]
    expected = Sampler(made.recipe, made.folder).sample(60)
    assert torch.equal(given(False)[-1], expected)


def test_the_end_is_measured_with_the_final_weights(run: MakeRun) -> None:
    made = run("train.seed=3", "ema.decay=0.5")
    measured(made, metric(Watching))
    first, *_, last = given(False)
    assert torch.equal(last, Sampler(made.recipe, made.folder).sample(60, seed=3))
    assert not torch.equal(first, last)


def test_a_comparison_says_how_to_measure(run: MakeRun) -> None:
    made = run()
    measures = measured(made, metric(Watching), evaluate=Evaluate(samples=7))
    assert (measures["generated"], measures["real"]) == (7, 7)
    assert {len(samples) for samples in given(False) + given(True)} == {7}


def test_other_data_than_those_of_the_run_are_named(run: MakeRun) -> None:
    said: list[str] = []
    made = run()
    measured(made, metric(Watching), warn=said.append)
    assert said == []
    environment = json.loads(made.folder.environment.read_text())
    environment["data"] |= {"digest": "another", "training_samples": 1499}
    made.folder.environment.write_text(json.dumps(environment))
    measured(made, metric(Watching), warn=said.append)
    assert said == [
        f"{made.path}: the data are no longer those that it was trained on (they were 1499 samples "
        "and 297 held out, and are 1500 samples and 297 held out); it is measured on them all the "
        "same"
    ]


def test_values_are_the_same_twice(run: MakeRun) -> None:
    made = run()
    metrics = metric(Watching), metric(WatchingFeatures)
    first = measured(made, *metrics)
    torch.manual_seed(99)
    assert measured(made, *metrics) == first


# Metrics that are left out.


class Failing(Watching):
    """Fails from its second call on."""

    type: ClassVar[str] = "test-failing"
    error: ClassVar[Exception]
    calls: ClassVar[int] = 0

    def compute(self) -> dict[str, float]:
        Failing.calls += 1
        if Failing.calls > 1:
            raise self.error
        return super().compute()


class Many(Watching):
    """Needs more samples than there are."""

    type: ClassVar[str] = "test-many"

    @property
    def least_samples(self) -> int:
        return 298


def test_a_metric_that_fails_takes_no_other_with_it(run: MakeRun) -> None:
    made = run()
    for error, reason in (
        (KeyError("lost"), "it failed: KeyError: 'lost' ("),
        (UserError("no class has two samples", hint="hold out more"), "no class has two samples"),
    ):
        Failing.error, Failing.calls = error, 0
        measures = measured(made, metric(Failing), metric(Watching))
        assert measures["left_out"].keys() == {"test-failing"}
        assert measures["left_out"]["test-failing"].startswith(reason)
        assert len(measures["history"]) == 4
        assert all("test-watching/mean" in row["values"] for row in measures["history"])
        named = ["test-failing/mean" in row["values"] for row in measures["history"]]
        assert named == [True, False, False, False]  # it failed in its second call
    assert "KeyError: 'lost'" in made.folder.traceback.read_text()


def test_a_metric_with_too_few_samples_is_left_out(run: MakeRun) -> None:
    Watching.updates.clear()
    many = Evaluate(samples=400)
    measures = measured(run("evaluate.snapshots=1"), metric(Many), metric(Watching), evaluate=many)
    reason = "it needs 298 real samples, and there are 297"
    assert measures["left_out"] == {"test-many": reason}
    assert len(Watching.updates) == 2


# The arguments and the context of metrics.


def test_a_metric_is_given_samples_in_the_range_of_the_data(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1")
    measured(made, metric(Watching))
    ((real,), (generated,)) = given(True), given(False)
    assert real.shape == generated.shape == (60, 1, 8, 8)
    assert real.dtype == generated.dtype == torch.float32
    assert (real.min(), real.max()) == (-1, 1)
    held_out = data_of(made.recipe).held_out
    assert isinstance(held_out, Samples)
    among = (to_unit(held_out.values)[None] == real[:, None]).flatten(2).all(2)
    assert among.any(1).all()


def test_real_samples_are_a_choice_that_stays(run: MakeRun) -> None:
    """Not the first ones, since a data set may be sorted by class."""
    made = run("evaluate.snapshots=2")
    measured(made, metric(Watching))
    first, second = given(True)
    assert torch.equal(first, second)
    Watching.updates.clear()
    measured(run("train.seed=1", "evaluate.snapshots=1"), metric(Watching))
    assert torch.equal(given(True)[0], first)
    held_out = data_of(made.recipe).held_out
    assert isinstance(held_out, Samples)
    assert not torch.equal(first, to_unit(held_out.values[:60]))


def test_samples_and_features_are_of_the_same_choice(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1")
    measured(made, metric(Watching), metric(WatchingFeatures))
    samples, features = given(True)
    extractor = Watching.contexts[-1].features.extractor
    torch.testing.assert_close(extractor(samples).features, features)
    samples, features = given(False)
    torch.testing.assert_close(extractor(samples).features, features)


def test_fewer_real_samples_are_all_of_them(run: MakeRun) -> None:
    measures = measured(run("evaluate.snapshots=1", "evaluate.samples=400"), metric(Watching))
    assert (measures["generated"], measures["real"]) == (400, 297)
    assert [len(samples) for samples in given(True)] == [297]


def test_without_held_out_samples_training_ones_are_taken(run: MakeRun) -> None:
    measures = measured(run("evaluate.snapshots=1", "data.held_out=0"), metric(Watching))
    assert measures["data"] == {"train": 1797, "held_out": 0}
    assert (measures["real"], measures["real_from"]) == (60, "train")


def test_samples_come_in_chunks(run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.evaluation.measure.CHUNK", 25)
    measured(run("evaluate.snapshots=1"), metric(Watching))
    assert [len(samples) for samples in given(True)] == [25, 25, 10]
    assert [len(samples) for samples in given(False)] == [25, 25, 10]


def test_the_context_holds_what_a_metric_needs_and_no_more(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1")
    measured(made, metric(Watching), metric(Needy))
    free, needy = Watching.contexts
    assert (free.loss, free.data, dict(free.networks), free.features) == (None, None, {}, None)
    assert set(needy.networks) == {"generator"}
    assert needy.data.held_out is not None
    assert needy.loss is not None
    assert needy.num_classes == 10


# Names of values.


def test_names_of_values(run: MakeRun) -> None:
    measures = measured(run("evaluate.snapshots=1"), metric(Watching), metric(WatchingFeatures))
    assert measures["extractor"] is not None
    name = measures["extractor"]["name"]
    assert set(measures["values"]) == {
        *("test-watching", "test-watching/mean"),
        *(f"test-features[{name}]", f"test-features/mean[{name}]"),
    }
    assert measures["better"] == {f"test-features/mean[{name}]": "lower"}
    assert measures["extractor"].keys() == {"name", "type", "digest", "note", "table"}
    assert name == f"random@{measures['extractor']['digest'][:4]}"


def test_where_the_extractor_has_no_classes_probabilities_are_left_out(run: MakeRun) -> None:
    metrics = metric(WatchingProbabilities), metric(WatchingFeatures)
    measures = measured(run("evaluate.snapshots=1"), *metrics)
    assert not any("probabilities" in name for name in {*measures["values"], *measures["better"]})
    assert len(Watching.contexts) == 1


def test_probabilities_of_a_classifier(
    run: MakeRun, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.evaluation.classifier.FEWEST_STEPS", 1)
    made = run("evaluate.snapshots=1", "extractor.type=classifier")
    measures = measured(made, metric(WatchingProbabilities))
    assert measures["extractor"] is not None
    name = measures["extractor"]["name"]
    assert name.startswith("classifier@")
    assert f"test-probabilities/mean[{name}]" in measures["values"]
    for samples in given(True) + given(False):
        assert samples.shape == (60, 10)
        torch.testing.assert_close(samples.sum(1), torch.ones(60))


# Snapshots.


@pytest.mark.parametrize("average", ["ema.decay=0", "ema.decay=0.5"])
def test_a_snapshot_holds_the_weights_of_its_iteration(run: MakeRun, average: str) -> None:
    made = run(average)
    sampler = Sampler(made.recipe, made.folder)
    for iteration in (5, 20, 10):
        state = torch.load(made.folder.checkpoint(iteration), weights_only=True)
        sampler.load(iteration)
        generator = (state["average"] or state["networks"])["generator"]
        for network, expected in (
            (sampler.networks["generator"], generator),
            (sampler.networks["discriminator"], state["networks"]["discriminator"]),
        ):
            mine = network.state_dict()
            assert mine.keys() == expected.keys()
            assert all(torch.equal(mine[key], expected[key]) for key in mine)


def test_a_missing_snapshot_is_an_error(run: MakeRun) -> None:
    """Neither does another iteration become the headline, nor are other weights measured."""
    made = run()
    sampler = Sampler(made.recipe, made.folder)
    with pytest.raises(RunError, match=r"snapshots/000007\.safetensors is missing"):
        sampler.load(7)
    made.folder.snapshot(20).unlink()
    with pytest.raises(RunError, match=r"snapshots/000020\.safetensors is missing") as error:
        measured(made, metric(Watching))
    assert error.value.hint is not None
    assert f"`ganzoo resume {made.path}` makes it again" in error.value.hint
    assert f"evaluate.snapshots = 0 in {made.folder.recipe}" in error.value.hint
    assert not given(False)
    text = made.folder.recipe.read_text()
    made.folder.recipe.write_text(text.replace("snapshots = 4", "snapshots = 0"))
    assert measured(made, metric(Watching))["iteration"] == 20


def test_the_weights_of_a_loss_are_of_the_same_iteration(run: MakeRun) -> None:
    made = run(text=COUNTING)
    saved = safetensors.torch.load(made.folder.snapshot(10).read_bytes())
    assert saved["loss.count"] == 10
    measures = measured(made, metric(Needy))
    assert [row["values"]["test-needy/count"] for row in measures["history"]] == [5, 10, 15, 20]


# Other priors.


def test_a_model_with_codes_is_measured_with_each_prior(run: MakeRun) -> None:
    priors = 'priors = [{ type = "mixture", components = 2 }, { type = "normal" }]\n'
    made = run("evaluate.snapshots=1", text=CODED + priors)
    measures = measured(made, metric(Watching), metric(Needy))
    assert measures["prior"] == "latent"
    assert list(measures["other_priors"]) == ["mixture", "normal"]
    means = [measures["values"]["test-watching/mean"]]
    for values in measures["other_priors"].values():
        # What does not depend on samples is computed once.
        assert values["test-needy/count"] == measures["values"]["test-needy/count"]
        means.append(values["test-watching/mean"])
    assert len(set(means)) == 3
    # The second update is that of the metric that does not depend on them.
    first, _, second, third = given(False)
    sampler = Sampler(made.recipe, made.folder)
    for samples, prior in ((first, "latent"), (second, "mixture"), (third, "normal")):
        assert torch.equal(samples, sampler.sample(60, prior=prior))


def test_the_headline_is_of_the_recipes_prior(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1", "prior.type=mixture", text=CODED)
    measures = measured(made, metric(Watching))
    assert (measures["prior"], list(measures["other_priors"])) == ("mixture", ["latent"])
    first, second = given(False)
    sampler = Sampler(made.recipe, made.folder)
    assert torch.equal(first, sampler.sample(60, prior="mixture"))
    assert torch.equal(second, sampler.sample(60, prior="latent"))


# Classes.


def test_labels_are_those_of_the_samples(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1", text=CONDITIONAL)
    measured(made, metric(Watching), metric(WatchingFeatures))
    held_out = data_of(made.recipe).held_out
    assert isinstance(held_out, Samples)
    assert held_out.labels is not None
    real, generated, features, _ = Watching.updates
    assert real.labels is not None
    for x, label in zip(real.samples, real.labels, strict=True):
        (place,) = (to_unit(held_out.values) == x).flatten(1).all(1).nonzero()[0]
        assert held_out.labels[place] == label
    assert features.labels is not None
    assert torch.equal(features.labels, real.labels)
    # The generator of the test shows the class as the first pixel.
    assert generated.labels is not None
    assert len(set(generated.labels.tolist())) == 10
    torch.testing.assert_close(generated.samples[:, 0, 0, 0], generated.labels / 10)


def test_a_generator_without_classes_has_no_labels(run: MakeRun) -> None:
    measured(run("evaluate.snapshots=1"), metric(Watching))
    real, generated = Watching.updates
    assert real.labels is not None
    assert generated.labels is None


def test_data_without_classes_have_no_labels(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1", "data={ type = 'gaussian-1d' }")
    measured(made, metric(Watching))
    assert [update.labels for update in Watching.updates] == [None, None]


# Conclusions from given values.


def test_snapshots_without_a_number_are_not_the_best() -> None:
    history = rows(math.nan, 4.0, math.inf, 5.0)
    assert best_of(history, {"test-scripted": "lower"}) == {
        "test-scripted": {"value": 4.0, "iteration": 10}
    }
    assert best_of(rows(-math.inf, -2.0, math.nan, -1.0), {"test-scripted": "higher"}) == {
        "test-scripted": {"value": -1.0, "iteration": 20}
    }


def test_there_is_no_best_without_a_number_or_a_direction() -> None:
    history = rows(math.nan, math.nan, math.nan, math.nan)
    assert best_of(history, {"test-scripted": "lower", "absent": "higher"}) == {}
    assert best_of(rows(1.0, 2.0, 3.0, 4.0), {}) == {}


@pytest.mark.parametrize(
    ("direction", "top", "end", "flagged"),
    [
        ("lower", 1.0, 2.0, False),
        ("lower", 1.0, 2.01, True),
        ("higher", 10.0, 5.0, False),
        ("higher", 10.0, 4.9, True),
        ("lower", 1.0, 1.0, False),
        ("higher", 0.0, 0.0, False),
        ("higher", 0.1, 0.04, True),
        ("higher", 0.09, 0.0, False),
        ("lower", 1.0, math.nan, True),
        ("higher", 1.0, math.nan, True),
        ("lower", 1.0, math.inf, True),
    ],
)
def test_an_end_much_worse_than_the_best_is_a_collapse(
    direction: Direction, top: float, end: float, flagged: bool
) -> None:
    best: dict[str, Best] = {"f": {"value": top, "iteration": 400}}
    sentences = collapse({"f": end}, best, {"f": direction}, {"f": 2.0})
    expected = f"f was {top:.4g} after 400 iterations and is {end:.4g} at the end"
    assert sentences == ([expected] if flagged else [])


def test_values_without_a_limit_or_a_best_are_not_flagged() -> None:
    best: dict[str, Best] = {"f": {"value": 1.0, "iteration": 1}}
    assert collapse({"f": 99.0}, best, {"f": "lower"}, {}) == []
    assert collapse({"g": 99.0}, best, {"f": "lower", "g": "lower"}, {"g": 2.0, "f": 2.0}) == []
