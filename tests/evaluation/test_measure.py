"""Figures of a run at its end and on the way, and what is concluded from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from ganzoo import Run, train
from ganzoo.engine.data import Samples, to_unit
from ganzoo.engine.sampling import Sampler
from ganzoo.evaluation.measure import best_of, collapse, measure
from ganzoo.recipe import Component, Recipe
from ganzoo.recipe.settings import Evaluate
from ganzoo.specs import MetricSpec

from .conftest import (
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
VAE = (
    TINY.replace("discriminator =", "encoder =")
    .replace("non-saturating", "elbo")
    .replace("alternating", "joint")
)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Metrics keep what they saw in their classes."""
    yield
    for kept in (Watching.seen, Watching.told, Scripted.script):
        kept.clear()


@pytest.fixture
def run(recipe: Callable[..., Recipe], tmp_path: Path) -> MakeRun:
    """`run("train.seed=1")`: the tiny recipe, trained; or another text."""
    made = []

    def run(*overrides: str, text: str = TINY) -> Run:
        made.append(None)
        return train(recipe(*overrides, text=text), runs=tmp_path, identity=f"run-{len(made)}")

    return run


def measured(run: Run, *metrics: Component[MetricSpec], **options: Any) -> dict[str, Any]:
    found = measure(run.recipe, run.folder, metrics, **options)
    assert json.loads(json.dumps(found)) == found or any(
        math.isnan(value) for value in found["figures"].values()
    )
    return found


def shown(real: bool) -> list[Tensor]:
    """What the metric was shown of either kind, update by update."""
    return [samples for kind, samples in Watching.seen if kind == real]


# The course of a run.


def rows(*values: float, iterations: Sequence[int] = (5, 10, 15, 20)) -> list[dict[str, Any]]:
    return [
        {"iteration": iteration, "figures": {"test-scripted": value}}
        for iteration, value in zip(iterations, values, strict=True)
    ]


def test_course_best_and_end(run: MakeRun) -> None:
    made = run()
    values = [(3.0, 0.4), (1.0, 0.6), (2.0, 0.6), (2.5, 0.5)]
    Scripted.script += [{"test-scripted": low, "score": high, "free": 7.0} for low, high in values]
    found = measured(made, metric(Scripted))
    names = ("test-scripted", "test-scripted/score", "test-scripted/free")
    assert found["course"] == [
        {"iteration": iteration, "figures": dict(zip(names, (*pair, 7.0), strict=True))}
        for iteration, pair in zip((5, 10, 15, 20), values, strict=True)
    ]
    assert (found["iteration"], found["figures"]) == (20, found["course"][-1]["figures"])
    assert found["better"] == {"test-scripted": "lower", "test-scripted/score": "higher"}
    # The first of two that are equally good.
    assert found["best"] == {
        "test-scripted": {"value": 1.0, "iteration": 10},
        "test-scripted/score": {"value": 0.6, "iteration": 10},
    }
    assert found["collapse"] == [
        "test-scripted was 1 after 10 iterations and is 2.5 at the end",
    ]
    assert found["extractor"] is None
    assert found["data"] == {"train": 1500, "held_out": 297}
    assert (found["generated"], found["real"], found["real_from"]) == (60, 60, "held out")
    assert found["prior"] == "latent"
    assert "other_prior" not in found


def test_a_run_without_snapshots_is_measured_at_its_end(run: MakeRun) -> None:
    made = run("evaluate.snapshots=0")
    assert made.folder.snapshots() == []
    found = measured(made, metric(Watching))
    assert [row["iteration"] for row in found["course"]] == [20]
    expected = Sampler(made.recipe, made.folder).sample(60)
    assert torch.equal(shown(False)[-1], expected)


def test_the_end_is_measured_with_the_final_weights(run: MakeRun) -> None:
    made = run("train.seed=3", "ema.decay=0.5")
    measured(made, metric(Watching))
    first, *_, last = shown(False)
    assert torch.equal(last, Sampler(made.recipe, made.folder).sample(60, seed=3))
    assert not torch.equal(first, last)


