"""Whole runs: what they leave behind, and that a killed one resumes to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from forked import start
from tiny import train

from ganzoo import Run
from ganzoo.engine.checkpoints import newest_checkpoint
from ganzoo.engine.events import Listener
from ganzoo.engine.session import Session
from ganzoo.errors import InterruptedRun, RunError
from ganzoo.records import read_rows
from ganzoo.runs import RunFolder

from .conftest import TINY, MakeRecipe

# Dropout, a moving average, batch norm, ramps, a schedule that observes: everything that has state
# to lose. Logs, observations and checkpoints fall on different iterations, so that statistics are
# under way at a checkpoint.
STATEFUL = (
    TINY.replace(
        'generator = { type = "mlp", hidden = [16] }',
        'generator = { type = "mlp", hidden = [16], normalization = "batch" }',
    )
    .replace(
        'discriminator = { type = "mlp", hidden = [16] }',
        'discriminator = { type = "mlp", hidden = [16], dropout = 0.3 }\nema = { decay = 0.9 }\n'
        'augmentations = [{ type = "instance-noise" }]',
    )
    .replace('type = "alternating"', 'type = "adaptive", every = 3, margin = 0.02')
    .replace("lr = 1e-3", 'lr = { from = 1e-3, to = 1e-4, shape = "cosine", over = [0.2, 0.9] }')
)

LEARNED_CODES = (
    TINY.replace('discriminator = { type = "mlp", hidden = [16] }\n', "")
    .replace('type = "non-saturating"', 'type = "paired-codes", learned = true')
    .replace("alternating", "joint")
)


class StopAt(Listener):
    """Raises or signals after some iteration, as a user or a fault would."""

    def __init__(self, iteration: int, action: Any) -> None:
        self.iteration, self.action = iteration, action
        self.warnings: list[str] = []

    def advanced(self, session: Session) -> None:
        if session.iteration == self.iteration:
            self.action(session)

    def warned(self, text: str) -> None:
        self.warnings.append(text)


def outcome(folder: RunFolder) -> dict[str, bytes]:
    """Everything of a finished run that has to be the same bytes."""
    files = [
        *folder.path.glob("*.safetensors"),
        *folder.path.glob("samples/*.png"),
        *folder.path.glob("pictures/*.png"),
        folder.statistics,
        *folder.path.glob("priors/*"),
        folder.recipe,
    ]
    return {str(file.relative_to(folder.path)): file.read_bytes() for file in files}


def test_a_run_leaves_its_files(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = train(recipe(), tmp_path)
    names = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*.*")}
    assert names >= {
        "recipe.toml", "environment.json",
        "statistics.jsonl", "timing.jsonl", "status.json",
        "generator.safetensors", "discriminator.safetensors",
        "checkpoints/000010.pt", "checkpoints/000020.pt",
        *(f"samples/{iteration:06d}.png" for iteration in (0, 5, 10, 15, 20)),
    }  # fmt: skip
    assert any(folder.path.glob("tensorboard/events*"))
    rows = read_rows(folder.statistics)
    assert [(row["iteration"], row["images"]) for row in rows] == [
        (5, 40), (10, 80), (15, 120), (20, 160),
    ]  # fmt: skip
    status = json.loads(folder.status.read_text())
    assert status["state"] == "done"
    assert status["steps"] == {"discriminator": 20, "generator": 20}
    environment = json.loads(folder.environment.read_text())
    assert environment["fingerprint"] == recipe().fingerprint
    assert environment["plugins"].keys() >= {"ganzoo-core", "ganzoo-mlp", "ganzoo-data"}
    assert environment["choices"]["precision"] == "float32"


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    first, second = (outcome(train(recipe(text=STATEFUL), tmp_path / name)) for name in ("a", "b"))
    assert first == second
    other = outcome(train(recipe("train.seed=1", text=STATEFUL), tmp_path / "c"))
    assert first["generator.safetensors"] != other["generator.safetensors"]


@pytest.mark.parametrize(
    ("text", "stop"), [(STATEFUL, 3), (STATEFUL, 10), (STATEFUL, 14), (LEARNED_CODES, 14)]
)
def test_an_interrupted_run_resumes_to_the_same_bytes(
    recipe: MakeRecipe, tmp_path: Path, text: str, stop: int
) -> None:
    tiny = recipe("log.every=4", text=text)
    whole = train(tiny, tmp_path / "whole")
    interrupt = StopAt(stop, lambda session: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(InterruptedRun, match=f"stopped after iteration {stop} of 20") as stopped:
        train(tiny, tmp_path / "parts", interrupt)
    assert stopped.value.exit_code == 130
    path = tmp_path / "parts" / tiny.name / "run"
    assert Run(RunFolder(path)).status["state"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before
    assert outcome(train(tiny, path, resume=True)) == outcome(whole)


def test_a_checkpoint_does_not_change_the_run(recipe: MakeRecipe, tmp_path: Path) -> None:
    often = train(recipe("checkpoint.every=1", "log.every=1", text=STATEFUL), tmp_path / "often")
    seldom = train(recipe("checkpoint.every=99", text=STATEFUL), tmp_path / "seldom")
    weights = [folder.weights("generator").read_bytes() for folder in (often, seldom)]
    assert weights[0] == weights[1]
    assert len(often.checkpoints()) == 2


def test_a_checkpoint_cut_short_is_passed_over(recipe: MakeRecipe, tmp_path: Path) -> None:
    tiny = recipe(text=STATEFUL)
    whole = train(tiny, tmp_path / "whole")
    expected = outcome(whole)
    newest, before = whole.checkpoints()
    newest.write_bytes(newest.read_bytes()[:1000])
    progress = StopAt(-1, None)
    train(tiny, whole.path, progress, resume=True)
    assert len(progress.warnings) == 1
    assert f"{newest} cannot be read and is passed over" in progress.warnings[0]
    assert outcome(whole) == expected
    before.write_bytes(b"")
    newest.write_bytes(b"not a checkpoint")
    warnings: list[str] = []
    with pytest.raises(RunError, match=r"no checkpoint in .* is whole, so the run cannot go on"):
        newest_checkpoint(whole, warnings.append)
    assert len(warnings) == 2


def test_checkpoints_hold_nothing_but_tensors_and_plain_data(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = train(recipe(text=STATEFUL), tmp_path)
    state = torch.load(folder.checkpoints()[0], weights_only=True)
    assert state["counters"]["iteration"] == 20
    assert not any("_orig_mod" in name for name in state["networks"]["generator"])


def test_a_fault_in_a_component_is_reported_in_one_line_with_its_traceback_kept(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    def fault(session: Session) -> None:
        raise ZeroDivisionError("the plugin's own fault")

    with pytest.raises(
        RunError, match=r"ZeroDivisionError: the plugin's own fault .*test_training"
    ):
        train(recipe(), tmp_path, StopAt(7, fault))
    folder = RunFolder(tmp_path / "tiny" / "run")
    assert "raise ZeroDivisionError" in folder.traceback.read_text()
    assert json.loads(folder.status.read_text())["message"].startswith("ZeroDivisionError")


def test_two_processes_cannot_train_one_run(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = train(recipe(), tmp_path)
    with FileLock(folder.lock), pytest.raises(RunError, match="another process is training"):
        train(recipe(), folder.path, resume=True)
    assert json.loads(folder.status.read_text())["state"] == "done"


def test_training_leaves_the_callers_random_stream_alone(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    train(recipe(text=STATEFUL), tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_a_run_does_not_resume_on_other_data(recipe: MakeRecipe, tmp_path: Path) -> None:
    interrupt = StopAt(3, lambda session: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(InterruptedRun):
        train(recipe(), tmp_path, interrupt)
    folder = RunFolder(tmp_path / "tiny" / "run")
    environment = json.loads(folder.environment.read_text())
    environment["data"] |= {"digest": "another", "source": "/somewhere/else"}
    folder.environment.write_text(json.dumps(environment))
    with pytest.raises(RunError) as caught:
        train(recipe(), folder.path, resume=True)
    assert caught.value.message == (
        f"{folder.path} cannot be resumed: the data are no longer those that it was trained on "
        "(they were 1500 samples and 297 held out from /somewhere/else, and are 1500 samples and "
        "297 held out)"
    )


def test_a_run_stopped_and_resumed_five_times_ends_with_the_same_bytes(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    """By SIGKILL and by SIGTERM in turn; `make test-kills` does it at random moments."""
    overrides = ("train.iterations=800", "checkpoint.every=20", "log.every=10")
    file = tmp_path / "tiny.toml"
    file.write_text(recipe(*overrides, text=STATEFUL).to_toml())
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    path = Path("runs/tiny/run")
    folder = RunFolder(tmp_path / "parts" / path)

    def ganzoo(name: str, *arguments: object) -> BaseProcess:
        return start(*arguments, folder=tmp_path / name, log=tmp_path / f"{name}.log")

    whole = ganzoo("whole", "run", file, "--id", "run")
    for number in (signal.SIGKILL, signal.SIGTERM) * 2 + (signal.SIGKILL,):
        begun, rows = folder.path.exists(), len(read_rows(folder.statistics))
        process = ganzoo("parts", *(("resume", path) if begun else ("run", file, "--id", "run")))
        while len(read_rows(folder.statistics)) < rows + 3:
            assert process.is_alive(), (tmp_path / "parts.log").read_text()
            time.sleep(0.01)
        assert Run(folder).status["state"] == "running"
        assert process.pid is not None
        os.kill(process.pid, number)
        process.join()
        killed = number == signal.SIGKILL
        assert process.exitcode == (-number if killed else 128 + number)
        assert Run(folder).status["state"] == ("killed" if killed else "interrupted")
    last = ganzoo("parts", "resume", path)
    for process in (whole, last):
        process.join()
        assert process.exitcode == 0
    told = (tmp_path / "parts.log").read_text()
    assert (told.count("was killed or crashed"), told.count("stopped after iteration")) == (3, 2)
    assert outcome(folder) == outcome(RunFolder(tmp_path / "whole" / path))
