"""What does not fit into memory is refused, with the key of the recipe that asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny, train

from ganzoo.engine import memory
from ganzoo.engine.memory import demands, is_out_of_memory, out_of_memory, total_memory
from ganzoo.errors import RunError, UserError
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.sampling import Sampler


def recipe(folder: Path, *overrides: str, **changes: str) -> Recipe:
    file = folder / "tiny.toml"
    file.write_text(tiny(**changes))
    return load_recipe(file, *overrides)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("generator.hidden=[10_000_000, 10_000_000]", "generator.hidden"),
        ("discriminator.hidden=[16, 9_000_000_000_000_000_000]", "discriminator.hidden"),
        ("generator={type='dcgan', base_channels=1_000_000, max_channels=1_000_000}", "generator."),
    ],
)
def test_a_network_that_is_too_large_names_its_key(override: str, key: str, tmp_path: Path) -> None:
    match = rf"with {key}\w* as it is, would take .* of memory"
    with pytest.raises(UserError, match=match) as caught:
        train(recipe(tmp_path, override), tmp_path)
    assert str(caught.value.hint).startswith(f"make {key}")


def test_a_batch_that_is_too_large_names_its_key(tmp_path: Path) -> None:
    large = recipe(tmp_path, "train.batch_size=1_000_000", "latent.dim=1_000_000")
    with pytest.raises(UserError, match="a batch of 1000000 samples would take 3"):
        train(large, tmp_path)


def test_what_runs_out_while_it_trains_names_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("ganzoo.engine.training.run_iteration", refuse)
    large = recipe(tmp_path, "train.batch_size=4096")
    with pytest.raises(RunError) as caught:
        train(large, tmp_path)
    assert str(caught.value) == (
        "there is not enough memory on cpu to train: train.batch_size = 4096 asks for most of it\n"
        "  = make train.batch_size smaller, or train.accumulate greater"
    )


def test_the_key_most_above_its_default_is_named(tmp_path: Path) -> None:
    wide = recipe(tmp_path, "discriminator.hidden=[8, 100_000]", "log.samples=640")
    assert demands(wide)[:2] == [("discriminator.hidden", [8, 100_000]), ("log.samples", 640)]
    measured = out_of_memory(wide, "to measure", "cpu", "evaluate.samples")
    assert "evaluate.samples = 10000 asks" in str(measured)


def test_samples_beyond_memory(tmp_path: Path) -> None:
    small = recipe(tmp_path)
    sampler = Sampler(small, train(small, tmp_path))
    for count in (10**13, 10**400):
        with pytest.raises(UserError, match="samples would take"):
            sampler.sample(count)
    assert sampler.sample(3).shape == (3, 1, 8, 8)


def test_counting_weights_changes_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = train(recipe(tmp_path), tmp_path / "before")
    monkeypatch.setattr(memory, "WIDE", 0)
    after = train(recipe(tmp_path), tmp_path / "after")
    assert before.weights("generator").read_bytes() == after.weights("generator").read_bytes()


def test_what_says_that_memory_ran_out() -> None:
    # More than any machine has, however much it promises.
    with pytest.raises(RuntimeError) as by_torch:
        torch.empty(2**60)
    with pytest.raises((MemoryError, ValueError)) as by_numpy:
        np.empty(2**62, dtype=np.uint8)
    with pytest.raises(RuntimeError) as overflowed:
        torch.empty(2**62, 2**10)
    for error in (by_torch, by_numpy, overflowed):
        assert is_out_of_memory(error.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_container_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_it = total_memory()
    for text, total in (("1000\n", 1000), ("max\n", all_of_it)):
        (tmp_path / "max").write_text(text)
        monkeypatch.setattr(memory, "LIMIT", tmp_path / "max")
        assert total_memory() >= total
    assert 2**28 < all_of_it < 2**50
