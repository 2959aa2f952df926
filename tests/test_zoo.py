"""The Python face of a run: latents and classes of one's choice, decoded."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny

import ganzoo
from ganzoo import Run, UserError

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
