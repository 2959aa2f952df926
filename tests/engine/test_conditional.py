"""Runs with `condition = "class"`: classes of fakes, batches, resuming, pictures and samples."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import train
from torch import Tensor, nn

from ganzoo import plugins
from ganzoo.api import (
    BuildContext,
    DatasetSpec,
    DiscriminatorSpec,
    EncoderSpec,
    GeneratorSpec,
    MetricSpec,
)
from ganzoo.engine import Data, Samples
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.step import Step
from ganzoo.engine.training import run_iteration
from ganzoo.errors import InterruptedRun, UserError
from ganzoo.evaluation.measure import measure
from ganzoo.plugins import Plugin
from ganzoo.registry import Registry
from ganzoo.sampling import Sampler

from .conftest import AUTOENCODER, MINE, TINY, MakeRecipe, MakeSession
from .test_training import StopAt, outcome

CLASSES = frozenset({"classes"})
SHARES = (0.6, 0.0, 0.3, 0.1)
"""Of the classes of the uneven data; class 1 has no sample."""


class Labelled(DatasetSpec):
    """Points `(number, class)`, of classes with uneven shares."""

    type: ClassVar[str] = "test-labelled"
    provides: ClassVar[frozenset[str]] = frozenset({"points", "labels"})

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (2,)

    @property
    def num_classes(self) -> int | None:
        return len(SHARES)

    def build(self, context: BuildContext) -> Data:
        labels = torch.repeat_interleave(torch.tensor([round(100 * share) for share in SHARES]))
        points = torch.stack([torch.arange(100.0), labels.float()], dim=1)
        return Data(train=Samples(points, labels), held_out=Samples(points, labels))


class Echo(nn.Module):
    """Points `(z_0, label)`: what a generator was called with; or the label alone."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__()
        self.alone = alone
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        assert labels.dtype == torch.int64
        values = labels + 0 * x.flatten(1).sum(1) + 0 * self.weight
        return values if self.alone else torch.stack([x[:, 0], values], dim=1)


class EchoGenerator(GeneratorSpec):
    """A generator of points `(z_0, label)`."""

    type: ClassVar[str] = "test-echo"
    provides: ClassVar[frozenset[str]] = CLASSES

    def build(self, context: BuildContext) -> nn.Module:
        assert context.conditional
        assert context.num_classes == len(SHARES)
        return Echo()


class EchoDiscriminator(DiscriminatorSpec):
    """A discriminator whose logits are the labels."""

    type: ClassVar[str] = "test-echo"
    provides: ClassVar[frozenset[str]] = CLASSES

    def build(self, context: BuildContext) -> nn.Module:
        return Echo(alone=True)


class EchoEncoder(EncoderSpec):
    """An encoder to codes `(x_0, label)`."""

    type: ClassVar[str] = "test-echo"
    provides: ClassVar[frozenset[str]] = CLASSES

    def build(self, context: BuildContext) -> nn.Module:
        return Echo()


class LabelsMetric(MetricSpec):
    """Shares of samples whose second value is the label that came with them."""

    type: ClassVar[str] = "test-labels"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "samples"
    needs: ClassVar[frozenset[str]] = frozenset({"condition"})

    def build(self, context: BuildContext) -> LabelCounter:
        return LabelCounter()


class LabelCounter:
    """See `LabelsMetric`."""

    def __init__(self) -> None:
        self.right: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        assert labels is not None
        self.right[real].append(samples[:, 1] == labels)

    def compute(self) -> Mapping[str, float]:
        real, generated = (torch.cat(self.right[each]).double().mean() for each in (True, False))
        return {"real": float(real), "generated": float(generated)}


ECHOES = Plugin(
    "test:echoes",
    "test-echoes",
    "1.0",
    tuple(
        (spec.kind, spec)
        for spec in (Labelled, EchoGenerator, EchoDiscriminator, EchoEncoder, LabelsMetric)
    ),
)

