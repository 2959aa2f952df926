"""The content of comparison.json, for real runs and for invented outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from ganzoo import open_run
from ganzoo.comparison import Comparison
from ganzoo.comparison.jobs import Job, Outcome
from ganzoo.comparison.launchers import LAUNCHERS, Outcomes
from ganzoo.comparison.statistics import summary
from ganzoo.data import DataDescription
from ganzoo.errors import RunError
from ganzoo.evaluation.document import RunMeasures

Compare = Callable[..., Comparison]


def test_the_comparison_on_disk_is_the_one_returned(finished: Comparison) -> None:
    kept = json.loads((finished.out / "comparison.json").read_text())
    assert kept == json.loads(json.dumps(finished.data))


def test_the_head_of_the_document(finished: Comparison) -> None:
    data = finished.data
    assert set(data) == {
        *("format", "title", "created", "command", "ganzoo", "device", "versions", "budget"),
        *("seeds", "data", "extractor", "generated", "real", "real_from", "columns", "models"),
        *("differences", "winners", "request", "headline"),
    }
    assert (data["format"], data["title"], data["budget"]) == (3, "gan, vae", None)
    assert data["command"] == "ganzoo compare gan.toml vae.toml --seeds 2 --runs runs --out out"
    assert data["ganzoo"] == version("ganzoo-core")
    assert data["device"] in ("cpu", "cuda:0", "mps")
    assert data["versions"]["torch"] == torch.__version__
    # The plugins of all models, not only of the first, and of the metrics.
    assert set(data["versions"]) == {
        *("torch", "ganzoo-core", "ganzoo-mlp", "ganzoo-data", "test"),
    }
    assert data["seeds"] == [0, 1]
    assert data["data"] == {
        "name": "digits",
        "sample_shape": [1, 8, 8],
        "num_classes": 10,
        "train": 1500,
        "held_out": 297,
    }
    assert data["extractor"] is not None
    assert data["extractor"]["type"] == "random"
    assert data["extractor"]["table"] == {"type": "ganzoo-core:random"}
    assert data["extractor"]["name"] == f"random@{data['extractor']['digest'][:4]}"
    assert (data["generated"], data["real"], data["real_from"]) == (50, 50, "held out")


def test_columns_with_a_better_way_come_first(finished: Comparison) -> None:
    columns = finished.data["columns"]
    assert finished.data["extractor"] is not None
    features = finished.data["extractor"]["name"]
    assert {column["name"] for column in columns} == {
        *("test-mean", "test-mean/generated", "test-coded", "test-coded/generated"),
        *(f"test-features/distance[{features}]", f"test-features/generated[{features}]"),
    }
    assert [column["headline"] for column in columns] == [True, True, False, False, False, False]
    rows = finished.data["models"]
    everywhere = [all(column["name"] in row["summaries"] for row in rows) for column in columns]
    assert everywhere == [True, True, True, True, False, False]
    by_name = {column["name"]: column for column in columns}
    assert by_name["test-mean"] == {
        "name": "test-mean",
        "label": "Test mean",
        "better": "lower",
        "meaning": "How far the mean grey is from the real one.",
        "headline": True,
    }
    assert by_name["test-mean/generated"]["better"] is None
    assert by_name["test-mean/generated"]["label"] == "Test mean: generated"
    assert by_name[f"test-features/distance[{features}]"]["label"] == "Distance of features"
    assert by_name[f"test-features/distance[{features}]"]["meaning"] == "The same in features."


def test_a_model_of_known_codes_has_a_row_for_each_prior(finished: Comparison) -> None:
    gan, vae, mixture = finished.data["models"]
    assert [row["label"] for row in (gan, vae, mixture)] == [
        "gan",
        "vae (prior latent)",
        "vae (prior mixture)",
    ]
    assert [row["name"] for row in (gan, vae, mixture)] == ["gan", "vae", "vae"]
    assert [row["prior"] for row in (gan, vae, mixture)] == ["latent", "latent", "mixture"]
    assert [run["path"] for run in vae["runs"]] == [run["path"] for run in mixture["runs"]]
    for own, other in zip(vae["runs"], mixture["runs"], strict=True):
        assert own["values"]["test-mean"] != other["values"]["test-mean"]
        assert own["cost"] == other["cost"]
        assert len(own["history"]) == 2
        assert (other["history"], other["best"], other["collapse"]) == ([], {}, [])


def test_a_run_as_it_stands_in_the_comparison(finished: Comparison) -> None:
    gan = finished.data["models"][0]
    assert gan["summary"] == "Two small perceptrons"
    assert set(gan["parameters"]) == {"generator", "discriminator"}
    assert gan["parameters"]["generator"] == 4 * 16 + 16 + 16 * 64 + 64
    assert gan["recipe"]["train"] == {"iterations": 20, "batch_size": 16, "accumulate": 1}
    run = gan["runs"][1]
    made = open_run(finished.out.parent / run["path"])
    assert (run["seed"], run["state"], run["message"]) == (1, "done", None)
    assert run["iterations"] == 20
    assert [row["iteration"] for row in run["history"]] == [10, 20]
    assert run["history"][-1]["values"] == run["values"]
    seconds = [json.loads(row)["seconds"] for row in made.folder.timing.read_text().splitlines()]
    assert run["statistics"] == [
        {**row, "seconds": at} for row, at in zip(made.statistics, seconds, strict=True)
    ]
    best = min(row["values"]["test-mean"] for row in run["history"])
    assert run["best"]["test-mean"]["value"] == best
    cost = run["cost"]
    assert cost["seconds"] == made.status["seconds"]
    assert cost["steps"] == {"discriminator": 20, "generator": 20}
    assert cost["images"] == 320
    assert cost["images_per_second"] == pytest.approx(320 / cost["seconds"])
    assert cost["peak_memory_mb"] == made.status["peak_memory_mb"]
    assert cost["sampling_seconds"] > 0


def test_statistics_and_costs_are_over_the_seeds(finished: Comparison) -> None:
    for model in finished.data["models"]:
        runs = model["runs"]
        for name, each in model["summaries"].items():
            assert each == summary([run["values"][name] for run in runs])
        for key in ("seconds", "images", "images_per_second", "peak_memory_mb"):
            mean = sum(run["cost"][key] for run in runs) / 2
            assert model["cost"][key] == pytest.approx(mean)
    assert finished.data["models"][1]["cost"]["steps"] == {"joint": 20}


def test_others_are_paired_with_the_first(finished: Comparison) -> None:
    gan, vae, mixture = finished.data["models"]
    assert "paired" not in gan
    # A value that the first model lacks cannot be paired.
    assert set(vae["paired"]) == set(mixture["paired"]) == set(gan["summaries"])
    differences = [
        own["values"]["test-mean"] - other["values"]["test-mean"]
        for own, other in zip(vae["runs"], gan["runs"], strict=True)
    ]
    assert vae["paired"]["test-mean"]["difference"] == pytest.approx(sum(differences) / 2)


def test_only_keys_that_differ_are_listed(finished: Comparison) -> None:
    differences = {row["key"]: row["values"] for row in finished.data["differences"]}
    assert differences["loss.type"] == ["non-saturating", "test-coding"]
    assert differences["schedule.type"] == ["alternating", "joint"]
    assert differences["discriminator.type"] == ["mlp", None]
    assert differences["encoder.hidden"] == [None, [16]]
    assert not {"name", "summary", "train.seed", "train.iterations", "data.type"} & set(differences)
    for values in differences.values():
        assert values[0] != values[1]


def test_arrays_differ_by_their_elements(compared: Compare) -> None:
    for name, gamma in (("first", 1.0), ("second", 2.0)):
        Path(f"{name}.toml").write_text(
            f'extends = "gan.toml"\n[[regularizers]]\ntype = "r1"\ngamma = {gamma}\n'
        )
    data = compared("first.toml", "second.toml", overrides=["train.iterations=1"]).data
    assert data["differences"] == [{"key": "regularizers.0.gamma", "values": [1.0, 2.0]}]


# Invented outcomes: what follows from known values.


class InventingLauncher:
    """A launcher whose runs have given values."""

    def __init__(self, values: Mapping[str, Sequence[float | None]], *extractors: Any) -> None:
        self.values = values
        self.extractors = iter(extractors)

    def launch(self, jobs: Sequence[Job]) -> Outcomes:
        for place, job in enumerate(jobs):
            folder = Path(job.folder)
            seed = int(folder.name.split("-")[1])
            value = self.values[folder.parent.name][seed]
            folder.mkdir(parents=True)
            status = {"state": "done", "iteration": 20, "seconds": 2.0, "images": 100}
            status["steps"] = {"joint": 20}
            (folder / "status.json").write_text(json.dumps(status))
            environment = {
                **{"torch": "2", "choices": {"device": "cpu"}, "plugins": {"p": "1"}},
                **{"fingerprint": "0f", "data": asdict(DataDescription(10, 0))},
            }
            if seed:  # one that failed before it began has none
                (folder / "environment.json").write_text(json.dumps(environment))
            if value is None:
                yield place, Outcome(job.folder, "lost")
            else:
                extractor = next(self.extractors, None)
                found: RunMeasures = {**measures(value), "extractor": extractor}
                yield place, Outcome(job.folder, None, found)


def measures(value: float) -> RunMeasures:
    values = {"test-mean": value, "other": 1.0}
    return {
        "extractor": None,
        "prior": "latent",
        "iteration": 20,
        "values": values,
        "history": [{"iteration": 20, "values": values}],
        "best": {},
        "better": {"test-mean": "lower"},
        "bounds": {},
        "collapse": [],
        "left_out": {},
        "other_priors": {},
        "parameters": {},
        "sampling_seconds": 0.5,
        "data": {"train": 10, "held_out": 0},
        "generated": 9,
        "real": 9,
        "real_from": "train",
    }


@pytest.fixture
def invented(compared: Compare, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`invented(gan=[1, 2], vae=[3, 4])` is the comparison of runs with these values."""

    def invented(**values: Sequence[float | None]) -> Any:
        monkeypatch.setitem(LAUNCHERS, "local", lambda *options: InventingLauncher(values))
        names = [f"{name}.toml" for name in values]
        return compared(*names, seeds=len(next(iter(values.values())))).data

    return invented