def test_somebody_else_says_how_to_measure(run: MakeRun) -> None:
    told: list[str] = []
    made = run()
    found = measured(made, metric(Watching), evaluate=Evaluate(samples=7), tell=told.append)
    assert (found["generated"], found["real"]) == (7, 7)
    assert {len(samples) for samples in shown(False) + shown(True)} == {7}
    assert told[0] == f"measuring {made.path} after 5 iterations"
    assert len(told) == 4


def test_the_figures_are_the_same_twice(run: MakeRun) -> None:
    made = run()
    metrics = metric(Watching), metric(WatchingFeatures)
    first = measured(made, *metrics)
    torch.manual_seed(99)
    assert measured(made, *metrics) == first


# What metrics are told and shown.


def test_a_metric_is_shown_samples_in_the_range_of_the_data(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1")
    measured(made, metric(Watching))
    ((real,), (generated,)) = shown(True), shown(False)
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
    first, second = shown(True)
    assert torch.equal(first, second)
    Watching.seen.clear()
    measured(run("train.seed=1", "evaluate.snapshots=1"), metric(Watching))
    assert torch.equal(shown(True)[0], first)
    held_out = data_of(made.recipe).held_out
    assert isinstance(held_out, Samples)
    assert not torch.equal(first, to_unit(held_out.values[:60]))


def test_samples_and_features_are_of_the_same_choice(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1")
    measured(made, metric(Watching), metric(WatchingFeatures))
    samples, features = shown(True)
    told = Watching.told[-1].features
    torch.testing.assert_close(told.extractor(samples).features, features)
    samples, features = shown(False)
    torch.testing.assert_close(told.extractor(samples).features, features)


def test_fewer_real_samples_are_all_of_them(run: MakeRun) -> None:
    found = measured(run("evaluate.snapshots=1", "evaluate.samples=400"), metric(Watching))
    assert (found["generated"], found["real"]) == (400, 297)
    assert [len(samples) for samples in shown(True)] == [297]


def test_without_held_out_samples_training_ones_are_taken(run: MakeRun) -> None:
    found = measured(run("evaluate.snapshots=1", "data.held_out=0"), metric(Watching))
    assert found["data"] == {"train": 1797, "held_out": 0}
    assert (found["real"], found["real_from"]) == (60, "train")


def test_samples_come_in_chunks(run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.evaluation.measure.CHUNK", 25)
    measured(run("evaluate.snapshots=1"), metric(Watching))
    assert [len(samples) for samples in shown(True)] == [25, 25, 10]
    assert [len(samples) for samples in shown(False)] == [25, 25, 10]


def test_a_metric_is_told_what_it_needs_and_no_more(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1")
    measured(made, metric(Watching), metric(Needy))
    free, needy = Watching.told
    assert (free.loss, free.data, dict(free.networks), free.features) == (None, None, {}, None)
    assert set(needy.networks) == {"generator"}
    assert needy.data.held_out is not None
    assert needy.loss is not None
    assert needy.num_classes == 10


# Names of figures.


def test_names_of_figures(run: MakeRun) -> None:
    found = measured(run("evaluate.snapshots=1"), metric(Watching), metric(WatchingFeatures))
    name = found["extractor"]["name"]
    assert set(found["figures"]) == {
        *("test-watching", "test-watching/mean"),
        *(f"test-features[{name}]", f"test-features/mean[{name}]"),
    }
    assert found["better"] == {f"test-features/mean[{name}]": "lower"}
    assert found["extractor"].keys() == {"name", "kind", "digest", "note"}
    assert name == f"random@{found['extractor']['digest'][:4]}"


def test_where_the_extractor_has_no_classes_probabilities_are_left_out(run: MakeRun) -> None:
    metrics = metric(WatchingProbabilities), metric(WatchingFeatures)
    found = measured(run("evaluate.snapshots=1"), *metrics)
    assert not any("probabilities" in name for name in found["figures"] | found["better"])
    assert len(Watching.told) == 1


def test_probabilities_of_a_classifier(
    run: MakeRun, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.evaluation.classifier.FEWEST_STEPS", 1)
    made = run("evaluate.snapshots=1", "evaluate.features=auto")
    found = measured(made, metric(WatchingProbabilities))
    name = found["extractor"]["name"]
    assert name.startswith("classifier@")
    assert f"test-probabilities/mean[{name}]" in found["figures"]
    for samples in shown(True) + shown(False):
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
        generator = state["average"] or state["networks"]["generator"]
        for network, expected in (
            (sampler.networks["generator"], generator),
            (sampler.networks["discriminator"], state["networks"]["discriminator"]),
        ):
            mine = network.state_dict()
            assert mine.keys() == expected.keys()
            assert all(torch.equal(mine[key], expected[key]) for key in mine)


def test_an_iteration_without_a_snapshot_changes_nothing(run: MakeRun) -> None:
    made = run()
    sampler = Sampler(made.recipe, made.folder)
    before = sampler.sample(5)
    sampler.load(7)
    assert torch.equal(sampler.sample(5), before)


def test_the_weights_of_a_loss_are_of_the_same_iteration(run: MakeRun) -> None:
    made = run(text=COUNTING)
    saved = safetensors.torch.load(made.folder.snapshot(10).read_bytes())
    assert saved["loss.count"] == 10
    found = measured(made, metric(Needy))
    assert [row["figures"]["test-needy/count"] for row in found["course"]] == [5, 10, 15, 20]


# The other prior.


def test_a_model_with_codes_is_measured_with_both_priors(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1", text=VAE)
    found = measured(made, metric(Watching), metric(Needy))
    assert found["prior"] == "latent"
    assert found["other_prior"]["prior"] == "mixture"
    # What does not look at samples is measured once.
    figures = found["other_prior"]["figures"]
    assert figures["test-needy/count"] == found["figures"]["test-needy/count"]
    assert figures["test-watching/mean"] != found["figures"]["test-watching/mean"]
    first, _, second = shown(False)
    sampler = Sampler(made.recipe, made.folder)
    assert torch.equal(first, sampler.sample(60, prior="latent"))
    assert torch.equal(second, sampler.sample(60, prior="mixture"))


def test_the_recipes_prior_is_the_headline(run: MakeRun) -> None:
    made = run("evaluate.snapshots=1", "prior.distribution=mixture", text=VAE)
    found = measured(made, metric(Watching))
    assert (found["prior"], found["other_prior"]["prior"]) == ("mixture", "latent")
    first, second = shown(False)
    sampler = Sampler(made.recipe, made.folder)
    assert torch.equal(first, sampler.sample(60, prior="mixture"))
    assert torch.equal(second, sampler.sample(60, prior="latent"))


# What is concluded, on figures that are given.


def test_the_best_passes_over_what_is_no_number() -> None:
    course = rows(math.nan, 4.0, math.inf, 5.0)
    assert best_of(course, {"test-scripted": "lower"}) == {
        "test-scripted": {"value": 4.0, "iteration": 10}
    }
    assert best_of(rows(-math.inf, -2.0, math.nan, -1.0), {"test-scripted": "higher"}) == {
        "test-scripted": {"value": -1.0, "iteration": 20}
    }


def test_there_is_no_best_without_a_number_or_a_better_way() -> None:
    course = rows(math.nan, math.nan, math.nan, math.nan)
    assert best_of(course, {"test-scripted": "lower", "absent": "higher"}) == {}
    assert best_of(rows(1.0, 2.0, 3.0, 4.0), {}) == {}


@pytest.mark.parametrize(
    ("way", "top", "end", "flagged"),
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
    way: str, top: float, end: float, flagged: bool
) -> None:
    best = {"f": {"value": top, "iteration": 400}}
    sentences = collapse({"f": end}, best, {"f": way}, {"f": 2.0})
    expected = f"f was {top:.4g} after 400 iterations and is {end:.4g} at the end"
    assert sentences == ([expected] if flagged else [])


def test_figures_without_a_limit_or_a_best_are_not_flagged() -> None:
    best = {"f": {"value": 1.0, "iteration": 1}}
    assert collapse({"f": 99.0}, best, {"f": "lower"}, {}) == []
    assert collapse({"g": 99.0}, best, {"f": "lower", "g": "lower"}, {"g": 2.0, "f": 2.0}) == []