CONDITIONAL = f'condition = "class"\n{TINY.strip()}\n'
"""The tiny recipe of digits, for each class."""

ECHO = """
condition = "class"
name = "echo"
latent = { dim = 2 }
data = { type = "test-labelled" }
generator = { type = "test-echo" }
discriminator = { type = "test-echo" }
loss = { type = "non-saturating" }
schedule = { type = "discriminator-only" }
optimizer = { type = "sgd", lr = 0.1 }
train = { iterations = 2, batch_size = 50 }
log = { samples = 10 }
"""
"""A recipe in which everything says what it was called with."""

STATEFUL = (
    CONDITIONAL.replace("hidden = [16] }", 'hidden = [16], normalization = "batch" }', 1)
    .replace("hidden = [16] }\nloss", "hidden = [16], dropout = 0.3 }\nloss")
    .replace("log =", "ema = { decay = 0.9 }\nlog =")
)


@pytest.fixture
def registry() -> Registry:
    return Registry([*plugins.installed().all, MINE, ECHOES])


class TestBatches:
    def test_classes_of_fakes_have_the_shares_of_the_data(self, session: MakeSession) -> None:
        batches = session("train.batch_size=1000", text=ECHO).batches
        drawn = [batches.next(number, real=False).fake_labels.clone() for number in range(20)]
        labels = torch.cat(drawn)
        shares = labels.bincount(minlength=len(SHARES)) / len(labels)
        # Four standard deviations of a share of 20,000 draws.
        for share, expected in zip(shares.tolist(), SHARES, strict=True):
            assert share == pytest.approx(expected, abs=4 * (expected / 20_000) ** 0.5)

    def test_they_are_drawn_apart_from_latents_and_data(self, session: MakeSession) -> None:
        plain, conditional = (session(text=text).batches for text in (TINY, CONDITIONAL))
        for number in range(5):
            one, other = (each.next(number, real=True) for each in (plain, conditional))
            assert torch.equal(one.z, other.z)
            assert torch.equal(one.x, other.x)
            assert torch.equal(one.indices, other.indices)
            assert torch.equal(one.labels, other.labels)
            assert one.fake_labels is None
            assert not torch.equal(other.fake_labels, other.labels)

    def test_labels_are_those_of_the_samples(self, session: MakeSession) -> None:
        batches = session(text=ECHO).batches
        for number in range(5):
            batch = batches.next(number, real=True)
            assert torch.equal(batch.x[:, 1], batch.labels.float())
            assert torch.equal(batch.x[:, 0], batch.indices.float())

    def test_a_run_has_the_same_classes_on_any_number_of_processes(
        self, session: MakeSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.distributed, "barrier", lambda: None)
        groups = [ProcessGroup(rank, 2) for rank in range(2)]
        whole = session(text=CONDITIONAL).batches
        parts = [session(text=CONDITIONAL, group=group).batches for group in groups]
        for number in range(3):
            labels = whole.next(number, real=True).fake_labels
            shares = [part.next(number, real=True).fake_labels for part in parts]
            assert torch.equal(labels, torch.cat(shares))

    def test_the_stream_of_the_classes_is_restored(self, session: MakeSession) -> None:
        first, second = (session(text=CONDITIONAL).batches for _ in range(2))
        for number in range(3):
            first.next(number, real=True)
        second.load_state_dict(first.state_dict())
        expected = first.next(3, real=True).fake_labels.clone()
        assert torch.equal(second.next(3, real=True).fake_labels, expected)


