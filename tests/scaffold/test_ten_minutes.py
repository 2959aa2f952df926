"""docs/write-a-plugin.md, executed: what it has its reader write, and what it says is printed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sites import forget_modules
from torch import nn

import ganzoo
from ganzoo import plugins, registry
from ganzoo.api import BuildContext, Networks, Remark
from ganzoo.engine.step import Batch, Step
from ganzoo.errors import InterruptedRun
from ganzoo.specs import KINDS
from ganzoo.testing import cases
from ganzoo.testing.collection import outcomes, summary

Use = Callable[..., Path]

PAGE = (Path(__file__).parents[2] / "docs" / "write-a-plugin.md").read_text()


def scan_again() -> None:
    plugins.installed.cache_clear()
    registry.installed.cache_clear()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def fourier(use: Use) -> Path:
    """The package after step 3, with its mistake."""
    made = use("ganzoo-fourier", "generator")
    network, declaration = blocks("python")
    (made / "ganzoo_fourier" / "generator.py").write_text(network)
    (made / "ganzoo_fourier" / "__init__.py").write_text(declaration)
    return made


def mend(made: Path) -> None:
    """The change of step 4."""
    (change,) = blocks("diff")
    old, new = (line[1:] for line in change.splitlines())
    file = made / "ganzoo_fourier" / "generator.py"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_the_mistake_is_caught_as_the_page_says(fourier: Path) -> None:
    failed, _ = blocks("text")
    found = outcomes(cases("ganzoo_fourier"))
    texts = [outcome.text for outcome in found if outcome.state == "failed"]
    assert texts == re.findall(r"^\S.*\n  .*$", failed, re.MULTILINE)


def test_after_the_change_nothing_is_wrong(fourier: Path, tmp_path: Path) -> None:
    mend(fourier)
    _, passed = blocks("text")
    assert summary(outcomes(cases("ganzoo_fourier"))) == passed.strip()
    recipe = ganzoo.load_recipe(
        fourier / "recipes" / "ganzoo-fourier.toml",
        *("generator.frequencies=16", "train.iterations=5", "evaluate.samples=20"),
    )
    run = ganzoo.train(recipe, runs=tmp_path)
    assert run.sample(3).shape == (3, 2)


def test_the_files_and_kinds_that_are_named(use: Use) -> None:
    made = use("ganzoo-fourier", "generator")
    named = re.findall(r"^    ([\w/.-]+\.(?:py|toml)) ", PAGE, re.MULTILINE)
    assert len(named) == 5
    for name in named:
        assert (made / name).is_file(), name
    kinds = PAGE[PAGE.index("`--kind` may") : PAGE.index("## 2.")]
    assert set(re.findall(r"`([a-z]+)`", kinds)) == set(KINDS)
    rows = re.findall(r"^\| (\w+) \| (?:module|object|callable|`ganzoo)", PAGE, re.MULTILINE)
    assert set(rows) == set(KINDS)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`load("mine.py")` writes that file of the page, or the files of that folder, and takes them
    into use as `--plugin` does."""

    def load(name: str) -> None:
        files = {file: text for file, text in named_blocks().items() if file.startswith(name)}
        assert files
        for file, text in files.items():
            path = tmp_path / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        monkeypatch.setenv("GANZOO_PLUGIN_FILES", str(tmp_path / name))
        scan_again()

    yield load
    monkeypatch.undo()
    forget_modules(tmp_path)
    scan_again()


def named_blocks() -> dict[str, str]:
    """The text of every file that has a name, by it."""
    return dict(re.findall(r"^```python (\S+\.py)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


def trained(tmp_path: Path, *changes: str, recipe: str = "digits-mlp-gan.toml") -> ganzoo.Run:
    """A short run of a recipe of this repository."""
    file = Path(__file__).parents[2] / "recipes" / recipe
    short = ("train.iterations=4", "log.every=1", "evaluate.samples=20")
    return ganzoo.train(ganzoo.load_recipe(file, *short, *changes), runs=tmp_path / "runs")


def test_examples_are_short() -> None:
    """No file of the page but the first two has thirty lines of code."""
    files = named_blocks()
    assert len(files) == 6
    for name, text in files.items():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            # Docstrings are no code.
            if isinstance(node, ast.ClassDef) and ast.get_docstring(node):
                node.body = node.body[1:]
        lines = {node.lineno for node in ast.walk(tree) if hasattr(node, "lineno")}
        assert len(lines) < 30, (name, len(lines))


@pytest.mark.parametrize("name", ["projection", "adaptive", "mine.py", "adversarial.py"])
def test_examples_keep_the_contract(load: Callable[[str], None], name: str) -> None:
    load(name)
    results = outcomes(cases(name if name.endswith(".py") else f"{name}/"))
    assert any(outcome.state == "passed" for outcome in results)
    assert not [outcome.text for outcome in results if outcome.state in ("failed", "expected")]


@pytest.mark.parametrize("condition", [True, False])
def test_a_discriminator_that_knows_classes(
    load: Callable[[str], None], tmp_path: Path, condition: bool
) -> None:
    load("projection")
    changes = ["discriminator.type=projection", *(["condition=class"] if condition else [])]
    run = trained(tmp_path, *changes)
    assert run.sample(3, label=7 if condition else None).shape == (3, 1, 8, 8)
    weights = load_file(run.folder.weights("discriminator"))
    assert ("discriminator.embedding.weight" in weights) is condition


def test_the_strength_follows_what_the_discriminator_does(load: Callable[[str], None]) -> None:
    load("adaptive")
    spec = registry.installed().find("augmentation", "adaptive-noise").spec(start=0.0, speed=0.25)
    noise = spec.build(BuildContext(sample_shape=(2,), latent_dim=2))
    steps = [step_with_logits(phase, sign) for phase, sign in (("discriminator", 1.0),) * 3]
    for number, step in enumerate(steps, start=1):
        noise.observe(step)
        assert noise.strength == 0.25 * number
    noise.observe(step_with_logits("generator", -1.0))
    assert noise.strength == 0.75
    for _ in range(4):
        noise.observe(step_with_logits("discriminator", -1.0))
    assert noise.strength == 0
    x = torch.zeros(4, 2)
    draw = noise.draw(x)
    noise.strength.fill_(0.5)
    assert torch.equal(noise(x, draw), 0.5 * draw)


def step_with_logits(phase: str, sign: float) -> Step:
    """A step on which all logits have one sign."""

    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x),), sign)

    batch = Batch(x=torch.zeros(4, 2), z=torch.zeros(4, 2))
    return Step(phase, Networks({"discriminator": Constant()}), batch)


