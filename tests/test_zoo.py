"""The Python face of a run: its network, its snapshots, and what goes through them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import tiny

import ganzoo
from ganzoo import Run, UserError
from ganzoo.sampling import great_circles

TINY = tiny(train="{ iterations = 2, batch_size = 8 }")


@pytest.fixture(scope="module", params=["", 'condition = "class"\n'], ids=["plain", "conditional"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a few iterations, conditional or not."""
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "tiny.toml").write_text(request.param + TINY)
    return ganzoo.train(ganzoo.load_recipe(folder / "tiny.toml"), runs=folder / "runs")


class TestDecoding:
    def test_each_latent_gives_a_sample_of_its_own(self, run: Run) -> None:
        z = torch.randn(6, 4)
        labels = None if run.recipe.condition is None else torch.tensor([0, 1, 2, 3, 9, 9])
        samples = run.decode(z, labels)
        assert samples.shape == (6, 1, 8, 8)
        assert (samples.dtype, samples.device.type) == (torch.float32, "cpu")
        assert samples.abs().max() <= 1
        one = run.decode(z[2:3], None if labels is None else labels[2:3])
        assert torch.allclose(samples[2:3], one, atol=1e-6)
        assert not torch.allclose(samples[0], samples[5])

    def test_classes_are_used_and_drawn_from_the_seed_where_none_are_given(self, run: Run) -> None:
        z = torch.zeros(8, 4)
        same, other = run.decode(z, seed=3), run.decode(z, seed=4)
        assert torch.equal(same, run.decode(z, seed=3))
        conditional = run.recipe.condition is not None
        assert torch.equal(same, other) is not conditional
        if conditional:
            first, second = (run.decode(z, torch.full((8,), label)) for label in (0, 1))
            assert not torch.equal(first, second)
            assert torch.equal(first[0], first[7])

    @pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 4, 1)])
    def test_latents_of_another_shape(self, run: Run, shape: tuple[int, ...]) -> None:
        with pytest.raises(UserError) as caught:
            run.decode(torch.zeros(shape))
        assert caught.value.message == f"latents of this run are (N, 4), not {shape}"

    def test_labels_that_do_not_fit(self, run: Run) -> None:
        with pytest.raises(UserError) as caught:
            run.decode(torch.zeros(2, 4), torch.tensor([0, 10]))
        if run.recipe.condition is None:
            assert caught.value.message == f"{run.path} was not trained with classes"
        else:
            assert caught.value.message == "there is no class 10"
            assert caught.value.hint == "classes are 0 to 9"
        with pytest.raises(UserError) as caught:
            run.decode(torch.zeros(2, 4), torch.tensor([0]))
        assert caught.value.message == "2 latents need 2 labels, not (1,)"