class TestSteps:
    def test_networks_are_called_with_the_labels_of_their_input(self, session: MakeSession) -> None:
        run = session(text=ECHO)
        batch = run.batches.next(0, real=True)
        step = run.parts.step(batch.x, batch.labels)
        assert torch.equal(step.real_logits, batch.labels.float())
        others = (batch.labels + 1) % 4
        assert torch.equal(step.discriminate(batch.x, others), others.float())
        assert torch.equal(step.generate(step.z, others)[:, 1], others.float())

    def test_an_encoder_is_called_with_the_labels_of_real_samples(
        self, session: MakeSession
    ) -> None:
        text = ECHO.replace("discriminator =", "encoder =").replace("discriminator-only", "joint")
        run = session(text=text.replace("non-saturating", "test-coding"))
        batch = run.batches.next(0, real=True)
        step = run.parts.step(batch.x, batch.labels)
        assert torch.equal(step.code, batch.x)
        others = (batch.labels + 1) % 4
        assert torch.equal(step.encode(batch.x, others)[:, 1], others.float())
        codes, labels, x = run.codes(torch.tensor([0, 70, 99]))
        assert labels.tolist() == [0, 2, 3]
        assert torch.equal(codes, x)

    def test_fakes_are_judged_by_their_own_labels(self, session: MakeSession) -> None:
        run = session(text=ECHO)
        batch = run.batches.next(0, real=True)
        step = Step("discriminator", run.parts.networks, batch, view=run.parts.view)
        assert torch.equal(step.fake[:, 0], batch.z[:, 0])
        assert torch.equal(step.fake[:, 1], batch.fake_labels.float())
        assert torch.equal(step.fake_logits, batch.fake_labels.float())
        assert torch.equal(step.real_logits, batch.labels.float())

    def test_a_recipe_without_the_condition_calls_without_labels(
        self, session: MakeSession
    ) -> None:
        parts = session(text=TINY).parts
        assert parts.view.conditional == frozenset()
        assert parts.networks["discriminator"].classes is None
        assert session(text=CONDITIONAL).parts.view.conditional == {"generator", "discriminator"}


