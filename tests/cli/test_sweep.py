"""`ganzoo sweep`: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from .conftest import Command


def test_a_sweep_says_what_it_does_and_what_is_best(command: Command, points: Path) -> None:
    keys = ("optimizer.lr=1e-3,1e-2", "train.iterations=4", "evaluate.samples=1")
    result = command("sweep", points, *keys, "--metric", "modes/kl", "--out", "out")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "out/report.html\n"
    lines = result.stderr.splitlines()
    assert "2 points with 1 seed: 2 runs" in lines
    assert any(line.split()[:3] == ["lr", "modes/kl", "(-)"] for line in lines)
    assert any(line.split()[:1] == ["1"] and line.split()[-1] == "best" for line in lines)
    assert lines[-2:] == [
        "out/best.toml is the best recipe; compare it with what it was:",
        "  ganzoo compare points.toml out/best.toml --seeds 5 --runs runs",
    ]
    checked = command("check", "out/best.toml")
    assert (checked.returncode, checked.stderr) == (0, "out/best.toml: valid\n") or (
        checked.stdout == "out/best.toml: valid\n"
    )


def test_a_key_that_no_recipe_has(command: Command, recipe: Path) -> None:
    result = command("sweep", recipe, "optimizer.lrr=1,2", "generator.hidden=[8],8")
    assert result.returncode == 2
    assert result.stderr == (
        "command line: optimizer.lrr: unknown key for optimizer 'adam'\n"
        "    optimizer.lrr=1\n"
        "      = did you mean 'lr'?\n"
        "command line: generator.hidden: should be a valid array (got 8)\n"
        "    generator.hidden=8\n"
        "      = widths of the hidden layers, from input to output\n"
        "2 problems; nothing was run\n"
    )
    assert not Path("runs").exists()
    assert not Path("sweep").exists()


def test_a_range_needs_a_search(command: Command, recipe: Path) -> None:
    result = command("sweep", recipe, "optimizer.lr=1e-4..1e-3")
    assert result.returncode == 2
    assert "optimizer.lr: a grid has no ranges" in result.stderr


def test_names_that_are_too_long(command: Command, recipe: Path) -> None:
    for arguments in ((recipe, "--out", "x" * 5000), ("y" * 5000,)):
        result = command("sweep", *arguments, "optimizer.lr=1e-4,1e-3")
        assert result.returncode == 2, result.stderr
