"""Checkpoints, snapshots, weights, priors and cached features with other bytes, or with other
contents and a digest that fits: nothing of it is taken in silence.

`make fuzz` tries many more of them, other ones each time.
"""

from __future__ import annotations

import itertools
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from mutations import check_refusal, fuzzing, in_time, paths_of

from ganzoo import open_run, resume
from ganzoo.digests import BrokenFile, read_state, read_tensors, write_state, write_tensors
from ganzoo.errors import GanzooError
from ganzoo.sampling import Sampler

from .conftest import Runs

QUICK = fuzzing(1000, 5)
"""On a fifth of what recipes are tried with."""
EXAMPLES = QUICK.max_examples

WEIGHTS = ("generator", "encoder", "snapshots/000010", "snapshots/000020", "priors/mixture")
"""Files of tensors of the VAE."""


def randoms() -> st.SearchStrategy[Random]:
    """Hypothesis repeats itself where it chooses among few things."""
    return st.randoms(use_true_random=True)


# Bytes.


def regions(file: Path) -> Mapping[str, range]:
    """The parts of a file of tensors, by name."""
    size = file.stat().st_size
    if not zipfile.is_zipfile(file):
        header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
        parts = {"length": 8, "digest": 99, "header": header, "tensors": size - 4, "tail": size}
    else:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        pickle = next(each for each in entries if each.filename.endswith("data.pkl"))
        start = pickle.header_offset + 30
        parts = {
            "header": start,
            "pickle": start + pickle.file_size,
            "tensors": entries[-1].header_offset,
            "directory": size - 66 - 22,
            "tail": size - 66,
            "digest": size,
        }
    ends = list(itertools.accumulate(parts.values(), max))
    starts = [0, *ends[:-1]]
    return {name: range(*ends) for name, *ends in zip(parts, starts, ends, strict=True)}


def with_other_bytes(
    random: Random, content: bytes, part: range, other: bytes
) -> tuple[str, bytes]:
    """The content with damage that begins in a part of it, and the name of the damage."""
    at = random.choice(part)
    length = random.choice([1, 2, 8, 64, 1000])
    kinds = {
        "flip": content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :],
        "noise": content[:at] + random.randbytes(length) + content[at + length :],
        "cut": content[:at],
        "hole": content[:at] + content[at + length :],
        "extended": content[:at] + random.randbytes(length) + content[at:],
        "other": content[:at] + other[at : at + length] + content[at + length :],
        "other tail": content[:at] + other[at:],
        "other file": other,
    }
    name = random.choice(sorted(kinds))
    return name, kinds[name]


def files_of(runs: Runs) -> list[Path]:
    whole = [runs.coded / f"{name}.safetensors" for name in WEIGHTS]
    return [*whole, *(runs.coded / "checkpoints").iterdir(), *(runs.line / "checkpoints").iterdir()]


