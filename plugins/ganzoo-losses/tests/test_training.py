"""Every loss, regularizer and augmentation in a run of 20 iterations, through recipes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from ganzoo_losses import (
    FDivergenceLoss,
    ganzoo_augmentations,
    ganzoo_losses,
    ganzoo_regularizers,
)
from torch import Tensor

import ganzoo
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.session import Session, prepare

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

{tables}
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
    tables: str = "",
    data: str = "ring",
    schedule: str = "alternating",
) -> ganzoo.Recipe:
    file = folder / "losses.toml"
    file.write_text(RECIPE.format(loss=loss, tables=tables, data=data, schedule=schedule))
    return ganzoo.load_recipe(file)


def statistics(loaded: ganzoo.Recipe, folder: Path) -> dict[str, float]:
    run = ganzoo.train(loaded, runs=folder / "runs")
    assert run.status["state"] == "done"
    assert [row["iteration"] for row in run.statistics] == [20]
    values: dict[str, float] = run.statistics[-1]["statistics"]
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
    loaded = recipe(tmp_path, 'type = "relativistic"', tables=table, data="digits")
    assert any(key.startswith(f"discriminator/{name}/") for key in statistics(loaded, tmp_path))


def test_wgan_gp_is_the_loss_without_a_clip_and_the_penalty(tmp_path: Path) -> None:
    table = '[[regularizers]]\ntype = "gradient-penalty"'
    loaded = recipe(tmp_path, 'type = "wasserstein"\nclip = 0', tables=table)
    assert "discriminator/gradient-penalty/penalty" in statistics(loaded, tmp_path)


def test_r1_and_r2_go_together(tmp_path: Path) -> None:
    tables = "\n".join(f'[[regularizers]]\ntype = "{name}"\ngamma = 0.02' for name in ("r1", "r2"))
    loaded = recipe(tmp_path, 'type = "relativistic"', tables=tables)
    assert {"discriminator/r1/penalty", "discriminator/r2/penalty"} <= set(
        statistics(loaded, tmp_path)
    )


def test_consistency_is_for_images(tmp_path: Path) -> None:
    with pytest.raises(ganzoo.RecipeError, match="images"):
        recipe(tmp_path, 'type = "hinge"', tables='[[regularizers]]\ntype = "consistency"')


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_weight_that_changes_over_the_run_is_logged(name: str, tmp_path: Path) -> None:
    gamma = '{ from = 2.0, to = 1.0, shape = "cosine", over = [0.0, 1.0] }'
    table = f'[[regularizers]]\ntype = "{name}"\ngamma = {gamma}'
    loaded = recipe(tmp_path, 'type = "relativistic"', tables=table)
    session = prepared(loaded)
    assert session.parts.values.current(0) == {"regularizers.0.gamma": 2.0}
    assert statistics(loaded, tmp_path)["regularizers.0.gamma"] == 1.0


def test_a_loss_of_probabilities_may_steer_the_schedule(tmp_path: Path) -> None:
    smoothed = recipe(tmp_path, 'type = "non-saturating-smoothed"', schedule="adaptive")
    assert "discriminator/D(G(z))" in statistics(smoothed, tmp_path)
    with pytest.raises(ganzoo.RecipeError, match="probabilities"):
        recipe(tmp_path, 'type = "hinge"', schedule="adaptive")


@pytest.mark.parametrize("name", [spec.type for spec in ganzoo_augmentations()])
@pytest.mark.parametrize("loss", ["relativistic", "wasserstein", "non-saturating-smoothed"])
def test_every_augmentation_trains(name: str, loss: str, tmp_path: Path) -> None:
    tables = f'[[augmentations]]\ntype = "{name}"\n[[regularizers]]\ntype = "r1"'
    loaded = recipe(tmp_path, f'type = "{loss}"', tables=tables, data="digits")
    assert "discriminator/r1/penalty" in statistics(loaded, tmp_path)


def test_diff_augment_is_for_images(tmp_path: Path) -> None:
    noise, pictures = (
        f'[[augmentations]]\ntype = "{name}"' for name in ("instance-noise", "diff-augment")
    )
    assert statistics(recipe(tmp_path, 'type = "hinge"', tables=noise), tmp_path)
    with pytest.raises(ganzoo.RecipeError, match="images"):
        recipe(tmp_path, 'type = "hinge"', tables=pictures)


def prepared(loaded: ganzoo.Recipe) -> Session:
    return prepare(loaded, torch.device("cpu"), ProcessGroup())


def test_the_discriminator_reads_augmented_images_in_both_phases(tmp_path: Path) -> None:
    tables = '[[augmentations]]\ntype = "diff-augment"\npolicies = ["cutout"]'
    loaded = recipe(tmp_path, 'type = "hinge"', tables=tables, data="digits")
    session = prepared(loaded)
    inputs: list[Tensor] = []
    networks = session.parts.networks
    networks.discriminator.register_forward_pre_hook(
        lambda _, arguments: inputs.append(arguments[0].detach())
    )
    batch = session.batches.next(0, real=True)
    for phase, passes in (("discriminator", 2), ("generator", 1)):
        inputs.clear()
        session.updater.backward(phase, batch, 0)
        assert len(inputs) == passes
        for x in inputs:
            holes = (x == 0).sum((1, 2, 3))
            assert (holes >= 4).all(), "a hole in every image, of at least 2x2 pixels"
    assert all(w.grad.abs().sum() > 0 for w in networks.generator.parameters())
    assert (batch.x == 0).sum() < 16 * 4, "the batch itself has no holes"


R1_AND_R2 = """
[[regularizers]]
type = "r1"
every = 2