def make(folder: Path, text: str) -> Run:
    """A run of a recipe."""
    (folder / "tiny.toml").write_text(text)
    return ganzoo.train(ganzoo.load_recipe(folder / "tiny.toml"), runs=folder / "runs")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on points with three snapshots, measured at each."""
    points = tiny(
        data='{ type = "ring", samples = 200 }',
        train="{ iterations = 6, batch_size = 8 }",
        evaluate="{ samples = 50, snapshots = 3 }",
        metrics='[{ type = "modes" }]',
    )
    return make(tmp_path_factory.mktemp("measured"), points)


class TestSnapshots:
    def test_each_has_weights_of_its_own(self, measured: Run) -> None:
        assert measured.snapshots() == [2, 4, 6]
        early, late = measured.at(2).sample(5), measured.at(6).sample(5)
        assert not torch.equal(early, late)
        assert torch.equal(late, measured.sample(5))
        assert repr(measured.at(2)).endswith(", iteration=2)")

    def test_the_best_is_where_the_metric_says_so(self, measured: Run) -> None:
        name, value = measured.headline or ("", 0.0)
        assert name == "modes/covered"
        assert value == measured.evaluation["values"]["modes/covered"]
        best = measured.evaluation["best"]
        assert measured.best().iteration == best["modes/covered"]["iteration"]
        assert measured.best("modes/kl").iteration == best["modes/kl"]["iteration"]
        opened = ganzoo.open_run(f"{measured.path}@best")
        assert opened.iteration == measured.best().iteration
        assert ganzoo.open_run(f"{measured.path}@4").iteration == 4

    def test_those_that_are_not_there(self, measured: Run, run: Run) -> None:
        with pytest.raises(UserError, match="no snapshot of iteration 3") as caught:
            measured.at(3)
        assert caught.value.hint == "it has 2, 4, 6"
        with pytest.raises(UserError, match="was not measured by 'fid'") as caught:
            measured.best("fid")
        assert caught.value.hint == "its values are modes/covered, modes/high-quality, modes/kl"
        with pytest.raises(UserError, match="was not measured") as caught:
            run.best()
        assert caught.value.hint == "[[metrics]] in the recipe names what is measured"


class TestGenerator:
    def test_it_is_a_plain_module_that_gives_the_samples_of_the_run(self, run: Run) -> None:
        generator = run.generator()
        assert not generator.training
        assert not any(weight.requires_grad for weight in generator.parameters())
        z = torch.randn(6, 4)
        labels = () if run.recipe.condition is None else (torch.arange(6),)
        assert torch.equal(generator(z, *labels), run.decode(z, *labels))
        torch.export.export(generator, (z, *labels))


class TestWalks:
    def test_a_walk_is_closed_and_its_steps_are_small(self, run: Run) -> None:
        walks = run.interpolate(3, 8, count=2, seed=1)
        assert walks.shape == (2, 24, 1, 8, 8)
        assert torch.equal(walks, run.interpolate(3, 8, count=2, seed=1))
        assert not torch.equal(walks[0], walks[1])
        walk = walks[0]
        step = (walk - walk.roll(-1, 0)).flatten(1).norm(dim=1)
        assert step.max() < (walk[0] - walk[8]).norm()

    def test_great_circles_keep_the_length_of_latents(self) -> None:
        start, end = torch.nn.functional.normalize(torch.randn(2, 5, 30), dim=2)
        share = torch.linspace(0, 1, 7)
        path = great_circles(start, end, share)
        assert path.shape == (5, 7, 30)
        assert torch.allclose(path.norm(dim=2), torch.ones(5, 7), atol=1e-5)
        assert torch.allclose(path[:, 0], start, atol=1e-5)
        assert torch.allclose(path[:, -1], end, atol=1e-5)
        same = great_circles(start, start, share)
        assert torch.allclose(same, start[:, None].expand(-1, 7, -1))


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An autoencoder."""
    changes = {
        "discriminator": None,
        "encoder": '{ type = "mlp", hidden = [16] }',
        "loss": '{ type = "reconstruction" }',
        "schedule": '{ type = "joint" }',
    }
    return make(tmp_path_factory.mktemp("vae"), tiny(**changes))


class TestEncoding:
    def test_codes_of_samples_decode_to_reconstructions(self, vae: Run) -> None:
        x = torch.rand(700, 1, 8, 8) * 2 - 1
        z = vae.encode(x)
        assert z.shape == (700, 4)
        assert torch.allclose(z[600:], vae.encode(x[600:]), atol=1e-5)
        assert torch.equal(vae.reconstruct(x), vae.decode(z))

    def test_what_cannot_be_encoded(self, vae: Run, run: Run) -> None:
        with pytest.raises(UserError, match=r"are \(N, \(1, 8, 8\)\), not \(2, 64\)"):
            vae.encode(torch.zeros(2, 64))
        with pytest.raises(UserError, match="trained without classes"):
            vae.encode(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))
        with pytest.raises(UserError, match="has no encoder"):
            run.encode(torch.zeros(2, 1, 8, 8))


def test_what_the_package_offers_is_listed_and_nothing_else_is_there() -> None:
    assert set(ganzoo.__all__) <= set(dir(ganzoo))
    with pytest.raises(AttributeError, match="module 'ganzoo' has no attribute 'trian'"):
        ganzoo.trian  # noqa: B018


def test_components_of_one_kind_of_all_or_of_none() -> None:
    every = ganzoo.components()
    assert ganzoo.components("schedule") == {"schedule": every["schedule"]}
    assert "alternating" in every["schedule"]
    with pytest.raises(UserError) as caught:
        ganzoo.components("shedule")
    assert caught.value.message == "no kind of component is called 'shedule'"
    assert caught.value.hint == ", ".join(every)
