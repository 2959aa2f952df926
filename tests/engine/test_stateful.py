"""Components that keep a state, and a loss with a network and phases of its own: what they compute,
and that interrupted runs with them resume to the same bytes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stateful_components import AdaptiveAugmentation, AdversarialAutoencoder, PathLength
from torch import Tensor, nn

from ganzoo import load_recipe, local, plugins
from ganzoo.api import BuildContext, Networks
from ganzoo.engine.checkpoints import newest_checkpoint
from ganzoo.engine.events import Listener
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.session import Session, prepare
from ganzoo.engine.step import Batch, Step
from ganzoo.engine.training import run_iteration, train_recipe
from ganzoo.errors import InterruptedRun, RunError
from ganzoo.plugins import Plugins
from ganzoo.recipe import Recipe, RecipeError
from ganzoo.records import write_text
from ganzoo.registry import Registry
from ganzoo.runs import RunFolder, create_run_folder

from .conftest import TINY

PLUGIN = Path(__file__).parents[1] / "stateful_components.py"
CONTEXT = BuildContext(sample_shape=(1, 8, 8), latent_dim=4)

ADAPTIVE = (
    TINY
    + """
[[augmentations]]
type = "ada"
images = 100
interval = 3

[[regularizers]]
type = "path-length"
every = 2
decay = 0.9

[[regularizers]]
type = "r1"
gamma = { from = 0.1, to = 0.01 }
every = 3
"""
)

AUTOENCODER = """
name = "tiny"
latent = { dim = 4 }
data = { type = "digits" }
generator = { type = "mlp", hidden = [16] }
encoder = { type = "mlp", hidden = [16] }
networks = { critic = { type = "mlp", hidden = [16] } }
loss = { type = "adversarial-autoencoder" }
optimizer = { type = "adam", lr = 1e-3 }
train = { iterations = 20, batch_size = 8 }
log = { every = 5, samples = 4 }
checkpoint = { every = 10 }
priors = [{ type = "mixture", components = 2 }]

[schedule]
type = "sequence"
groups = [["reconstruction"], ["critic"], ["deception"]]
"""

BOTH = pytest.mark.parametrize("text", [ADAPTIVE, AUTOENCODER], ids=["adaptive", "autoencoder"])


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The installed plugins, and the file with the components."""
    monkeypatch.setenv(local.VARIABLE, str(PLUGIN))
    return plugins.scan()


Load = Callable[..., Recipe]


@pytest.fixture
def load(loaded: Plugins, tmp_path: Path) -> Load:
    """A function that loads the text of a recipe with overrides."""

    def load(text: str, *overrides: str) -> Recipe:
        file = tmp_path / "tiny.toml"
        file.write_text(text)
        return load_recipe(file, *overrides, registry=Registry(loaded.all))

    return load


Train = Callable[..., RunFolder]


@pytest.fixture
def train(loaded: Plugins, tmp_path: Path) -> Train:
    """A function that trains a recipe in a folder of some name, or resumes it there."""

    def train(recipe: Recipe, name: str, progress: Listener | None = None) -> RunFolder:
        folder = RunFolder(tmp_path / name / recipe.name / "run")
        resume = folder.path.exists()
        if not resume:
            folder = create_run_folder(tmp_path / name, recipe.name, "run")
            write_text(folder.recipe, recipe.to_toml())
        train_recipe(recipe, folder, loaded, progress or Listener(), resume=resume)
        return folder

    return train


class At(Listener):
    """Does something after an iteration."""

    def __init__(self, iteration: int, action: Callable[[], object]) -> None:
        self.iteration, self.action = iteration, action

    def advanced(self, session: Session) -> None:
        if session.iteration == self.iteration:
            self.action()


def outcome(folder: RunFolder) -> dict[str, bytes]:
    """What has to be the same bytes."""
    files = [folder.statistics, *folder.path.rglob("*.safetensors"), *folder.path.rglob("*.png")]
    return {str(file.relative_to(folder.path)): file.read_bytes() for file in files}


