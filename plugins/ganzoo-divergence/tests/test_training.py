"""Declarations, the metric, and runs with the probe."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ganzoo_divergence import Divergence, DivergenceProbe
from ganzoo_divergence.divergences import divergences
from ganzoo_divergence.line import Distribution, Line
from known_gaussians import Gaussians, drawn
from PIL import Image

import ganzoo
from ganzoo.api import BuildContext, UserError
from ganzoo.engine import Data, Samples

RECIPE = """
name = "theory"
latent = { dim = 1 }
data = { type = "gaussian-1d", mean = 4.0, std = 1.25 }
generator = { type = "mlp", hidden = [8] }
discriminator = { type = "mlp", hidden = [8], dropout = 0.2 }
loss = { type = "minimax" }
schedule = { type = "alternating", discriminator_steps = 2 }
optimizer = { type = "adam", lr = 1e-2 }
train = { iterations = 12, batch_size = 64 }
log = { every = 3 }
checkpoint = { every = 12 }
engine = { device = "cpu" }
evaluate = { samples = 2000, snapshots = 2 }
"""
PROBE = 'probes=[{ type = "divergence", every = 4, samples = 5000 }]'
METRIC = 'metrics=[{ type = "divergence" }]'
LIKELIHOOD = (
    "latent.dim=2",
    'generator={ type = "mixture", components = 2 }',
    'loss={ type = "likelihood" }',
    'schedule={ type = "joint" }',
)
RING = 'data={ type = "ring" }'


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "theory.toml"
    file.write_text(RECIPE)
    return file


def rows(run: ganzoo.Run) -> list[dict[str, Any]]:
    lines = (run.path / "probes" / "divergence.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


class TestDeclarations:
    def test_importing_them_does_not_cost_torch(self) -> None:
        code = "import sys, ganzoo_divergence; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("spec", [DivergenceProbe, Divergence])
    def test_they_explain_themselves(self, spec: Any) -> None:
        assert len(spec.summary()) <= 97
        for key, field in spec.model_fields.items():
            assert field.description, key

    @pytest.mark.parametrize("shape", [(2,), (1, 8, 8)])
    def test_samples_that_are_not_on_a_line_are_refused(self, shape: tuple[int]) -> None:
        written = ", ".join(map(str, shape))
        message = (
            rf"measures points on a line, of shape \(1,\), but the samples are of "
            rf"shape \({written}\)\n  = data.type = 'gaussian-1d' has such points"
        )
        with pytest.raises(UserError, match=message):
            DivergenceProbe().build(BuildContext(sample_shape=shape, latent_dim=1))

    def test_too_few_samples_are_refused(self, recipe: Path) -> None:
        with pytest.raises(ganzoo.RecipeError, match=r"probes\.0\.samples"):
            ganzoo.load_recipe(recipe, PROBE.replace("5000", "999"))

    def test_data_without_a_density_are_refused(self, recipe: Path) -> None:
        with pytest.raises(ganzoo.RecipeError, match="needs a dataset with density"):
            ganzoo.load_recipe(recipe, 'data={ type = "digits" }', PROBE)


class TestMetric:
    def metric(self, shape: tuple[int, ...] = (1,), data: Data | None = None) -> Any:
        data = data or Gaussians().data()
        return Divergence().build(BuildContext(sample_shape=shape, latent_dim=1, data=data))

    def test_its_values_are_those_of_all_generated_samples(self) -> None:
        metric, points = self.metric(), drawn(3.0, 1.0, 2500)[:, None]
        for part in points.split(1000):
            metric.update(part, real=False)
            metric.update(part * 0, real=True)
        values = metric.compute()
        line = Line.over(Gaussians().data())
        assert values == divergences(line, Distribution.of_samples(line, points[:, 0]))
        assert set(values) == set(Divergence.better)

    def test_data_in_two_dimensions_have_none(self) -> None:
        metric = self.metric((2,), Data(Samples(torch.zeros(9, 2))))
        metric.update(torch.zeros(100, 2), real=False)
        assert metric.compute() == {}

    def test_samples_that_are_not_finite_have_values_that_are_no_numbers(self) -> None:
        metric = self.metric()
        metric.update(torch.full((20, 1), math.nan), real=False)
        assert all(math.isnan(value) for value in metric.compute().values())

    def test_fewer_than_ten_samples_are_refused(self) -> None:
        metric = self.metric()
        metric.update(drawn(3.0, 1.0, 9)[:, None], real=False)
        with pytest.raises(
            UserError, match=r"needs at least 10 generated samples, not 9\n  = evaluate.samples"
        ):
            metric.compute()
        metric.update(drawn(3.0, 1.0, 1)[:, None], real=False)
        assert all(math.isfinite(value) for value in metric.compute().values())


class TestRuns:
    def test_a_run_with_the_probe_is_the_run_without_it(self, recipe: Path, tmp_path: Path) -> None:
        with_probe, without = (
            ganzoo.train(ganzoo.load_recipe(recipe, *more), runs=tmp_path / name)
            for name, more in (("with", [PROBE]), ("without", []))
        )
        for file in ("statistics.jsonl", "generator.safetensors", "discriminator.safetensors"):
            assert (with_probe.path / file).read_bytes() == (without.path / file).read_bytes()
        assert not (without.path / "probes").exists()

    def test_values_frames_and_the_animation(self, recipe: Path, tmp_path: Path) -> None:
        run = ganzoo.train(ganzoo.load_recipe(recipe, PROBE), runs=tmp_path / "runs")
        measured = rows(run)
        assert [row["iteration"] for row in measured] == [4, 8, 12]
        for row in measured:
            values = row["values"]
            assert len(values) == 14
            assert all(math.isfinite(value) for value in values.values())
            assert 0 < values["js"] < math.log(2) + 1e-3
            assert values["value"] < values["optimal_value"]
        frames = sorted((run.path / "probes" / "divergence").glob("*.png"))
        assert [frame.stem for frame in frames] == ["000004", "000008", "000012"]
        with Image.open(run.path / "probes" / "divergence.gif") as animation:
            assert animation.n_frames == 3
            assert animation.size == (640, 480)

    def test_a_generator_that_does_not_change_has_the_same_values(
        self, recipe: Path, tmp_path: Path
    ) -> None:
        """Every measurement has the same latents."""
        loaded = ganzoo.load_recipe(recipe, "optimizer.lr=1e-30", PROBE)
        values = [row["values"] for row in rows(ganzoo.train(loaded, runs=tmp_path / "runs"))]
        assert values[0] == values[1] == values[2]
        assert values[0]["step/js"] == 0

    def test_a_mixture_is_measured_exactly(self, recipe: Path, tmp_path: Path) -> None:
        text = recipe.read_text().splitlines()
        recipe.write_text("\n".join(line for line in text if not line.startswith("discrim")))
        loaded = ganzoo.load_recipe(recipe, *LIKELIHOOD, PROBE)
        run = ganzoo.train(loaded, runs=tmp_path / "runs")
        for row in rows(run):
            assert set(row["values"]) == {"kl(P||G)", "kl(G||P)", "js", "tv", "js_noise"}
            assert row["values"]["js_noise"] == 0
            assert row["values"]["kl(P||G)"] > 0

    def test_the_metric_measures_a_run(self, recipe: Path, tmp_path: Path) -> None:
        run = ganzoo.train(ganzoo.load_recipe(recipe, METRIC), runs=tmp_path / "runs")
        values = run.evaluation["values"]
        assert set(values) == {
            f"divergence/{name}" for name in ("kl(P||G)", "kl(G||P)", "js", "tv")
        }
        assert run.evaluation["better"] == dict.fromkeys(values, "lower")

    def test_on_a_ring_the_metric_has_no_values_and_the_probe_says_why(
        self, recipe: Path, tmp_path: Path
    ) -> None:
        run = ganzoo.train(ganzoo.load_recipe(recipe, RING, METRIC), runs=tmp_path / "runs")
        assert run.status["state"] == "done"
        assert run.evaluation["values"] == {}
        with pytest.raises(UserError, match=r"the samples are of shape \(2\)"):
            ganzoo.train(ganzoo.load_recipe(recipe, RING, PROBE), runs=tmp_path / "runs")
