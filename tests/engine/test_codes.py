"""Codes of real samples: priors fitted to them, and the pictures of what they decode to."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from tiny import train

from ganzoo.digests import write_tensors
from ganzoo.engine.codes import LINES, STEPS, gather_codes
from ganzoo.errors import RunError, UserError
from ganzoo.sampling import Sampler

from .conftest import AUTOENCODER, CODES, MakeRecipe, MakeSession


def test_codes_come_with_the_samples_they_belong_to(session: MakeSession) -> None:
    autoencoder = session(text=AUTOENCODER)
    codes, labels, samples = gather_codes(autoencoder, 20)
    assert (codes.shape, labels.shape, samples.shape) == ((20, 4), (20,), (20, 1, 8, 8))
    encoder = autoencoder.parts.networks.encoder
    assert encoder.training
    torch.testing.assert_close(codes, encoder.eval()(samples).detach())
    assert len({sample.numpy().tobytes() for sample in samples}) > 15
    everything = len(autoencoder.data.train)
    assert len(gather_codes(autoencoder, 10 * everything)[0]) == everything


def test_a_run_with_codes_leaves_priors_and_pictures(recipe: MakeRecipe, tmp_path: Path) -> None:
    two = "priors=[{ type = 'mixture', components = 3 }, { type = 'normal' }]"
    autoencoder = recipe(two, text=AUTOENCODER)
    assert list(autoencoder.all_priors) == ["latent", "mixture", "normal"]
    folder = train(autoencoder, tmp_path)
    mixture = safetensors.torch.load(folder.prior("mixture").read_bytes())
    assert mixture["priors.mixture.means"].shape == (3, 4)
    with Image.open(folder.picture("lines")) as picture:
        # A row for each line, a column for each step and for the real sample at either end.
        assert picture.width / picture.height == pytest.approx(
            (9 * (STEPS + 2) + 1) / (9 * LINES + 1)
        )
    assert {path.stem for path in folder.path.glob("pictures/*")} == {
        "lines", "reconstructions", "mixture", "normal",
    }  # fmt: skip
    assert {path.stem for path in folder.path.glob("priors/*")} == {"mixture", "normal"}
    sampler = Sampler(autoencoder, folder)
    draws = {name: sampler.sample(8, prior=name) for name in autoencoder.all_priors}
    assert torch.equal(sampler.sample(8), draws["latent"])
    assert not torch.equal(draws["latent"], draws["mixture"])
    chosen = recipe("prior={ type = 'mixture', components = 3 }", text=AUTOENCODER)
    assert list(chosen.all_priors) == ["mixture", "latent"]
    assert torch.equal(Sampler(chosen, folder).sample(8), draws["mixture"])
    assert torch.equal(sampler.sample(300, prior="mixture")[:8], draws["mixture"])
    # Far from where latents have their mass, samples can only come from the mixture.
    far = {**mixture, "priors.mixture.means": mixture["priors.mixture.means"] + 100}
    file = {"file": "priors/mixture.safetensors", "fingerprint": autoencoder.fingerprint}
    write_tensors(folder.prior("mixture"), far, file)
    moved = Sampler(autoencoder, folder).sample(8, prior="mixture")
    assert not torch.allclose(moved, draws["mixture"], atol=0.1)


def test_the_trained_table_of_a_loss_comes_back(recipe: MakeRecipe, tmp_path: Path) -> None:
    """A table that is not learned is no part of the weights: the seed brings it back."""
    text = AUTOENCODER.replace('"test-coding" }', '"paired-codes", learned = false }').replace(
        'encoder = { type = "mlp", hidden = [16] }\n', ""
    )
    for learned in ("false", "true"):
        codes = recipe(f"loss.learned={learned}", text=text)
        folder = train(codes, tmp_path / learned)
        before = torch.get_rng_state()
        table = Sampler(codes, folder).loss.table
        assert torch.equal(before, torch.get_rng_state())
        if learned == "true":
            saved = safetensors.torch.load(folder.weights("loss").read_bytes())["loss.table"]
            assert torch.equal(table, saved)
        assert torch.equal(table, Sampler(codes, folder).loss.table)


def test_the_weights_of_a_loss_are_those_of_the_snapshot(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    codes = recipe("evaluate.snapshots=2", text=CODES)
    folder = train(codes, tmp_path)
    end, early, late = (Sampler(codes, folder) for _ in range(3))
    early.load(10)
    assert not torch.equal(early.loss.table, end.loss.table)
    assert late.loss is not None
    late.load(10)
    assert torch.equal(late.loss.table, early.loss.table), "whichever is asked for first"


def test_a_run_without_codes_has_no_fitted_prior(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = train(recipe("train.iterations=1"), tmp_path)
    assert not (folder.path / "priors").exists()
    with pytest.raises(UserError, match="has no prior 'mixture'"):
        Sampler(recipe(), folder).sample(3, prior="mixture")
    assert list((folder.path / "pictures").iterdir()) == []
    codes = train(recipe(text=AUTOENCODER), tmp_path / "codes")
    codes.prior("mixture").unlink()
    with pytest.raises(RunError, match="has no fitted prior 'mixture'"):
        Sampler(recipe(text=AUTOENCODER), codes).sample(3, prior="mixture")