def test_a_state_is_resumed(load: Callable[[str], None], tmp_path: Path) -> None:
    """A run that was interrupted ends as if it had not been."""
    load("adaptive")
    augmentation = 'augmentations=[{ type = "adaptive-noise", start = 0.0, speed = 0.1 }]'
    whole = trained(tmp_path / "whole", augmentation)
    with pytest.MonkeyPatch.context() as patch:
        # As after Ctrl-C, but in a known iteration.
        calls = iter([False, True])
        patch.setattr("ganzoo.engine.training.stop_requested", lambda *arguments: next(calls))
        with pytest.raises(InterruptedRun):
            trained(tmp_path / "parts", augmentation)
    (folder,) = (tmp_path / "parts").glob("runs/*/*")
    parts = ganzoo.resume(folder)
    assert parts.statistics == whole.statistics
    newest = [torch.load(run.folder.checkpoints()[0], weights_only=True) for run in (whole, parts)]
    first, second = (state["processes"][0]["parts"]["augmentations.0"] for state in newest)
    assert 0 < first["strength"] == second["strength"]


def test_one_file_with_a_number_that_changes(load: Callable[[str], None], tmp_path: Path) -> None:
    load("mine.py")
    margin = re.search(r"'(loss\.margin=.*)'", PAGE)
    assert margin is not None
    run = trained(tmp_path, "loss.type=wide-hinge", margin[1])
    margins = [row["statistics"]["loss.margin"] for row in run.statistics]
    # From 2 to 1 over the first half of iterations 0 to 3.
    assert margins == pytest.approx([2.0, 2 - 2 / 3, 1.0, 1.0])
    assert run.sample(3).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("changes", [(), ("condition=class",)], ids=["plain", "conditional"])
def test_a_further_network(
    load: Callable[[str], None], tmp_path: Path, changes: tuple[str, ...]
) -> None:
    load("adversarial.py")
    (text,) = blocks("toml")
    (tmp_path / "adversarial.toml").write_text(text)
    recipe = ganzoo.load_recipe(tmp_path / "adversarial.toml", "train.iterations=4", *changes)
    run = ganzoo.train(recipe, runs=tmp_path)
    statistics = run.statistics[-1]["statistics"]
    names = {"reconstruction/error", "critic/real", "critic/fake", "critic/total", "deception/loss"}
    assert names <= statistics.keys()
    assert run.status["steps"] == dict.fromkeys(("reconstruction", "critic", "deception"), 4)
    assert recipe.optimizers["critic"].lr == 3e-4
    # Codes are known, and so a prior is fitted to them.
    assert run.sample(3, prior="mixture").shape == (3, 1, 8, 8)


def test_sampling_as_the_page_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("python sampling")
    path = re.search(r'open_run\("(.*)"\)', code)
    assert path is not None
    run = trained(tmp_path)
    (tmp_path / path[1]).parent.mkdir(parents=True, exist_ok=True)
    run.path.rename(tmp_path / path[1])
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["images"].shape == (64, 1, 8, 8)
    assert names["between"].shape == (8, 1, 8, 8)


def test_the_remarks_of_the_page_are_said() -> None:
    """Of plain classes: the page leaves out what every declaration has."""
    place: dict[str, Any] = {"LossSpec": object, "RegularizerSpec": object, "Remark": Remark}
    (block,) = blocks("python remarks")
    exec(block, place)
    loss = place["ClippedLoss"]()
    for clip, key in ((0.01, "loss.clip"), (0.0, None)):
        loss.clip = clip
        assert loss.traits == ({"weight-clipping": "clip"} if clip else {})
        recipe = SimpleNamespace(trait={"loss.weight-clipping": key}.get)
        remarks = list(place["UnitSlope"]().check(recipe))
        assert [(each.fatal, each.hint) for each in remarks] == [
            (True, "write loss.clip = 0") for _ in range(bool(clip))
        ]