def test_a_clear_difference_is_named(invented: Callable[..., Any]) -> None:
    data = invented(gan=[1.0, 1.01, 1.02], vae=[5.0, 5.01, 5.02], blind=[9.0, 9.01, 9.02])
    gan, vae, _ = data["models"]
    assert data["winners"] == {"test-mean": "gan"}
    assert vae["paired"]["test-mean"]["verdict"] == "worse"
    assert vae["paired"]["test-mean"]["difference"] == pytest.approx(4)
    assert vae["paired"]["other"]["verdict"] is None
    assert gan["summaries"]["test-mean"]["std"] == pytest.approx(0.01)


def test_seeds_that_disagree_name_nobody(invented: Callable[..., Any]) -> None:
    data = invented(gan=[1.0, 4.0], vae=[2.0, 3.0])
    assert data["winners"] == {"test-mean": None}
    assert data["models"][1]["paired"]["test-mean"]["verdict"] == "no significant difference"


def test_one_seed_names_nobody(
    invented: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = invented(gan=[1.0, None], vae=[None, 100.0])
    gan, vae = data["models"]
    assert gan["summaries"]["test-mean"]["low"] is None
    assert data["winners"] == {"test-mean": None}
    # They have no seed in common.
    assert vae["paired"] == {}
    assert [run["state"] for run in gan["runs"]] == ["done", "failed"]
    assert gan["cost"]["seconds"] == 2.0


def test_the_reference_may_be_the_one_that_failed(invented: Callable[..., Any]) -> None:
    data = invented(gan=[None, None], vae=[2.0, 2.1])
    gan, vae = data["models"]
    assert (gan["summaries"], gan["parameters"], vae["paired"]) == ({}, {}, {})
    assert gan["cost"] == {
        "seconds": None,
        "images": None,
        "images_per_second": None,
        "peak_memory_mb": None,
        "sampling_seconds": None,
        "steps": {},
    }
    assert data["winners"] == {"test-mean": None}
    assert data["real_from"] == "train"


def test_the_extractor_is_that_of_the_runs_that_have_one(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = {"name": "classifier@3f2a", "note": "good"}
    launcher = InventingLauncher({"gan": [1.0, 2.0]}, None, extractor)
    monkeypatch.setitem(LAUNCHERS, "local", lambda *options: launcher)
    assert compared("gan.toml", seeds=2).data["extractor"] == extractor


def test_runs_measured_in_different_features_are_not_compared(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractors = ({"name": "classifier@3f2a"}, {"name": "classifier@77aa"})
    launcher = InventingLauncher({"gan": [1.0, 2.0]}, *extractors)
    monkeypatch.setitem(LAUNCHERS, "local", lambda *options: launcher)
    with pytest.raises(RunError) as caught:
        compared("gan.toml", seeds=2)
    assert caught.value.message == (
        "runs were measured in different features: classifier@3f2a, classifier@77aa"
    )
    assert caught.value.hint == (
        "a run without its folder measures/ is measured anew; "
        "several machines need one GANZOO_CACHE"
    )
