"""What the losses and penalties say of recipes in which they cannot train, or hardly."""

from __future__ import annotations

from pathlib import Path

import pytest

import ganzoo
from ganzoo.recipe import RecipeError

RECIPE = """
name = "remarks"
latent = { dim = 4 }
data = { type = "digits" }
generator = { type = "mlp", hidden = [8] }
discriminator = { type = "mlp", hidden = [8] }
loss = { type = "wasserstein" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 1e-3 }
train = { iterations = 2, batch_size = 8 }
"""


def load(folder: Path, *overrides: str) -> ganzoo.Recipe:
    file = folder / "recipe.toml"
    file.write_text(RECIPE)
    return ganzoo.load_recipe(file, *overrides)


@pytest.mark.parametrize("penalty", ["gradient-penalty", "dragan"])
def test_a_penalty_on_the_norm_does_not_go_together_with_clipping(
    penalty: str, tmp_path: Path
) -> None:
    regularizers = f"regularizers=[{{type='{penalty}'}}]"
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, regularizers)
    assert str(caught.value) == (
        "command line: regularizers.0.type: its norm of 1 is out of reach of the clipped weights "
        "of loss.clip: next to nothing would be trained\n"
        f"    {regularizers}\n"
        "      = write loss.clip = 0 (WGAN-GP), or leave the penalty out\n"
        "1 problem; nothing was run"
    )
    assert load(tmp_path, regularizers, "loss.clip=0").notes == ()


@pytest.mark.parametrize("keys", ["one_sided=true", "target=0"])
def test_a_penalty_that_clipped_weights_can_meet_is_allowed(keys: str, tmp_path: Path) -> None:
    recipe = load(tmp_path, f"regularizers=[{{type='gradient-penalty', {keys}}}]")
    assert recipe.notes == ()


@pytest.mark.parametrize("penalty", ["r1", "r2", "gradient-penalty", "dragan"])
@pytest.mark.parametrize(
    ("discriminator", "key"),
    [
        ("{type='mlp', normalization='batch'}", "normalization"),
        ("{type='dcgan'}", "normalization"),
        ("{type='dcgan', normalization='group', minibatch_std=true}", "minibatch_std"),
    ],
)
def test_a_penalty_where_logits_depend_on_the_batch_is_unwise(
    penalty: str, discriminator: str, key: str, tmp_path: Path
) -> None:
    overrides = (f"regularizers=[{{type='{penalty}'}}]", "loss.clip=0")
    (note,) = load(tmp_path, *overrides, f"discriminator={discriminator}").notes
    assert note.startswith(
        f"command line: regularizers.0.type: with discriminator.{key} a logit depends on the whole"
    )


def test_a_critic_without_a_bound_is_unwise(tmp_path: Path) -> None:
    (note,) = load(tmp_path, "loss.clip=0").notes
    assert note.startswith("command line: loss.clip: nothing bounds the slope of D")
    bounded = "discriminator={type='dcgan', normalization='none', spectral_norm=true}"
    assert load(tmp_path, "loss.clip=0", bounded).notes == ()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("a = 1", "loss.b: D's targets for real and generated samples are the same"),
        ("c = 0", "loss.c: G's target is D's for generated samples: G learns nothing"),
    ],
)
def test_least_squares_with_targets_that_teach_nothing(
    keys: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, f"loss={{type = 'least-squares', {keys}}}")
    pearson = "loss={type = 'least-squares', a = -1, b = 1, c = 0}"
    assert load(tmp_path, pearson).notes == ()


def test_a_penalty_of_d_in_a_recipe_without_d(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="joins the phase 'discriminator', which schedule"):
        load(
            tmp_path,
            *("loss={type='reconstruction'}", "encoder={type='mlp'}", "schedule={type='joint'}"),
            "regularizers=[{type='r1'}]",
        )
