"""Folders of runs as disks, editors and half-finished copies leave them: whatever reads one gives
a result, or names the file that is damaged.

`make fuzz` tries many more of them, other ones each time.
"""

from __future__ import annotations

import io
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import Phase, event, given
from hypothesis import strategies as st
from mutations import (
    Damage,
    byte_damage,
    check_refusal,
    fuzzing,
    in_time,
    json_damage,
    place_damage,
)

from ganzoo import open_run, resume
from ganzoo.cli import main
from ganzoo.comparison import compare
from ganzoo.errors import GanzooError
from ganzoo.records import read_rows

from .conftest import Runs

FUZZING = fuzzing(800, 10, phases=[Phase.generate])
"""On a tenth of what recipes are tried with: many of these train or measure."""
EXAMPLES = FUZZING.max_examples

LEFT_ALONE = (".lock", "tensorboard")
"""Nothing reads what is in them."""


class Case(NamedTuple):
    """A run, a reader of it, and what is done to some of its files."""

    run: str
    reader: str
    damages: list[tuple[int, str, Damage]]
    """The number of a file, the name of the damage and what it does."""


def read(run: Path) -> None:
    """Everything that Python shows of a run."""
    opened = open_run(run)
    assert opened.status is not None
    assert opened.evaluation is not None
    assert all(row["iteration"] >= 0 for row in opened.statistics)
    for file in (opened.folder.timing, opened.folder.warnings, opened.folder.probe("divergence")):
        assert all(row["iteration"] >= 0 for row in read_rows(file))


def sample(run: Path) -> None:
    """Samples are those of the whole run, or none."""
    opened = open_run(run)
    for prior in opened.recipe.all_priors:
        samples = opened.sample(4, prior=prior)
        if run.name == "whole":
            assert torch.equal(samples, EXPECTED[run.parent.name, prior])


EXPECTED: dict[tuple[str, str], torch.Tensor] = {}
"""Samples by the name and the prior of a whole run."""


def resumed(run: Path) -> None:
    """A run that is resumed ends as if nothing had happened to it."""
    resume(run)
    assert open_run(run).status["state"] == "done"


def compared(run: Path) -> None:
    """A comparison without its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganzoo.evaluation.report.write_report", lambda data, out: None)
        compare(str(run), out=run.parents[1] / "out", replace=True)


def reported(run: Path) -> None:
    """A comparison with its report."""
    compare(str(run), out=run.parents[1] / "out", replace=True)


def commanded(run: Path) -> None:
    """`ganzoo sample` as on the command line; what it says is judged like an error's message."""
    said, arguments = io.StringIO(), ["ganzoo", "sample", str(run), "--out", str(run / "x.npy")]
    code: object = None
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stderr(said),
        redirect_stdout(io.StringIO()),
    ):
        patch.setattr("sys.argv", arguments)
        try:
            main()
        except SystemExit as end:
            code = end.code
    if code:
        assert code in (1, 2)
        raise GanzooError(said.getvalue())


READERS: dict[str, tuple[int, Callable[[Path], None]]] = {
    "read": (12, read),
    "sample": (8, sample),
    "compare": (6, compared),
    "resume": (3, resumed),
    "report": (2, reported),
    "command": (3, commanded),
}
"""How many examples of each, and what it does."""
DAMAGES = (json_damage, json_damage, byte_damage, place_damage)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    # Hypothesis repeats itself where it chooses among few things; nothing is learnt from that here.
    random = draw(st.randoms(use_true_random=True))
    weights = [weight for weight, _ in READERS.values()]
    (reader,) = random.choices([*READERS], weights)
    run = random.choice(["coded", "line"])
    if reader in ("read", "resume") and random.random() < 0.4:
        run = {"coded": "stopped", "line": "stopped_line"}[run]
    damages = [
        (random.randrange(10**4), *random.choice(DAMAGES)(random))
        for _ in range(random.choice([1, 1, 2]))
    ]
    return Case(run, reader, damages)


def damaged(case: Case, runs: Runs, place: Path) -> tuple[Path, list[str]]:
    """A copy of the run with the damage, and what was done to which file."""
    whole: Path = getattr(runs, case.run)
    run = Path(shutil.copytree(whole, place / whole.parent.name / whole.name))
    files = sorted(
        file
        for file in run.rglob("*")
        if file.is_file() and not any(part in LEFT_ALONE for part in file.relative_to(run).parts)
    )
    plain = [file for file in files if file.suffix in (".json", ".jsonl")]
    done = []
    for number, name, damage in case.damages:
        among = plain if name.startswith("json") else files
        file = among.pop(number % len(among))
        if file in files:
            files.remove(file)
        if file in plain:
            plain.remove(file)
        damage(file)
        done.append(f"{file.relative_to(run)}: {name}")
    return run, done


def try_case(case: Case, runs: Runs, place: Path) -> str:
    """What came of a case: `result` or `refusal`."""
    run, done = damaged(case, runs, place)
    try:
        with in_time():
            READERS[case.reader][1](run)
    except GanzooError as error:
        check_refusal(error, place)
        return "refusal"
    finally:
        for each in done:
            event(each)
    return "result"


@contextmanager
def samples_of(runs: Runs) -> Iterator[None]:
    """Fill `EXPECTED`."""
    for run in (runs.coded, runs.line):
        opened = open_run(run)
        for prior in opened.recipe.all_priors:
            EXPECTED[run.parent.name, prior] = opened.sample(4, prior=prior)
    yield


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_run_is_read_or_named(runs: Runs, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    numbers = itertools.count()

    @FUZZING
    @given(case=cases())
    def example(case: Case) -> None:
        place = tmp_path / str(next(numbers))
        outcome = try_case(case, runs, place)
        shutil.rmtree(place)
        counts.update([outcome, case.reader, *(name for _, name, _ in case.damages)])

    with samples_of(runs):
        example()
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    assert counts["result"] + counts["refusal"] >= EXAMPLES
    assert min(counts["result"], counts["refusal"]) > EXAMPLES / 10