[[regularizers]]
type = "r2"
every = 4
"""


@pytest.mark.parametrize("pack", [1, 2])
def test_penalties_of_the_logits_cost_no_forward_pass(tmp_path: Path, pack: int) -> None:
    """Relativistic + R1 + R2: D of the real samples, D of the fakes, and G, each once."""
    recipe(tmp_path, 'type = "relativistic"', tables=R1_AND_R2)
    loaded = ganzoo.load_recipe(tmp_path / "losses.toml", f"discriminator.pack={pack}")
    session = prepared(loaded)
    passes: list[str] = []
    for name, network in session.parts.networks.items():
        network.register_forward_hook(lambda *_, name=name: passes.append(name))
    for iteration in (0, 1, 2, 4):  # both penalties are due, none, one, both
        for phase in ("discriminator", "generator"):
            passes.clear()
            batch = session.batches.next(iteration, real=True)
            session.updater.run((phase,), batch, iteration)
            assert sorted(passes) == ["discriminator", "discriminator", "generator"]


@pytest.mark.parametrize("name", ["r1", "r2", "gradient-penalty"])
def test_penalties_train_a_discriminator_of_packs(name: str, tmp_path: Path) -> None:
    table = f'[[regularizers]]\ntype = "{name}"'
    recipe(tmp_path, 'type = "hinge"', tables=table)
    packed = ganzoo.load_recipe(tmp_path / "losses.toml", "discriminator.pack=4")
    assert f"discriminator/{name}/penalty" in statistics(packed, tmp_path)


@pytest.mark.parametrize("loss", LOSSES[:6])
def test_every_loss_trains_with_classes(loss: str, tmp_path: Path) -> None:
    recipe(tmp_path, loss, data="digits")
    conditional = ganzoo.load_recipe(tmp_path / "losses.toml", 'condition="class"')
    assert "generator/loss" in statistics(conditional, tmp_path)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_every_regularizer_trains_with_classes(name: str, tmp_path: Path) -> None:
    tables = f'[[regularizers]]\ntype = "{name}"\n[[augmentations]]\ntype = "instance-noise"'
    recipe(tmp_path, 'type = "hinge"', tables=tables, data="digits")
    conditional = ganzoo.load_recipe(tmp_path / "losses.toml", 'condition="class"')
    keys = statistics(conditional, tmp_path)
    assert any(key.startswith(f"discriminator/{name}/") for key in keys)