@BOTH
@pytest.mark.parametrize("stop", [4, 13])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    load: Load, train: Train, text: str, stop: int
) -> None:
    recipe = load(text, "log.every=4")
    whole = outcome(train(recipe, "whole"))
    with pytest.raises(InterruptedRun, match=f"after iteration {stop} "):
        train(recipe, "parts", At(stop, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert outcome(train(recipe, "parts")) == whole
    assert {"statistics.jsonl", "generator.safetensors"} <= set(whole)


@BOTH
def test_a_run_that_failed_resumes_from_its_checkpoint_to_the_same_bytes(
    load: Load, train: Train, text: str
) -> None:
    recipe = load(text, "log.every=4")
    whole = outcome(train(recipe, "whole"))
    with pytest.raises(RunError, match="ZeroDivisionError"):
        train(recipe, "parts", At(17, lambda: 1 // 0))
    assert outcome(train(recipe, "parts")) == whole


def test_the_states_are_in_the_checkpoint(load: Load, train: Train) -> None:
    state = newest_checkpoint(train(load(ADAPTIVE), "run"), print)
    assert state is not None
    parts = state["processes"][0]["parts"]
    assert set(parts) == {"augmentations.0", "regularizers.0"}
    assert 0 < parts["augmentations.0"]["p"] < 1
    assert parts["regularizers.0"]["mean"] > 0


class TestAdaptiveAugmentation:
    def observed(self, logits: list[list[float]], **keys: float) -> list[float]:
        """p after each step of D, whose logits of real images are these."""
        built = AdaptiveAugmentation(**keys).build(CONTEXT)  # type: ignore[arg-type]
        course = []
        for values in logits:
            networks = Networks({"discriminator": Copy(), "generator": Copy()})
            step = Step("discriminator", networks, Batch(torch.tensor(values), torch.zeros(2, 1)))
            built.observe(step)  # type: ignore[attr-defined]
            course.append(built.p.item())  # type: ignore[attr-defined]
        return course

    def test_p_moves_with_the_sign_of_the_logits_of_real_images(self) -> None:
        sure, unsure = [3.0, 0.1, 2.0, 5.0], [3.0, -1.0, -2.0, -0.1]
        course = self.observed([sure] * 4 + [unsure] * 2, images=16, interval=2)
        assert course == [0, 0.5, 0.5, 1, 1, 0.5]

    def test_p_stays_a_probability(self) -> None:
        assert self.observed([[-1.0]] * 2, images=1, interval=1) == [0, 0]
        assert self.observed([[1.0]] * 3, images=0.7, interval=1) == [1, 1, 1]

    def test_the_mean_of_the_signs_is_compared_with_the_target(self) -> None:
        values = [1.0, 1.0, 1.0, -1.0]  # r = 0.5
        assert self.observed([values], target=0.4, images=8, interval=1) == [0.5]
        assert self.observed([values], target=0.6, images=8, interval=1) == [0]

    def test_only_the_phase_of_the_discriminator_counts(self) -> None:
        built = AdaptiveAugmentation(images=1, interval=1).build(CONTEXT)
        networks = Networks({"discriminator": Copy(), "generator": Copy()})
        built.observe(Step("generator", networks, Batch(torch.ones(4), torch.ones(4))))  # type: ignore[attr-defined]
        assert built.p == 0  # type: ignore[attr-defined]

    def test_images_are_mirrored_and_turned_with_probability_p(self) -> None:
        torch.manual_seed(0)
        built = AdaptiveAugmentation().build(CONTEXT)
        x = torch.arange(9.0).view(1, 1, 3, 3).expand(4000, 1, 3, 3)
        assert torch.equal(built(x, built.draw(x)), x)
        built.p.fill_(0.8)  # type: ignore[attr-defined]
        changed = built(x, built.draw(x))
        assert len(changed.unique(dim=0)) == 8, "the symmetries of a square"
        untouched = (changed == x).all(dim=(1, 2, 3)).float().mean().item()
        assert untouched == pytest.approx((1 - 0.8 / 2) * (1 - 0.8 * 3 / 4), abs=0.03)

    def test_the_engine_moves_p(self, load: Load) -> None:
        session = prepare(load(ADAPTIVE), torch.device("cpu"), ProcessGroup())
        augmentation = session.parts.view.augmentations[0]
        course = []
        for _ in range(7):
            run_iteration(session)
            session.counters.iteration += 1
            course.append(augmentation.p.item())  # type: ignore[attr-defined]
        assert course[0] == course[1] == 0
        assert course[2] in (0, pytest.approx(0.24)), "after three steps of eight images"
        assert augmentation.logits == 8  # type: ignore[attr-defined]


class Copy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class TestPathLength:
    class Turned(nn.Module):
        """G(z) = s Q z with an orthogonal Q: ||J^T y|| = s ||y||."""

        def __init__(self, scale: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
            self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

        def forward(self, z: Tensor) -> Tensor:
            return (self.scale * z @ self.rotation).view(-1, 1, 2, 2)

    def test_lengths_of_a_rotation_are_those_of_the_noise(self) -> None:
        generator = self.Turned(3.0)
        built = PathLength(weight=2.0, decay=0.9).build(CONTEXT)
        networks = Networks({"generator": generator})
        mean = 0.0
        for seed in range(3):
            z = torch.randn(6, 4, dtype=torch.float64)
            batch = Batch(z, z)
            step = Step("generator", networks, batch, trains={"generator"}, differentiates={"z"})
            torch.manual_seed(seed)
            terms = built.compute(step)
            torch.manual_seed(seed)
            lengths = 3 * torch.randn(6, 4, dtype=torch.float64).norm(dim=1) / 2
            mean = 0.9 * mean + 0.1 * lengths.mean().item()
            assert built.mean.item() == pytest.approx(mean)  # type: ignore[attr-defined]
            expected = 2 * (lengths - mean).square().mean().item()
            assert terms["penalty"].item() == pytest.approx(expected)
            assert terms["length"].item() == pytest.approx(lengths.mean().item())
        # d/ds E (s |y| - a)^2 with a constant a
        slope = (2 * 2 * (lengths - mean) * lengths / 3).mean().item()
        (gradient,) = torch.autograd.grad(terms["penalty"], generator.scale)
        assert gradient.item() == pytest.approx(slope)


class TestAdversarialAutoencoder:
    def test_the_critic_is_built_for_codes_and_each_phase_moves_its_networks(
        self, load: Load
    ) -> None:
        session = prepare(load(AUTOENCODER), torch.device("cpu"), ProcessGroup())
        networks = session.parts.networks
        assert set(networks) == {"generator", "encoder", "critic"}
        assert networks["critic"](torch.zeros(3, 4)).shape == (3,)
        batch = session.batches.next(0, real=True)
        for phase, declared in AdversarialAutoencoder.phases.items():
            before = {
                name: [weight.detach().clone() for weight in network.parameters()]
                for name, network in networks.items()
            }
            session.updater.run((phase,), batch, 0)
            moved = {
                name
                for name, network in networks.items()
                if any(
                    not torch.equal(weight, old)
                    for weight, old in zip(network.parameters(), before[name], strict=True)
                )
            }
            assert moved == declared.trains

    def test_the_terms_and_the_schedule_are_those_of_the_recipe(
        self, load: Load, train: Train
    ) -> None:
        folder = train(load(AUTOENCODER), "run")
        assert {path.name for path in folder.path.glob("*.safetensors")} == {
            "generator.safetensors",
            "encoder.safetensors",
            "critic.safetensors",
        }
        for name in ("reconstruction/error", "critic/real", "critic/fake", "deception/loss"):
            assert f'"{name}"' in folder.statistics.read_text()

    def test_without_the_critic_the_recipe_is_refused(self, load: Load) -> None:
        text = AUTOENCODER.replace("networks = { critic", "# networks = { critic")
        with pytest.raises(RecipeError, match="critic"):
            load(text)
