"""Codes of real samples: the mixture fitted to them, and the pictures of what they decode to."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from ganzoo.engine.codes import (
    LINES,
    STEPS,
    draw_from_mixture,
    fit_mixture,
    gather_codes,
    load_mixture,
)
from ganzoo.engine.random import generator_for
from ganzoo.engine.sampling import Sampler
from ganzoo.errors import RunError
from ganzoo.runs import RunFolder

from .conftest import MakeRecipe, MakeSession
from .test_training import train
from .test_update import AUTOENCODER


def two_clouds(count: int) -> torch.Tensor:
    """Codes of two laws: 3/4 near (4, 0) with a tilted covariance, 1/4 near (-4, 1)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 2, generator=generator)
    tilted = noise @ torch.tensor([[1.0, 0.8], [0.0, 0.3]]) + torch.tensor([4.0, 0.0])
    near = 0.5 * noise + torch.tensor([-4.0, 1.0])
    return torch.where((torch.arange(count) % 4 == 0)[:, None], near, tilted)


def test_the_mixture_has_the_moments_of_the_codes() -> None:
    codes = two_clouds(4000)
    mixture = fit_mixture(codes, 2, seed=3)
    order = mixture["means"][:, 0].argsort()
    torch.testing.assert_close(
        mixture["weights"][order], torch.tensor([0.25, 0.75]), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        mixture["means"][order], torch.tensor([[-4.0, 1.0], [4.0, 0.0]]), atol=0.1, rtol=0
    )
    drawn = draw_from_mixture(mixture, 20_000, generator_for(0, "test"))
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), atol=0.3, rtol=0.03)


def test_a_mixture_has_no_more_components_than_codes_and_is_the_same_for_a_seed() -> None:
    codes = two_clouds(6)
    assert fit_mixture(codes, 10, seed=0)["weights"].shape == (6,)
    first, second = (fit_mixture(two_clouds(300), 5, seed=1) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_codes_come_with_the_samples_they_belong_to(session: MakeSession) -> None:
    made = session(text=AUTOENCODER)
    codes, samples = gather_codes(made, 20)
    assert (codes.shape, samples.shape) == ((20, 4), (20, 1, 8, 8))
    encoder = made.networks["encoder"]
    assert encoder.training
    torch.testing.assert_close(codes, encoder.eval()(samples).detach())
    assert len({sample.numpy().tobytes() for sample in samples}) > 15
    everything = len(made.data.train)
    assert len(gather_codes(made, 10 * everything)[0]) == everything


def test_a_run_with_codes_leaves_a_prior_and_pictures(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("prior.components=3", "prior.codes=500", text=AUTOENCODER)
    folder = train(made, tmp_path)
    mixture = load_mixture(folder)
    assert mixture["means"].shape == (3, 4)
    with Image.open(folder.picture("lines")) as picture:
        # A row for each line, a column for each step and for the real sample at either end.
        assert picture.width / picture.height == pytest.approx(
            (9 * (STEPS + 2) + 1) / (9 * LINES + 1)
        )
    assert {path.stem for path in folder.path.glob("pictures/*")} == {
        "lines", "reconstructions", "mixture",
    }  # fmt: skip
    sampler = Sampler(made, folder)
    latent, mixed = sampler.sample(8), sampler.sample(8, prior="mixture")
    assert not torch.equal(latent, mixed)
    chosen = recipe("prior.distribution='mixture'", text=AUTOENCODER)
    assert torch.equal(Sampler(chosen, folder).sample(8), mixed)
    # Far from where the latent law has its mass, samples can only come from the mixture.
    far = {**mixture, "means": mixture["means"] + 100}
    folder.weights("prior").write_bytes(safetensors.torch.save(far))
    assert not torch.allclose(sampler.sample(8, prior="mixture"), mixed, atol=0.1)


def test_a_run_without_codes_has_no_mixture(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = train(recipe("train.iterations=1"), tmp_path)
    assert not folder.weights("prior").exists()
    with pytest.raises(RunError, match="has no mixture fitted to codes"):
        Sampler(recipe(), folder).sample(3, prior="mixture")
    assert list((RunFolder(folder.path).path / "pictures").iterdir()) == []