class TestRuns:
    @pytest.mark.parametrize("stop", [3, 10, 14])
    def test_an_interrupted_run_resumes_to_the_same_bytes(
        self, recipe: MakeRecipe, tmp_path: Path, stop: int
    ) -> None:
        """With a moving average over batch norm, whose statistics need classes too."""
        stateful = recipe("log.every=4", text=STATEFUL)
        whole = train(stateful, tmp_path / "whole")
        interrupt = StopAt(stop, lambda session: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(InterruptedRun):
            train(stateful, tmp_path / "parts", interrupt)
        path = tmp_path / "parts" / stateful.name / "run"
        assert outcome(train(stateful, path, resume=True)) == outcome(whole)

    def test_the_condition_changes_the_run(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        plain = outcome(train(recipe(text=TINY), tmp_path / "plain"))
        conditional = outcome(train(recipe(text=CONDITIONAL), tmp_path / "conditional"))
        assert plain["generator.safetensors"] != conditional["generator.safetensors"]

    def test_an_autoencoder_of_classes(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        text = f'condition = "class"\n{AUTOENCODER.strip()}\nprior = {{ type = "normal" }}\n'
        folder = train(recipe(text=text), tmp_path)
        for name in ("reconstructions", "lines", "normal"):
            assert folder.picture(name).exists()
        sampler = Sampler(recipe(text=text), folder)
        one, other = (sampler.sample(4, label=label) for label in (0, 1))
        assert one.isfinite().all()
        assert not torch.equal(one, other)

    def test_metrics_get_the_labels_that_were_requested(
        self, recipe: MakeRecipe, tmp_path: Path
    ) -> None:
        text = ECHO + 'metrics = [{ type = "test-labels" }]\nevaluate = { samples = 300 }\n'
        loaded = recipe(text=text)
        folder = train(loaded, tmp_path)
        values = measure(loaded, folder, loaded.metrics)["values"]
        assert values == {"test-labels/real": 1, "test-labels/generated": 1}


class TestPictures:
    def test_a_row_for_each_class_with_the_same_latents(self, session: MakeSession) -> None:
        samples, labels = session(text=ECHO).sample_fixed(23)
        assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
        assert samples[:, 1].tolist() == labels.tolist()
        rows = samples[:, 0].reshape(4, 5)
        assert (rows == rows[0]).all()
        assert len(rows[0].unique()) == 5

    def test_they_stay_the_same_during_a_run(self, session: MakeSession) -> None:
        run = session(text=ECHO)
        before = run.sample_fixed(20)
        run_iteration(run)
        after = run.sample_fixed(20)
        assert all(map(torch.equal, before, after))

    def test_fewer_samples_than_classes(self, session: MakeSession) -> None:
        samples, labels = session(text=ECHO).sample_fixed(3)
        assert labels.tolist() == [0, 1, 2]
        assert len(samples[:, 0].unique()) == 1

    @pytest.mark.parametrize(("count", "columns"), [(20, 2), (39, 3), (64, 6)])
    def test_the_grid_has_the_classes_below_each_other(
        self, recipe: MakeRecipe, tmp_path: Path, count: int, columns: int
    ) -> None:
        folder = train(recipe(f"log.samples={count}", text=CONDITIONAL), tmp_path)
        with Image.open(folder.samples(20)) as picture:
            width, height = picture.size
            pixels = np.asarray(picture.convert("L"))
        # Digits of 8 pixels with a line around each, enlarged by a whole number.
        scale, rest = divmod(width, 9 * columns + 1)
        assert rest == 0
        assert height == scale * (9 * 10 + 1)
        rows = pixels[::scale, ::scale][1:].reshape(10, 9, -1)
        assert len({row.tobytes() for row in rows}) == 10


class TestSampling:
    @pytest.fixture
    def sampler(
        self, recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Sampler:
        """Of a run whose data set is not there any more."""
        loaded = recipe(text=ECHO)
        folder = train(loaded, tmp_path)

        def gone(spec: DatasetSpec, context: BuildContext) -> Any:
            raise AssertionError("the data set was opened")

        monkeypatch.setattr(Labelled, "build", gone)
        return Sampler(loaded, folder)

    def test_no_data_are_needed(self, sampler: Sampler) -> None:
        samples = sampler.sample(2000, seed=1)
        shares = samples[:, 1].long().bincount(minlength=4) / 2000
        for share, expected in zip(shares.tolist(), SHARES, strict=True):
            assert share == pytest.approx(expected, abs=4 * (expected / 2000) ** 0.5)

    def test_a_sample_does_not_depend_on_how_many_are_drawn(self, sampler: Sampler) -> None:
        many = sampler.sample(600, seed=3)
        for count in (1, 7, 256, 257, 599):
            assert torch.equal(sampler.sample(count, seed=3), many[:count])
            assert torch.equal(sampler.labels(count, seed=3), many[:count, 1].long())
        assert not torch.equal(sampler.sample(7, seed=4), many[:7])

    def test_one_class_from_the_same_latents(self, sampler: Sampler) -> None:
        mixed = sampler.sample(30)
        for label in range(4):
            samples = sampler.sample(30, label=label)
            assert torch.equal(samples[:, 0], mixed[:, 0])
            assert (samples[:, 1] == label).all()

    def test_latents_are_those_of_a_run_without_classes(
        self, sampler: Sampler, recipe: MakeRecipe, tmp_path: Path
    ) -> None:
        plain = recipe("latent.dim=2", text=TINY)
        folder = train(plain, tmp_path / "plain")
        assert torch.equal(sampler.draw(300), Sampler(plain, folder).draw(300))

    @pytest.mark.parametrize("label", [-1, 4])
    def test_a_class_that_is_not_there(self, sampler: Sampler, label: int) -> None:
        with pytest.raises(UserError, match=f"there is no class {label}\n  = classes are 0 to 3"):
            sampler.sample(2, label=label)

    def test_a_class_of_a_run_without_classes(self, recipe: MakeRecipe, tmp_path: Path) -> None:
        plain = recipe(text=TINY)
        folder = train(plain, tmp_path)
        with pytest.raises(UserError, match="was not trained with classes"):
            Sampler(plain, folder).sample(2, label=0)
