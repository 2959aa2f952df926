"""The loss by itself, and whole runs through recipes."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ganzoo_argmax import ArgmaxGenerator, ArgmaxLoss, ganzoo_generators, ganzoo_losses
from pydantic import ValidationError
from torch import Tensor, nn

import ganzoo
from ganzoo.api import BuildContext, Networks
from ganzoo.engine.checkpoints import newest_checkpoint
from ganzoo.engine.step import Batch, Step
from ganzoo.errors import InterruptedRun

RECIPE = """
name = "argmax"
latent = {{ dim = {dim} }}
data = {{ type = "{data}" }}
discriminator = {{ type = "mlp", hidden = [32, 32], dropout = 0.1 }}
schedule = {{ type = "discriminator-only" }}
optimizer = {{ type = "adam", lr = 1e-3, betas = [0.0, 0.99] }}
train = {{ iterations = 20, batch_size = 16 }}
log = {{ every = 10, samples = 4 }}
checkpoint = {{ every = 10 }}
engine = {{ device = "cpu" }}

[generator]
type = "argmax"
pool_size = 64
steps = 5
noise = 0.01

[loss]
type = "{loss}"
"""


def recipe(
    folder: Path, *overrides: str, data: str = "ring", loss: str = "argmax"
) -> ganzoo.Recipe:
    file = folder / "argmax.toml"
    file.write_text(RECIPE.format(data=data, loss=loss, dim={"ring": 2, "digits": 64}[data]))
    return ganzoo.load_recipe(file, *overrides)


def terms(real: list[float], fake: list[float], **keys: float) -> dict[str, Any]:
    """The loss of a D that returns its input."""
    generator = Counted(torch.tensor(fake, requires_grad=True))
    loss = ArgmaxLoss(**keys).build(BuildContext(sample_shape=(1,), latent_dim=1))
    networks = Networks({"generator": generator, "discriminator": nn.Identity()})
    batch = Batch(torch.tensor(real), torch.zeros(len(fake), 1))
    values = loss.compute(Step("discriminator", networks, batch, trains={"discriminator"}))
    assert generator.calls == 1, "one ascent"
    return dict(values)


class Counted(nn.Module):
    """A generator of always the same samples."""

    def __init__(self, samples: Tensor) -> None:
        super().__init__()
        self.samples, self.calls = samples, 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.samples


def test_the_terms_are_cross_entropies_of_logits() -> None:
    values = terms([2.0, -1.0], [0.5, 3.0], logit_weight=0.1)
    probability = torch.tensor([2.0, -1.0, 0.5, 3.0]).sigmoid()
    torch.testing.assert_close(values["real"], -probability[:2].log().mean())
    torch.testing.assert_close(values["fake"], -(1 - probability[2:]).log().mean())
    assert values["logits"].item() == pytest.approx(0.1 * ((4 + 1) / 2 + (0.25 + 9) / 2))
    torch.testing.assert_close(values["D(x)"], probability[:2].mean())
    torch.testing.assert_close(values["D(G(z))"], probability[2:].mean())
    assert "logits" not in terms([0.0], [0.0], logit_weight=0.0)


def test_a_logit_of_any_size_has_a_finite_loss() -> None:
    values = terms([-1e4], [1e4], logit_weight=0.0)
    assert values["real"].item() == values["fake"].item() == 1e4


def test_the_generator_is_not_differentiated() -> None:
    assert not terms([0.0], [0.0])["fake"].requires_grad


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        (ArgmaxGenerator, {"start": "nowhere"}),
        (ArgmaxGenerator, {"pool_size": 0}),
        (ArgmaxGenerator, {"restarts": 1.1}),
        (ArgmaxGenerator, {"best_share": 0.0}),
        (ArgmaxGenerator, {"steps": 0}),
        (ArgmaxGenerator, {"sampling_steps": 0}),
        (ArgmaxGenerator, {"step_size": 0.0}),
        (ArgmaxGenerator, {"momentum": 1.0}),
        (ArgmaxGenerator, {"longest_gradient": -1.0}),
        (ArgmaxGenerator, {"noise": -1.0}),
        (ArgmaxGenerator, {"margin": -0.1}),
        (ArgmaxLoss, {"logit_weight": -1.0}),
    ],
)
def test_invalid_values_are_refused(spec: Any, keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        spec(**keys)


def test_every_key_is_explained() -> None:
    for spec in (*ganzoo_generators(), *ganzoo_losses()):
        assert len(spec.summary()) <= 97
        for key, field in spec.model_fields.items():
            assert field.description, key


def test_declarations_do_not_import_torch() -> None:
    code = "import sys, ganzoo_argmax; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("data", ["ring", "digits"])
@pytest.mark.parametrize("loss", ["argmax", "non-saturating", "minimax"])
@pytest.mark.parametrize("start", ["pool", "noise", "data"])
def test_a_run_trains_and_is_sampled_without_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, loss: str, start: str
) -> None:
    loaded = recipe(tmp_path, f"generator.start={start}", data=data, loss=loss)
    run = ganzoo.train(loaded, runs=tmp_path / "runs")
    assert run.status["state"] == "done"
    for row in run.statistics:
        assert all(math.isfinite(value) for value in row["statistics"].values())
        assert {"discriminator/D(x)", "discriminator/D(G(z))"} <= set(row["statistics"])
    monkeypatch.setattr(
        "ganzoo_data.Ring.build" if data == "ring" else "ganzoo_data.Digits.build", None
    )
    samples = ganzoo.open_run(run.path).sample(6, seed=3)
    assert samples.shape == (6, *((2,) if data == "ring" else (1, 8, 8)))
    assert torch.equal(samples, ganzoo.open_run(run.path).sample(6, seed=3))
    assert not torch.equal(samples, ganzoo.open_run(run.path).sample(6, seed=4))


def test_packs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ganzoo.RecipeError, match="'argmax' needs the logits of single samples"):
        recipe(tmp_path, "discriminator.pack=2")


def test_the_pool_of_a_run_is_saved_with_its_weights(tmp_path: Path) -> None:
    run = ganzoo.train(recipe(tmp_path), runs=tmp_path / "runs")
    state = newest_checkpoint(run.folder, print)
    assert state is not None
    assert set(state["networks"]["generator"]) == {"low", "high", "data", "pool"}
    assert state["networks"]["generator"]["pool"].shape == (64, 2)


def test_a_short_run_on_the_ring_moves_the_samples_to_the_data(tmp_path: Path) -> None:
    overrides = ("train.iterations=150", "train.batch_size=128", "optimizer.lr=2e-3")
    keys = ("generator.step_size=0.05", "generator.longest_gradient=2.0", "generator.restarts=0.1")
    run = ganzoo.train(recipe(tmp_path, *overrides, *keys), runs=tmp_path / "runs")
    radius = torch.linalg.vector_norm(run.sample(500), dim=1)
    assert (radius - 1).abs().median() < 0.25
    noise = torch.linalg.vector_norm(torch.rand(5000, 2) * 3 - 1.5, dim=1)
    assert (noise - 1).abs().median() > 0.25, "which noise does not do"


def test_a_run_that_was_stopped_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = recipe(tmp_path, data="digits")
    whole = ganzoo.train(loaded, runs=tmp_path / "runs", identity="whole")
    with monkeypatch.context() as patch:
        iterations = itertools.count(1)
        patch.setattr("ganzoo.engine.training.stop_requested", lambda *_: next(iterations) == 13)
        with pytest.raises(InterruptedRun):
            ganzoo.train(loaded, runs=tmp_path / "runs", identity="stopped")
    stopped = ganzoo.zoo.resume(tmp_path / "runs" / "argmax" / "stopped")
    for name in ("generator.safetensors", "discriminator.safetensors", "statistics.jsonl"):
        assert (stopped.path / name).read_bytes() == (whole.path / name).read_bytes(), name
