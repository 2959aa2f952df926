"""How a comparison measures its runs, and what it says of those that fail."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from here import Here

from ganzoo.comparison import Comparison, jobs
from ganzoo.errors import InterruptedRun, RunError
from ganzoo.evaluation.report_text import warnings

from .conftest import paths

Compare = Callable[..., Comparison]


# Runs that fail.


def test_a_run_that_fails_is_named_beside_the_others(compared: Compare) -> None:
    reports: list[str] = []
    comparison = compared("diverging.toml", "gan.toml", report=reports.append)
    lost, good = comparison.data["models"]
    (run,) = lost["runs"]
    assert run["state"] == "failed"
    assert "not finite came up in iterations 1 to 10: term discriminator/lost" in run["message"]
    assert (run["values"], run["history"], run["cost"]) == ({}, [], None)
    assert run["iterations"] == 0
    assert lost["summaries"] == {}
    assert good["runs"][0]["state"] == "done"
    assert good["runs"][0]["message"] is None
    assert good["summaries"]["test-mean"]["mean"] > 0
    assert comparison.data["winners"]["test-mean"] is None
    assert reports == [
        f"1/2  diverging, seed 0: failed: {run['message']}",
        "2/2  gan, seed 0: measured",
    ]


def test_every_run_fails(compared: Compare) -> None:
    with pytest.raises(RunError) as caught:
        compared("diverging.toml", seeds=2)
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith("every run failed: numbers that are not finite came up")
    assert caught.value.message.count("not finite") == 1
    assert not Path("comparison/comparison.json").exists()


def test_a_metric_that_fails_is_left_out_and_named(compared: Compare) -> None:
    broken = '[[metrics]]\ntype = "test-broken"\n'
    Path("vae.toml").write_text(Path("vae.toml").read_text() + broken)
    data = compared("gan.toml", "vae.toml").data
    for model in data["models"]:
        (run,) = model["runs"]
        assert run["values"]
        assert run["left_out"].keys() == {"test-broken"}
        assert run["left_out"]["test-broken"].startswith(
            "it failed: KeyError: 'what is not there' ("
        )
        assert "what is not there" in Path(run["path"], "traceback.txt").read_text()
    assert any("was measured without 'test-broken': it failed" in each for each in warnings(data))


def test_a_metric_with_too_few_samples_is_named_before_training(compared: Compare) -> None:
    said: list[str] = []
    many = "metrics=[{type='test-many'}]"
    data = compared("gan.toml", overrides=["evaluate.samples=9", many], report=said.append).data
    assert said[0] == (
        "metric 'test-many' is left out: it needs 10 generated samples, and there are 9"
    )
    assert said[1].endswith("it needs 10 samples and is left out: evaluate.samples = 9")
    assert said[2:] == ["1/1  gan, seed 0: measured"]
    assert not any("test-many" in column["name"] for column in data["columns"])
    columns = compared("gan.toml", overrides=["evaluate.samples=10", many]).data["columns"]
    assert any("test-many" in column["name"] for column in columns)


def test_the_traceback_of_a_fault_is_kept(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(job: jobs.Job, folder: Any) -> Any:
        if "vae" in job.folder:
            raise KeyError("lost")
        return take(job, folder)

    take = jobs.take_measures
    monkeypatch.setattr("ganzoo.comparison.jobs.take_measures", measure)
    gan, vae = compared("gan.toml", "vae.toml").data["models"]
    assert gan["runs"][0]["state"] == "done"
    (run,) = vae["runs"]
    assert run["message"].startswith("measuring it failed: KeyError: 'lost' (")
    assert "KeyError: 'lost'" in Path(run["path"], "traceback.txt").read_text()


def test_ctrl_c_ends_the_comparison_with_a_way_on(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Here, "run", stop)
    for replace, option in ((False, ""), (True, " --replace")):
        with pytest.raises(InterruptedRun) as caught:
            compared("gan.toml", seeds=2, replace=replace)
        assert caught.value.message == "the comparison was stopped"
        assert caught.value.hint == (
            f"`ganzoo compare gan.toml --seeds 2 --runs runs --out comparison{option}` "
            "resumes it from the runs' checkpoints"
        )


# How runs are measured.


def test_measures_are_taken_once(compared: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compared("gan.toml", "vae.toml")

    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.evaluation.measure.measure", fail)
        again = compared("gan.toml", "vae.toml", out="again")
    assert again.data["models"] == first.data["models"]
    (path,) = paths(first)
    assert len(list(Path(path, "measures").iterdir())) == 1


def test_the_first_recipe_says_how_all_are_measured(compared: Compare, trained: Path) -> None:
    vae = Path("vae.toml").read_text().replace("samples = 50", "samples = 9")
    Path("vae.toml").write_text(vae.replace('"random"', '"identity"'))
    data = compared("vae.toml", trained).data
    assert (data["generated"], data["real"]) == (9, 9)
    assert data["extractor"] is not None
    assert data["extractor"]["type"] == "identity"
    for model in data["models"]:
        assert "test-features/distance[identity]" in model["summaries"]


def test_without_a_named_extractor_the_data_choose_one(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.evaluation.classifier.FEWEST_STEPS", 1)
    gan = Path("gan.toml").read_text().replace('extractor = { type = "random" }\n', "")
    Path("gan.toml").write_text(gan)
    extractor = compared("gan.toml").data["extractor"]
    assert extractor is not None
    assert extractor["table"] == {"type": "ganzoo-core:classifier"}


@pytest.mark.parametrize(
    "override", ["evaluate.samples=11", "extractor.type=identity", 'metrics=[{type="test-slow"}]']
)
def test_other_measures_are_taken_of_the_same_run(
    compared: Compare, trained: Path, override: str
) -> None:
    def files() -> set[Path]:
        return set((trained / "measures").iterdir())

    default = compared(trained).data
    before = files()
    for target in (trained, "gan.toml"):
        changed = compared(target, overrides=[override])
        assert paths(changed) == [str(trained)]
        run, other = default["models"][0]["runs"][0], changed.data["models"][0]["runs"][0]
        assert run["values"] != other["values"]
        assert run["statistics"] == other["statistics"]
    assert len(files() - before) == 1


def test_how_many_snapshots_a_recipe_wants_is_no_part_of_how_it_is_measured(
    compared: Compare, trained: Path
) -> None:
    compared(trained)
    data = compared("gan.toml", overrides=["evaluate.snapshots=5"]).data
    (run,) = data["models"][0]["runs"]
    assert run["path"] == str(trained)
    assert [row["iteration"] for row in run["history"]] == [10, 20]
    assert len(list((trained / "measures").iterdir())) == 1


def test_a_value_that_is_not_a_number_stays_one(compared: Compare) -> None:
    Path("gan.toml").write_text(Path("gan.toml").read_text() + '[[metrics]]\ntype = "test-nan"\n')
    for _ in range(2):
        (model,) = compared("gan.toml").data["models"]
        assert math.isnan(model["runs"][0]["values"]["test-nan"])
        assert math.isnan(model["summaries"]["test-nan"]["mean"])
        assert model["summaries"]["test-nan"]["low"] is None
    kept = json.loads(Path("comparison/comparison.json").read_text())
    assert kept["models"][0]["summaries"]["test-nan"]["mean"] is None


def test_metrics_are_those_that_fit_and_those_that_are_named(compared: Compare) -> None:
    metrics = '[[metrics]]\ntype = "test-slow"\n[[metrics]]\ntype = "test-mean"\nfactor = 3.0\n'
    Path("vae.toml").write_text(Path("vae.toml").read_text() + metrics)
    comparison = compared("gan.toml", "vae.toml")
    gan, vae = (set(model["summaries"]) for model in comparison.data["models"][:2])
    assert vae - gan == {"test-coded", "test-coded/generated"}
    assert {"test-slow", "test-mean", "test-mean/generated"} <= gan
    assert not any("incomplete" in name or "broken" in name for name in vae)


def test_the_first_recipe_that_names_a_metric_sets_it_for_all(compared: Compare) -> None:
    plain = compared("gan.toml").data["models"][0]["summaries"]["test-mean"]["mean"]
    for name, factor in (("vae", 3.0), ("blind", 5.0)):
        metric = f'[[metrics]]\ntype = "test-mean"\nfactor = {factor}\n'
        Path(f"{name}.toml").write_text(Path(f"{name}.toml").read_text() + metric)
    models = compared("gan.toml", "vae.toml", "blind.toml").data["models"]
    assert models[0]["summaries"]["test-mean"]["mean"] == pytest.approx(3 * plain)


def test_without_named_ones_slow_metrics_are_left_out(finished: Comparison) -> None:
    assert not any("slow" in column["name"] for column in finished.data["columns"])
