"""Probes measure the networks around each group of phases, and leave rows and pictures."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from pydantic import Field
from tiny import train
from torch import Tensor

from ganzoo import plugins
from ganzoo.api import BuildContext, ProbeSpec, Step
from ganzoo.engine.events import Listener
from ganzoo.engine.session import Session
from ganzoo.engine.training import run_iteration
from ganzoo.errors import InterruptedRun
from ganzoo.plugins import Plugin
from ganzoo.records import read_rows
from ganzoo.registry import Registry
from ganzoo.runs import RunFolder

from .conftest import MINE, MakeRecipe, MakeSession

Look = tuple[str, int, tuple[str, ...]]


class Witness:
    """Notes each look; its figures are those of the iteration."""

    def __init__(self, pictures: bool) -> None:
        self.pictures = pictures
        self.looks: list[Look] = []
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.moved: dict[str, float] = {}
        self.weights: list[Tensor] = []
        self.iteration = -1

    def before(self, phases: Sequence[str], step: Step) -> None:
        self.iteration = int(step.iteration)
        self.looks.append(("before", self.iteration, tuple(phases)))
        self.weights = [weight.detach().clone() for weight in step.networks.generator.parameters()]
        self.batches.append((step.x.clone(), step.z.clone()))

    def after(self, phases: Sequence[str], step: Step) -> None:
        self.looks.append(("after", int(step.iteration), tuple(phases)))
        x, z = self.batches[-1]
        assert torch.equal(step.x, x)
        assert torch.equal(step.z, z)
        pairs = zip(step.networks.generator.parameters(), self.weights, strict=True)
        moved = sum(float((new.detach() - old).abs().sum()) for new, old in pairs)
        self.moved["+".join(phases)] = moved

    def compute(self) -> Mapping[str, float]:
        return dict(self.moved)

    def draw(self) -> Image.Image | None:
        if not self.pictures or self.iteration == 11:
            return None
        return Image.new("RGB", (8, 8), (10 * self.iteration, 0, 0))


class WitnessProbe(ProbeSpec):
    """Notes what it is shown."""

    type: ClassVar[str] = "test-witness"

    pictures: bool = Field(True, description="whether it draws")

    def build(self, context: BuildContext) -> Witness:
        return Witness(self.pictures)


class NeedyProbe(ProbeSpec):
    """Needs the data and a network."""

    type: ClassVar[str] = "test-needy"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images", "discriminator"})
    contexts: ClassVar[list[BuildContext]] = []

    def build(self, context: BuildContext) -> Witness:
        self.contexts.append(context)
        return Witness(False)


@pytest.fixture
def registry() -> Registry:
    mine = Plugin(
        "test:probes", "test-probes", "1.0", (("probe", WitnessProbe), ("probe", NeedyProbe))
    )
    return Registry([*plugins.installed().all, MINE, mine])


PROBED = "probes=[{ type = 'test-witness', every = 4 }]"


def witness(session: Session) -> Any:
    return session.probes[0].probe


def left_behind(folder: RunFolder) -> dict[str, bytes]:
    """All that the probes of a run wrote."""
    files = [file for file in (folder.path / "probes").rglob("*") if file.is_file()]
    return {str(file.relative_to(folder.path)): file.read_bytes() for file in files}


# What it sees.


def test_a_probe_looks_before_and_after_each_group(session: MakeSession) -> None:
    tiny = session(PROBED, "schedule.discriminator_steps=2")
    for _ in range(9):
        run_iteration(tiny)
        tiny.counters.iteration += 1
    groups = [("discriminator",), ("discriminator",), ("generator",)]
    assert witness(tiny).looks == [
        (when, iteration, group)
        # The fourth and the eighth iteration, counted from 0 in a batch.
        for iteration in (3, 7)
        for group in groups
        for when in ("before", "after")
    ]
    assert witness(tiny).moved["discriminator"] == 0
    assert witness(tiny).moved["generator"] > 0
    # Each group has a batch of its own.
    assert not torch.equal(witness(tiny).batches[0][1], witness(tiny).batches[1][1])


def test_a_simultaneous_group_is_one_look(session: MakeSession) -> None:
    tiny = session("probes=[{ type = 'test-witness', every = 1 }]", "schedule.type=simultaneous")
    run_iteration(tiny)
    assert [look[2] for look in witness(tiny).looks] == [("discriminator", "generator")] * 2
    assert witness(tiny).moved["discriminator+generator"] > 0


def test_probes_of_different_strides(session: MakeSession) -> None:
    tiny = session("probes=[{ type = 'test-witness', every = 2 }, { type = 'test-needy' }]")
    for _ in range(4):
        run_iteration(tiny)
        tiny.counters.iteration += 1
    assert [probe.every for probe in tiny.probes] == [2, 100]
    assert {look[1] for look in tiny.probes[0].probe.looks} == {1, 3}  # type: ignore[attr-defined]
    assert tiny.probes[1].probe.looks == []  # type: ignore[attr-defined]


def test_a_probe_gets_what_it_needs(session: MakeSession) -> None:
    NeedyProbe.contexts.clear()
    tiny = session("probes=[{ type = 'test-needy' }]")
    (context,) = NeedyProbe.contexts
    assert context.data is tiny.data
    assert context.networks == {"discriminator": tiny.parts.networks["discriminator"]}


def test_looking_does_not_change_the_run(recipe: MakeRecipe, tmp_path: Path) -> None:
    with_probe = train(recipe(PROBED), tmp_path / "with")
    without = train(recipe(), tmp_path / "without")
    for name in ("generator", "discriminator"):
        assert with_probe.weights(name).read_bytes() == without.weights(name).read_bytes()
    assert with_probe.statistics.read_bytes() == without.statistics.read_bytes()
    assert not (without.path / "probes").exists()


# What it leaves.


def test_rows_and_frames_and_an_animation(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = train(recipe(PROBED), tmp_path)
    rows = read_rows(folder.probe("test-witness"))
    assert [row["iteration"] for row in rows] == [4, 8, 12, 16, 20]
    for row in rows:
        assert set(row) == {"iteration", "values"}
        assert row["values"]["discriminator"] == 0
        assert row["values"]["generator"] > 0
    # In the twelfth iteration there was nothing to draw.
    frames = folder.frames("test-witness")
    assert [frame.name for frame in frames] == [
        f"{iteration:06d}.png" for iteration in (4, 8, 16, 20)
    ]
    shades = []
    with Image.open(folder.animation("test-witness")) as animation:
        assert animation.n_frames == 4  # type: ignore[attr-defined]
        assert animation.info["loop"] == 0
        for number in range(4):
            animation.seek(number)
            assert animation.info["duration"] == 200
            shades.append(animation.convert("RGB").getpixel((4, 4)))
    assert shades == [(10 * iteration, 0, 0) for iteration in (3, 7, 15, 19)]


def test_without_pictures_there_is_no_animation(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = train(recipe("probes=[{ type = 'test-witness', pictures = false }]"), tmp_path)
    assert left_behind(folder) == {}
    folder = train(
        recipe("probes=[{ type = 'test-witness', every = 9, pictures = false }]"), tmp_path / "more"
    )
    assert set(left_behind(folder)) == {"probes/test-witness.jsonl"}


@pytest.mark.parametrize("stop", [3, 4, 9, 14, 16])
def test_a_resumed_run_leaves_the_same(recipe: MakeRecipe, tmp_path: Path, stop: int) -> None:
    class StopAt(Listener):
        def advanced(self, session: Session) -> None:
            if session.iteration == stop:
                os.kill(os.getpid(), signal.SIGINT)

    tiny = recipe(PROBED)
    whole = train(tiny, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(tiny, tmp_path / "parts", StopAt())
    path = tmp_path / "parts" / tiny.name / "run"
    assert left_behind(train(tiny, path, resume=True)) == left_behind(whole)


def test_a_killed_run_leaves_the_same(recipe: MakeRecipe, tmp_path: Path) -> None:
    """What was seen after the last checkpoint is seen again, and stands there once."""

    class KillAt(Listener):
        def advanced(self, session: Session) -> None:
            if session.iteration == 17:
                raise KeyboardInterrupt

    tiny = recipe(PROBED)
    whole = train(tiny, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(tiny, tmp_path / "parts", KillAt())
    path = tmp_path / "parts" / tiny.name / "run"
    rows = read_rows(RunFolder(path).probe("test-witness"))
    assert [row["iteration"] for row in rows] == [4, 8, 12, 16]
    assert [file.stem for file in RunFolder(path).checkpoints()] == ["000010"]
    assert left_behind(train(tiny, path, resume=True)) == left_behind(whole)
