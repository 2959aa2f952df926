"""Training that goes wrong is noticed once, in words, and training that goes well is not."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from sklearn.datasets import load_digits
from tiny import train
from torch import Tensor, nn

from ganzoo import load_recipe, plugins
from ganzoo.api import BuildContext, GeneratorSpec, LossSpec, Phase, Step
from ganzoo.engine.average import MovingAverage
from ganzoo.engine.events import Events, Listener
from ganzoo.engine.health import Health, Signs, all_finite, spread
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.session import Session
from ganzoo.errors import InterruptedRun, RunError
from ganzoo.plugins import Plugin
from ganzoo.recipe import Recipe
from ganzoo.records import read_json, read_rows
from ganzoo.registry import Registry
from ganzoo.runs import RunFolder

from .conftest import MINE, TINY, MakeRecipe, MakeSession

RECIPES = Path(__file__).parents[2] / "recipes"
JOINT = TINY.replace("alternating", "joint").replace(
    'discriminator = { type = "mlp", hidden = [16] }\n', ""
)


class FlatLoss(LossSpec):
    """A loss that is clipped where it starts; the encoder has no part in it at all."""

    type: ClassVar[str] = "test-flat"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains=frozenset({"generator", "encoder"}))
    }

    def build(self, context: BuildContext) -> FlatLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"error": (step.fake.square().mean() - 9).relu()}


class SteepLoss(LossSpec):
    """A loss whose gradients are finite, and their squares are not."""

    type: ClassVar[str] = "test-steep"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}

    def build(self, context: BuildContext) -> SteepLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"error": 1e25 * step.fake.mean()}


class Deaf(GeneratorSpec):
    """One image, learned; the latents are not heard."""

    type: ClassVar[str] = "test-deaf"

    def build(self, context: BuildContext) -> nn.Module:
        return OneImage(context.sample_shape)


class OneImage(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.zeros(shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.image.tanh().expand(len(z), *self.image.shape)


class Threes(GeneratorSpec):
    """Real digits of one class, and a weight of no use."""

    type: ClassVar[str] = "test-threes"

    def build(self, context: BuildContext) -> nn.Module:
        return Bank()


class Bank(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        digits = load_digits()
        images = torch.tensor(digits.images[digits.target == 3]).float()[:, None] / 8 - 1
        self.register_buffer("images", images)
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        chosen = (z[:, 0].abs() * 1000).long() % len(self.images)
        return self.images[chosen] + self.shift * 1e-3


FAILING = Plugin(
    "test:failing", "test", "1.0", tuple((s.kind, s) for s in (FlatLoss, SteepLoss, Deaf, Threes))
)


@pytest.fixture
def registry() -> Registry:
    return Registry([*plugins.installed().all, MINE, FAILING])


class Heard(Listener):
    """Keeps the warnings, and does something after an iteration."""

    def __init__(self, iteration: int = -1, action: Any = None) -> None:
        self.iteration, self.action = iteration, action
        self.warnings: list[str] = []

    def advanced(self, session: Session) -> None:
        if session.iteration == self.iteration:
            self.action(session)

    def warned(self, text: str) -> None:
        self.warnings.append(text)


def interrupt(session: Session) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def warnings(recipe: Recipe, path: Path) -> dict[str, tuple[int, str]]:
    """Iteration and text of each warning of a run by name; told once, and as the file has it."""
    heard = Heard()
    rows = read_rows(train(recipe, path, heard).warnings)
    told = [text for text in heard.warnings if text.startswith("at iteration")]
    assert told == [f"at iteration {row['iteration']}: {row['text']}" for row in rows]
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: (row["iteration"], row["text"]) for row in rows}


WINNING = ("optimizer.generator.lr=1e-9", "train.iterations=300", "log.every=50")


class TestWarnings:
    def test_d_that_always_wins(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        iteration, text = warnings(recipe(*WINNING), tmp_path)["discriminator-wins"]
        assert 200 <= iteration <= 300
        steps = re.match(r"D told all real samples from all generated ones in the last (\d+)", text)
        assert steps is not None
        assert 20 <= int(steps[1]) < 30
        assert "optimizer.discriminator.lr" in text

    @pytest.mark.parametrize("loss", ["wasserstein", "hinge", "least-squares", "relativistic"])
    def test_d_that_always_wins_whatever_the_loss(
        self, recipe: MakeRecipe, tmp_path: Path, loss: str
    ) -> None:
        found = warnings(recipe(*WINNING, f"loss={{ type = '{loss}' }}"), tmp_path)
        assert "discriminator-wins" in found

    def test_a_critic_that_is_always_right_may_still_teach(
        self, session: MakeSession, tmp_path: Path
    ) -> None:
        """That of a Wasserstein distance often is; what counts is whether G leaves its start."""
        for loss, told in (("wasserstein", [False, True]), ("non-saturating", [True])):
            run = session(f"loss={{ type = '{loss}' }}")
            heard = Heard()
            health = Health(RunFolder(tmp_path / loss), Events([heard]))
            health.started(run, health.folder)
            health.sampled(run, torch.zeros(8, 1, 8, 8), None)
            run.counters.iteration, run.signs.streak = 100, 50
            for samples, expected in zip((1.0, 0.0), told, strict=False):
                health.sampled(run, torch.full((8, 1, 8, 8), samples), None)
                assert bool(heard.warnings) is expected

    def test_samples_that_are_all_alike(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        overrides = ("generator={ type = 'test-deaf' }", "train.iterations=200", "log.every=50")
        iteration, text = warnings(recipe(*overrides), tmp_path)["samples-alike"]
        assert iteration == 200
        assert text.startswith("the 4 samples from the fixed latents are all alike: ")

    def test_samples_of_one_class(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        overrides = ("generator={ type = 'test-threes' }", "train.iterations=200", "log.samples=16")
        found = warnings(recipe(*overrides, "log.every=100"), tmp_path)
        assert "samples-alike" not in found
        iteration, text = found["one-class"]
        assert iteration == 200
        assert re.match(
            r"\d+% of the 16 samples from the fixed latents look like class 3, as", text
        )

    def test_an_average_that_stays_behind(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        late = "optimizer.generator.lr={ from = 0.0, to = 0.01, over = [0.97, 1.0] }"
        found = warnings(
            recipe(late, "train.iterations=100", "log.every=20", "ema.decay=0.99"), tmp_path
        )
        iteration, text = found["average-stays-behind"]
        assert iteration == 100
        assert re.search(r"has followed the weights by \d\d?% of their way from the start", text)

    def test_an_average_that_never_left_its_start(
        self, recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MovingAverage, "update", lambda *arguments: None)
        iteration, text = warnings(recipe("ema.decay=0.99"), tmp_path)["average-stays-behind"]
        assert iteration == 5
        assert "by 0% of their way" in text

    def test_a_loss_whose_gradient_is_zero(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        text = JOINT + 'encoder = { type = "mlp", hidden = [16] }\n'
        found = warnings(recipe("loss.type=test-flat", text=text), tmp_path)
        for name in ("generator", "encoder"):
            iteration, words = found[f"no-gradient-{name}"]
            assert iteration == 5
            assert words.startswith(f"the gradient of the {name} is zero: ")

    @pytest.mark.parametrize("stop", [249, 252, 260])
    def test_a_run_that_is_resumed_says_it_once(
        self, recipe: MakeRecipe, tmp_path: Path, stop: int
    ) -> None:
        """Interrupted while D is winning, or after that was said; killed before it was saved."""
        winning = recipe(*WINNING, "checkpoint.every=100")
        whole = train(winning, tmp_path / "whole")
        with pytest.raises(InterruptedRun):
            train(winning, tmp_path / "parts", Heard(stop, interrupt))
        folder = RunFolder(tmp_path / "parts" / "tiny" / "run")
        if stop == 252:
            folder.checkpoint(252).unlink()
        train(winning, folder.path, resume=True)
        assert folder.warnings.read_bytes() == whole.warnings.read_bytes()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name",
        [
            *("ring-mlp-gan", "grid-relativistic"),
            *("digits-mlp-gan", "digits-dcgan", "digits-vae", "digits-argmax"),
        ],
    )
    def test_recipes_that_train_well_raise_no_alarm(self, name: str, tmp_path: Path) -> None:
        recipe = load_recipe(RECIPES / f"{name}.toml", "log.every=105", "metrics=[]")
        with pytest.raises(InterruptedRun):
            train(recipe, tmp_path, Heard(210, interrupt))
        folder = RunFolder(tmp_path / name / "run")
        assert [row["iteration"] for row in read_rows(folder.statistics)] == [105, 210]
        assert read_rows(folder.warnings) == []


def test_numbers_on_several_devices_are_judged_on_one() -> None:
    """The meta device stands for a GPU; an optimizer may count its steps on the CPU."""
    here, there = torch.ones(3), torch.ones(3, device="meta")
    assert all_finite([here, there], there.device).device == there.device
    assert all_finite([here, 2 * here], here.device)
    assert not all_finite([here, here / 0], here.device)


class TestNotFinite:
    """Every failure names what is wrong, in which iterations, and the last good checkpoint."""

    def fail(self, recipe: Recipe, path: Path, listener: Listener | None = None) -> str:
        with pytest.raises(RunError) as caught:
            train(recipe, path, listener)
        folder = RunFolder(path / "tiny" / "run")
        assert read_json(folder.status)["state"] == "failed"
        for checkpoint in folder.checkpoints():
            state = torch.load(checkpoint, weights_only=True)
            for network in state["networks"].values():
                assert all(weight.isfinite().all() for weight in network.values())
        return caught.value.message.replace(str(folder.path), "RUN")

    def test_training_that_diverges(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        message = self.fail(recipe("optimizer.lr=1e38"), tmp_path)
        assert message.startswith("numbers that are not finite came up in iterations 1 to 4: term ")
        assert "term generator/loss" in message
        assert "gradients of the discriminator" in message
        assert "weights of the generator" in message
        assert message.endswith("there is no checkpoint yet")

    def test_weights_alone(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        def poison(session: Session) -> None:
            next(session.parts.networks.generator.parameters()).data[0] = float("nan")

        message = self.fail(recipe(), tmp_path, Heard(15, poison))
        assert message == (
            "numbers that are not finite came up in iterations 11 to 15: weights of the generator; "
            "the last good checkpoint is RUN/checkpoints/000010.pt"
        )

    def test_a_checkpoint_between_two_readings(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        def poison(session: Session) -> None:
            next(session.parts.networks.generator.parameters()).data[0] = float("inf")

        every = ("log.every=100", "train.iterations=100", "checkpoint.every=20")
        message = self.fail(recipe(*every), tmp_path, Heard(25, poison))
        assert "in iterations 21 to 40: term discriminator/real, term " in message
        assert message.endswith("RUN/checkpoints/000020.pt")

    def test_an_average_alone(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        def poison(session: Session) -> None:
            assert session.average is not None
            next(session.average.networks.generator.parameters()).data[0] = float("nan")

        message = self.fail(recipe("ema.decay=0.9"), tmp_path, Heard(12, poison))
        assert "iterations 11 to 12: moving average of the generator; " in message

    def test_gradients_whose_squares_are_infinite(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        """Adam then moves nothing any more, and every loss stays finite."""
        message = self.fail(recipe("loss.type=test-steep", text=JOINT), tmp_path)
        assert ": moments in the optimizer of the generator; " in message

    def test_a_statistic_that_is_not_minimised(
        self, recipe: MakeRecipe, session: MakeSession, tmp_path: Path, monkeypatch: Any
    ) -> None:
        loss = type(session().parts.loss)
        compute = loss.compute

        def infinite(self: Any, step: Step) -> Mapping[str, Tensor]:
            return {**compute(self, step), "mine": step.x.new_tensor(float("inf"))}

        monkeypatch.setattr(loss, "compute", infinite)
        message = self.fail(recipe(), tmp_path)
        assert ": term discriminator/mine, term generator/mine; " in message

    def test_a_snapshot_is_not_written_either(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        def poison(session: Session) -> None:
            next(session.parts.networks.generator.parameters()).data[0] = float("nan")

        rare = ("log.every=100", "checkpoint.every=100", "train.iterations=100")
        tiny = recipe(*rare, "evaluate.snapshots=4")
        message = self.fail(tiny, tmp_path, Heard(30, poison))
        assert "weights of the generator" in message
        assert RunFolder(tmp_path / "tiny" / "run").snapshots() == [25]


class TestSigns:
    def test_a_streak_of_d_ends_with_one_mistake(self) -> None:
        signs = Signs(torch.device("cpu"))
        fake = torch.tensor([-5.0, 1.0])
        for real in (1.5, 1.5, 1.5):
            signs.add_logits(torch.tensor([real, 9.0]), fake)
        signs.read(ProcessGroup())
        assert signs.streak == 3
        signs.add_logits(torch.tensor([0.5, 9.0]), fake)
        signs.add_logits(torch.tensor([1.5, 9.0]), fake)
        signs.read(ProcessGroup())
        assert signs.streak == 1

    def test_the_largest_gradient_of_each_network(self) -> None:
        signs = Signs(torch.device("cpu"))
        signs.add_gradients("generator", [torch.tensor([1.0, -4.0]), torch.tensor([[2.0]])])
        signs.add_gradients("generator", [torch.tensor([2.0])])
        signs.add_gradients("encoder", [])
        sparse = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.tensor([-3.0]), (4,))
        signs.add_gradients("loss", [sparse])
        signs.read(ProcessGroup())
        assert signs.largest == {"generator": 3.0, "encoder": 0.0, "loss": 3.0}

    def test_what_is_under_way_survives_a_checkpoint(self) -> None:
        signs, resumed = Signs(torch.device("cpu")), Signs(torch.device("cpu"))
        signs.add_gradients("generator", [torch.tensor([1.0])])
        signs.add_logits(torch.ones(2), torch.zeros(2))
        resumed.load_state_dict(signs.state_dict())
        resumed.add_logits(torch.ones(2), torch.zeros(2))
        resumed.read(ProcessGroup())
        assert (resumed.largest, resumed.streak) == ({"generator": 1.0}, 2)

    def test_the_spread_of_samples_is_that_within_a_class(self) -> None:
        samples = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [12.0, 4.0]])
        assert spread(samples) == samples.var(0, correction=0).sum()
        assert spread(samples, torch.tensor([0, 0, 1, 1])) == (1 + (1 + 4)) / 2
        assert spread(samples, torch.arange(4)) == spread(samples)
