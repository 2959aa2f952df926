"""Every loss in a short run of the engine on digits, through recipes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import ganzoo

RECIPE = """
name = "autoencoder"
latent = {{ dim = 8{latent} }}
data = {{ type = "{data}" }}
generator = {{ type = "mlp", hidden = [32] }}
schedule = {{ type = "joint" }}
train = {{ iterations = {iterations}, batch_size = 32 }}
log = {{ every = 20, samples = 1 }}
checkpoint = {{ every = 20, keep = 2 }}
prior = {{ type = "latent" }}
engine = {{ device = "cpu", precision = "{precision}" }}

[optimizer]
type = "adam"
lr = 3e-3
{optimizer}

[loss]
{loss}

{encoder}
"""

METRICS = """
[[metrics]]
type = "likelihood"
samples = 20
importance_samples = 5

[[metrics]]
type = "reconstruction-error"
samples = 50
"""
ENCODER = '[encoder]\ntype = "mlp"\nhidden = [32]'
ROWS = '[optimizer.loss]\ntype = "sgd"\nlr = 1.0'

WITH_ENCODER = [
    'type = "reconstruction"',
    'type = "reconstruction"\ndistance = "l1"',
    'type = "reconstruction"\ndistance = "bernoulli"',
    'type = "elbo"',
    'type = "elbo"\nlikelihood = "gaussian"\nbeta = { from = 0.0, to = 2.0 }\nfree_bits = 0.1',
    'type = "mmd"',
    'type = "mmd"\ndistance = "bernoulli"',
]
PAIRED = [
    'type = "paired-codes"',
    'type = "paired-codes"\ndistance = "laplacian"',
    'type = "paired-codes"\nlearned = true',
]


def recipe(
    folder: Path,
    loss: str,
    *,
    data: str = "digits",
    latent: str = "",
    iterations: int = 60,
    precision: str = "float32",
    metrics: str = "",
) -> ganzoo.Recipe:
    file = folder / "autoencoder.toml"
    paired = "paired-codes" in loss
    text = RECIPE.format(
        loss=loss,
        data=data,
        latent=latent,
        iterations=iterations,
        precision=precision,
        encoder="" if paired else ENCODER,
        optimizer=ROWS if "learned" in loss else "",
    )
    file.write_text(text + metrics)
    return ganzoo.load_recipe(file)


def reconstructions(loaded: ganzoo.Recipe, folder: Path) -> list[float]:
    """The statistic `reconstruction` at each reading of a run."""
    run = ganzoo.train(loaded, runs=folder / "runs")
    assert run.status["state"] == "done"
    rows = [row["statistics"] for row in run.statistics]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    return [row["joint/reconstruction"] for row in rows]


@pytest.mark.parametrize("loss", [*WITH_ENCODER, *PAIRED])
def test_the_reconstruction_falls(loss: str, tmp_path: Path) -> None:
    values = reconstructions(recipe(tmp_path, loss), tmp_path)
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("loss", ['type = "mmd"', 'type = "paired-codes"\nlearned = true'])
def test_uniform_latents(loss: str, tmp_path: Path) -> None:
    loaded = recipe(tmp_path, loss, latent=', distribution = "uniform"')
    values = reconstructions(loaded, tmp_path)
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize(
    "loss",
    [
        'type = "reconstruction"',
        'type = "elbo"\nlikelihood = "gaussian"\nstd = 0.1',
        'type = "mmd"',
        'type = "paired-codes"\nlearned = true',
    ],
)
def test_points(loss: str, tmp_path: Path) -> None:
    values = reconstructions(recipe(tmp_path, loss, data="ring"), tmp_path)
    assert values[-1] < values[0]


def test_bfloat16(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, 'type = "elbo"', precision="bfloat16")
    values = reconstructions(loaded, tmp_path)
    assert values[-1] < 0.9 * values[0]


def test_the_logged_terms_of_the_elbo_add_up(tmp_path: Path) -> None:
    run = ganzoo.train(recipe(tmp_path, 'type = "elbo"'), runs=tmp_path / "runs")
    row = run.statistics[-1]["statistics"]
    assert set(row) == {"joint/loss", "joint/reconstruction", "joint/kl", "joint/elbo"}
    assert row["joint/elbo"] == pytest.approx(-row["joint/reconstruction"] - row["joint/kl"])
    assert row["joint/loss"] == pytest.approx(-row["joint/elbo"])


@pytest.mark.parametrize("learned", [False, True])
def test_a_run_with_paired_codes_repeats_itself(learned: bool, tmp_path: Path) -> None:
    loss = f'type = "paired-codes"\nlearned = {str(learned).lower()}'
    runs = [
        ganzoo.train(recipe(tmp_path, loss, iterations=40), runs=tmp_path / place)
        for place in ("a", "b")
    ]
    assert runs[0].statistics == runs[1].statistics


def test_learned_codes_are_in_the_checkpoint_and_move(tmp_path: Path) -> None:
    loss = 'type = "paired-codes"\nlearned = true'
    run = ganzoo.train(recipe(tmp_path, loss, iterations=40), runs=tmp_path / "runs")
    first, last = (
        torch.load(file, weights_only=False)["networks"]["loss"]["table"]
        for file in sorted((run.path / "checkpoints").glob("*.pt"))
    )
    assert first.shape == (1500, 8)
    moved = (first != last).any(1).float().mean().item()
    # 20 batches of 32 of 1,500 digits, and the batch before them, whose codes are put back.
    assert 0.3 < moved <= 21 * 32 / 1500


def test_the_elbo_refuses_uniform_latents(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, 'type = "elbo"', latent=', distribution = "uniform"')
    with pytest.raises(ganzoo.UserError, match="compares codes with a standard normal"):
        ganzoo.train(loaded, runs=tmp_path / "runs")


@pytest.mark.parametrize("data", ["digits", "ring"])
def test_a_run_is_measured_at_every_snapshot(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    loss = 'type = "elbo"\nlikelihood = "gaussian"\nstd = 0.1\nbeta = 2.0'
    loaded = recipe(tmp_path, loss, data=data, metrics=METRICS + "[evaluate]\nsamples = 30")
    evaluation = ganzoo.train(loaded, runs=tmp_path / "runs").evaluation
    values = evaluation["values"]
    assert set(values) == {
        *("likelihood/log-likelihood", "likelihood/elbo"),
        *("likelihood/reconstruction", "likelihood/kl"),
        *("reconstruction-error", "reconstruction-error/training"),
    }
    assert values["likelihood/elbo"] == pytest.approx(
        -values["likelihood/reconstruction"] - values["likelihood/kl"]
    )
    assert values["likelihood/elbo"] < values["likelihood/log-likelihood"]
    assert evaluation["better"] == {
        "likelihood/log-likelihood": "higher",
        "likelihood/elbo": "higher",
        "reconstruction-error": "lower",
    }
    first = evaluation["history"][0]["values"]
    assert first["likelihood/elbo"] < values["likelihood/elbo"]
    assert first["reconstruction-error"] > values["reconstruction-error"]


def test_only_a_loss_with_a_likelihood_is_measured_by_it(tmp_path: Path) -> None:
    with pytest.raises(ganzoo.UserError) as caught:
        recipe(tmp_path, 'type = "mmd"', metrics=METRICS)
    assert "metric 'likelihood' needs a loss with likelihood; loss 'mmd' has none" in str(
        caught.value
    )
    assert "'elbo' would do" in str(caught.value)


def test_only_a_run_with_an_encoder_has_a_reconstruction_error(tmp_path: Path) -> None:
    with pytest.raises(ganzoo.UserError) as caught:
        recipe(tmp_path, 'type = "paired-codes"', metrics=METRICS)
    assert "metric 'reconstruction-error' needs an encoder; this recipe has none" in str(
        caught.value
    )
