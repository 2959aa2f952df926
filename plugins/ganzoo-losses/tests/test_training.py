"""Every loss and regularizer in a run of 20 iterations, through recipes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import pytest
from ganzoo_losses import FDivergenceLoss, ganzoo_losses, ganzoo_regularizers

import ganzoo

RECIPE = """
name = "losses"
latent = {{ dim = 2 }}
data = {{ type = "{data}" }}
generator = {{ type = "mlp", hidden = [16] }}
discriminator = {{ type = "mlp", hidden = [16] }}
schedule = {{ type = "{schedule}" }}
optimizer = {{ type = "adam", lr = 1e-3, betas = [0.5, 0.99] }}
train = {{ iterations = 20, batch_size = 16 }}
log = {{ every = 20, samples = 1 }}
checkpoint = {{ every = 20, keep = 1 }}
engine = {{ device = "cpu" }}

[loss]
{loss}

{regularizer}
"""

DIVERGENCES = get_args(FDivergenceLoss.model_fields["divergence"].annotation)
LOSSES = [
    *(f'type = "{spec.type}"' for spec in ganzoo_losses()),
    *(f'type = "f-divergence"\ndivergence = "{name}"' for name in DIVERGENCES),
    'type = "f-divergence"\ngenerator = "saturating"',
]
REGULARIZERS = [spec.type for spec in ganzoo_regularizers()]


def recipe(
    folder: Path,
    loss: str,
    *,
    regularizer: str = "",
    data: str = "ring",
    schedule: str = "alternating",
) -> ganzoo.Recipe:
    file = folder / "losses.toml"
    file.write_text(RECIPE.format(loss=loss, regularizer=regularizer, data=data, schedule=schedule))
    return ganzoo.load_recipe(file)


def statistics(loaded: ganzoo.Recipe, folder: Path) -> dict[str, float]:
    run = ganzoo.train(loaded, runs=folder / "runs")
    assert run.status["state"] == "done"
    assert [row["iteration"] for row in run.metrics] == [20]
    values: dict[str, float] = run.metrics[-1]["statistics"]
    assert all(math.isfinite(value) for value in values.values())
    return values


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(loss: str, tmp_path: Path) -> None:
    assert "generator/loss" in statistics(recipe(tmp_path, loss), tmp_path)


@pytest.mark.parametrize("name", ["wasserstein", "relativistic"])
def test_both_networks_may_step_at_once(name: str, tmp_path: Path) -> None:
    statistics(recipe(tmp_path, f'type = "{name}"', schedule="simultaneous"), tmp_path)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_every_regularizer_trains(name: str, tmp_path: Path) -> None:
    table = f'[[regularizers]]\ntype = "{name}"\nevery = 2'
    loaded = recipe(tmp_path, 'type = "relativistic"', regularizer=table, data="digits")
    assert any(key.startswith(f"discriminator/{name}/") for key in statistics(loaded, tmp_path))


def test_wgan_gp_is_the_loss_without_a_clip_and_the_penalty(tmp_path: Path) -> None:
    table = '[[regularizers]]\ntype = "gradient-penalty"'
    loaded = recipe(tmp_path, 'type = "wasserstein"\nclip = 0', regularizer=table)
    assert "discriminator/gradient-penalty/penalty" in statistics(loaded, tmp_path)


def test_r1_and_r2_go_together(tmp_path: Path) -> None:
    tables = "\n".join(f'[[regularizers]]\ntype = "{name}"\ngamma = 0.02' for name in ("r1", "r2"))
    loaded = recipe(tmp_path, 'type = "relativistic"', regularizer=tables)
    assert {"discriminator/r1/penalty", "discriminator/r2/penalty"} <= set(
        statistics(loaded, tmp_path)
    )


def test_consistency_is_for_images(tmp_path: Path) -> None:
    with pytest.raises(ganzoo.RecipeError, match="images"):
        recipe(tmp_path, 'type = "hinge"', regularizer='[[regularizers]]\ntype = "consistency"')