@pytest.mark.timeout(3600)
def test_other_bytes_are_found_in_every_part_of_a_file(runs: Runs, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    files = files_of(runs)

    @QUICK
    @given(random=randoms())
    def example(random: Random) -> None:
        file, other = random.sample(files, 2)
        content, parts = file.read_bytes(), regions(file)
        part = random.choice(sorted(parts))
        name, damaged = with_other_bytes(random, content, parts[part], other.read_bytes())
        event(f"{file.suffix} {part}: {name}")
        counts.update([f"{file.suffix} {part}", name])
        place = tmp_path / file.name
        place.write_bytes(damaged)
        read = read_state if file.suffix == ".pt" else read_tensors
        if damaged == content or (file.suffix == other.suffix and damaged == other.read_bytes()):
            read(place)  # whole, if not what belongs there: the next test
            return
        with pytest.raises(BrokenFile) as error:
            read(place)
        check_refusal(error.value, tmp_path)

    example()
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    assert len(counts) == 5 + 6 + 8  # parts of both formats, and kinds of damage


# Contents under a digest that fits.


WRONG: tuple[Any, ...] = (
    *(None, 0, -1, 10**30, 1.5, float("nan"), True, "", "x" * 1000, [], {}, [None], {"x": 1}),
    *(torch.zeros(()), torch.zeros(3, 1), torch.ones(2, dtype=torch.int64), torch.zeros(0)),
)


def wrong_tensor(random: Random, tensor: torch.Tensor) -> tuple[str, torch.Tensor]:
    """A tensor that cannot stand for another one, and what is wrong with it."""
    poisoned = tensor.clone()
    if poisoned.is_floating_point() and poisoned.numel():
        poisoned.view(-1)[random.randrange(poisoned.numel())] = random.choice(
            [float("nan"), float("inf"), -float("inf")]
        )
    kinds = {
        "shape": torch.cat([tensor.reshape(-1), tensor.reshape(-1)[:1]]),
        "dtype": tensor.to(torch.float64 if tensor.dtype != torch.float64 else torch.float32),
        "dimensions": tensor[None],
        **({} if torch.equal(poisoned, tensor) else {"not finite": poisoned}),
    }
    name = random.choice(sorted(kinds))
    return name, kinds[name].contiguous()


def change_tensors(random: Random, file: Path) -> str:
    """Write other tensors or notes with a digest that fits; the name of the change."""
    tensors, notes = read_tensors(file)
    key = random.choice(sorted(tensors))
    how = random.choice(["tensor"] * 4 + ["missing", "renamed", "extra", "none", "run", "file"])
    if how == "tensor":
        how, tensors[key] = wrong_tensor(random, tensors[key])
    elif how == "missing":
        del tensors[key]
    elif how == "renamed":
        tensors[f"{key}.x"] = tensors.pop(key)
    elif how == "extra":
        tensors[f"{key.partition('.')[0]}.x"] = torch.zeros(2)
    elif how == "none":
        tensors = {}
    else:
        note = {"run": "fingerprint", "file": "file"}[how]
        notes[note] = random.choice(["", "x", notes[note] + " ", "0" * 64])
    write_tensors(file, tensors, notes)
    return how


def sample_at_all_snapshots(run: Path) -> None:
    opened = open_run(run)
    sampler = Sampler(opened.recipe, opened.folder)
    for iteration in (10, 20):
        sampler.load(iteration)
    sampler.sample(2, prior="mixture")


@pytest.mark.timeout(3600)
def test_other_weights_are_never_loaded(runs: Runs, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    run = Path(shutil.copytree(runs.coded, tmp_path / "run"))

    @QUICK
    @given(random=randoms())
    def example(random: Random) -> None:
        name = random.choice(WEIGHTS)
        file = run / f"{name}.safetensors"
        whole = file.read_bytes()
        try:
            how = change_tensors(random, file)
            event(f"{name}: {how}")
            counts.update([name, how])
            with pytest.raises(GanzooError) as error, in_time():
                sample_at_all_snapshots(run)
            check_refusal(error.value, run)
        finally:
            file.write_bytes(whole)

    example()
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    assert min(counts[name] for name in WEIGHTS) > EXAMPLES / 20


CERTAIN = re.compile(
    r"fingerprint|counters\.iteration|networks\.|average\.|optimizers\..*\.state\.\d+\."
)
"""What no wrong value of a checkpoint is taken for in silence, by its place."""


def change_state(random: Random, state: dict[str, Any]) -> tuple[str, str]:
    """Change a value of a state; its place, and the name of the change."""
    top = random.choice(sorted(state))
    *above, last = random.choice([path for path in paths_of(state) if path and path[0] == top])
    inside: Any = state
    for step in above:
        inside = inside[step]
    value = inside[last]
    how = random.choice(["tensor", "tensor", "value", "missing", "renamed"])
    if how == "tensor" and isinstance(value, torch.Tensor):
        how, inside[last] = wrong_tensor(random, value)
    elif how == "missing":
        del inside[last]
    elif how == "renamed" and isinstance(inside, dict):
        inside["x"] = inside.pop(last)
    else:
        how, inside[last] = "value", random.choice(WRONG)
    return ".".join(map(str, [*above, last])), how


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_another_state_ends_no_run_by_an_error_of_python(runs: Runs, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    numbers = itertools.count()
    whole = (runs.coded / "generator.safetensors").read_bytes()

    @settings(QUICK, max_examples=EXAMPLES // 8, phases=[Phase.generate])
    @given(random=randoms())
    def example(random: Random) -> None:
        place = tmp_path / str(next(numbers))
        run = Path(shutil.copytree(runs.stopped, place / "run"))
        newest = run / "checkpoints" / "000013.pt"
        state = read_state(newest)
        where, how = change_state(random, state)
        write_state(newest, state)
        event(f"{where.partition('.')[0]}: {how}")
        outcome = "taken"
        try:
            with in_time():
                resume(run)
        except GanzooError as error:
            check_refusal(error, place)
            outcome = "refused"
        else:
            if list(run.glob("checkpoints/*.broken")):
                outcome = "passed over"
                assert (run / "generator.safetensors").read_bytes() == whole
        assert outcome != "taken" or not CERTAIN.match(where), (where, how)
        counts.update([outcome, where.partition(".")[0], how])
        shutil.rmtree(place)

    example()
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    assert counts["passed over"]
    assert counts["refused"]
