"""What a new plugin consists of, and where it is put."""

from __future__ import annotations

import datetime
import doctest
import itertools
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

import ganzoo.scaffold.package
from ganzoo.errors import UserError
from ganzoo.scaffold import new_plugin
from ganzoo.scaffold.package import bounds, class_name
from ganzoo.specs import KINDS

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "ganzoo" / "scaffold" / "templates"

COMMON = {
    *(".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml"),
    *("tests/test_conformance.py", "tests/test_recipes.py"),
    *("ganzoo_wave/__init__.py", "ganzoo_wave/py.typed"),
}


def files(folder: Path) -> dict[str, str]:
    """The text of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


class TestFiles:
    @pytest.mark.parametrize("kind", KINDS)
    def test_of_every_kind(self, kind: str, tmp_path: Path) -> None:
        made = new_plugin("ganzoo-wave", [kind], tmp_path, author="Ada")
        assert made == tmp_path / "ganzoo-wave"
        found = files(made)
        assert found.keys() == COMMON | {f"ganzoo_wave/{kind}.py", "recipes/ganzoo-wave.toml"}
        for path, text in found.items():
            assert text.endswith("\n") or path.endswith("py.typed"), path
            assert "{{" not in text.replace("${{ matrix.python }}", ""), path
            assert "{%" not in text, path

    def test_of_several_kinds(self, tmp_path: Path) -> None:
        found = files(new_plugin("ganzoo-wave", ["metric", "loss"], tmp_path))
        parts = {"ganzoo_wave/loss.py", "ganzoo_wave/metric.py", "recipes/ganzoo-wave.toml"}
        assert found.keys() == COMMON | parts
        declarations = found["ganzoo_wave/__init__.py"]
        assert declarations.startswith('"""Loss and metric for ganzoo.\n')
        assert declarations.index("class WaveLoss") < declarations.index("class WaveMetric")
        # The stranger's own code and tests have no line that is not needed.
        assert len(found["tests/test_conformance.py"].split("\n\n\n")[1].splitlines()) == 3

    @pytest.mark.parametrize("kind", ["encoder", "prior"])
    def test_what_takes_part_in_no_game(self, kind: str, tmp_path: Path) -> None:
        found = files(new_plugin("ganzoo-wave", [kind, "loss"], tmp_path))
        assert {path for path in found if path.startswith("recipes/")} == {
            "recipes/ganzoo-wave.toml",
            "recipes/ganzoo-wave-autoencoder.toml",
        }

    def test_a_name_without_prefix_is_the_type_and_the_package(self, tmp_path: Path) -> None:
        found = files(new_plugin("sea-wave", ["schedule"], tmp_path))
        project = tomllib.loads(found["pyproject.toml"])["project"]
        assert project["entry-points"]["ganzoo"] == {"sea-wave": "sea_wave"}
        assert 'type: ClassVar[str] = "sea-wave"' in found["sea_wave/__init__.py"]

    def test_the_project(self, tmp_path: Path) -> None:
        found = files(new_plugin("ganzoo-wave", ["loss"], tmp_path, author='Ada "Wave" Ünal'))
        project = tomllib.loads(found["pyproject.toml"])["project"]
        assert project["authors"] == [{"name": 'Ada "Wave" Ünal'}]
        assert project["dependencies"] == [f"ganzoo-core{bounds(version('ganzoo-core'))}"]
        assert project["entry-points"]["ganzoo"] == {"wave": "ganzoo_wave"}
        assert project["optional-dependencies"]["test"] == [
            "pytest>=8",
            "ganzoo-data",
            "ganzoo-mlp",
        ]
        assert project["description"] == "Loss for ganzoo"

    def test_the_workflow(self, tmp_path: Path) -> None:
        found = files(new_plugin("ganzoo-wave", ["loss"], tmp_path))
        workflow = yaml.safe_load(found[".github/workflows/test.yml"])
        job = workflow["jobs"]["test"]
        assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
        python = job["steps"][1]["with"]["python-version"]
        assert python == "${{ matrix.python }}"
        commands = [step["run"] for step in job["steps"] if "run" in step]
        assert commands[-2:] == ['pip install --editable ".[test]"', "pytest"]

    @pytest.mark.parametrize(
        ("author", "holder"),
        [
            ("Ada  of\nthe Sea ", "Ada of the Sea"),
            (" ", "The authors of ganzoo-wave"),
            (None, "The authors of ganzoo-wave"),
        ],
    )
    def test_the_licence(self, author: str | None, holder: str, tmp_path: Path) -> None:
        found = files(new_plugin("ganzoo-wave", ["loss"], tmp_path, author=author))
        first, _, copyright, *rest = found["LICENSE"].splitlines()
        assert (first, copyright) == (
            "MIT License",
            f"Copyright (c) {datetime.date.today().year} {holder}",
        )
        assert rest == (ROOT / "LICENSE").read_text().splitlines()[3:]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0", ">=0.1,<0.2"),
        ("0.9.3", ">=0.9,<0.10"),
        ("1.0.0", ">=1.0,<2"),
        ("12.34", ">=12.34,<13"),
        ("0.2.0.dev3", ">=0.2.0.dev3,<0.3"),
        ("0.2.0rc1+local", ">=0.2.0rc1,<0.3"),
        ("0.2.0+local", ">=0.2,<0.3"),
    ],
)
def test_bounds(version: str, expected: str) -> None:
    assert bounds(version) == expected


@pytest.mark.parametrize(
    ("component_type", "kind", "expected"),
    [
        ("wave", "generator", "WaveGenerator"),
        ("wave-generator", "generator", "WaveGenerator"),
        ("generator", "generator", "GeneratorGenerator"),
        ("2d-wave", "loss", "Ganzoo2dWaveLoss"),
        ("coding", "loss", "CodingLoss"),
    ],
)
def test_class_names(component_type: str, kind: str, expected: str) -> None:
    assert class_name(component_type, kind) == expected


@pytest.mark.parametrize("name", ["ganzoo-coding", "loss", "ganzoo-loss-spec"])
def test_a_class_may_have_the_name_of_one_of_ganzoos(name: str, tmp_path: Path) -> None:
    made = new_plugin(name, ["loss"], tmp_path)
    code = f"import {made.name.replace('-', '_')} as made; print(made.ganzoo_losses())"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=made, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plugins of every kind alone, of every two and of all, and odd names."""
    folder = tmp_path_factory.mktemp("made") / "plugins"
    folder.mkdir()
    pairs = itertools.combinations(KINDS, 2)
    for number, kinds in enumerate([*((kind,) for kind in KINDS), *pairs, tuple(KINDS)]):
        new_plugin(f"ganzoo-wave-{number}", kinds, folder)
    new_plugin("ganzoo-" + "-".join(["wavelet"] * 5), KINDS, folder)
    # Its class has the name of one of the API's.
    new_plugin("ganzoo-coding", ["loss"], folder)
    return folder


class TestStyle:
    """Strangers learn from what is written: it has the style of this repository."""

    @pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=" ".join)
    @pytest.mark.parametrize("settings", ["the repository's", "its own"])
    def test_ruff(self, made: Path, command: list[str], settings: str) -> None:
        config = ["--config", str(ROOT / "pyproject.toml")] if settings != "its own" else []
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *config, "."],
            cwd=made.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout

    @pytest.mark.scaffold
    def test_mypy(self, made: Path, tmp_path: Path) -> None:
        """In strict mode, with the core as a package that is installed."""
        (package,) = made.glob("ganzoo-wavelet-*")
        options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path)]
        ran = subprocess.run(
            [sys.executable, "-m", "mypy", *options, package.name.replace("-", "_")],
            cwd=package,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout

    def test_prose_has_lines_of_the_same_length(self, made: Path) -> None:
        for file in made.glob("ganzoo-wave-*/**/*.toml"):
            if "optional-dependencies" not in (text := file.read_text()):
                assert max(map(len, text.splitlines())) <= 100, file


class TestPlaces:
    def test_an_empty_folder_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "ripple").mkdir()
        assert (new_plugin("ripple", ["loss"], tmp_path) / "LICENSE").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["ripple"]

    @pytest.mark.parametrize(
        "there", ["a file", "a folder", "a link to an empty folder", "a link to nothing"]
    )
    def test_nothing_is_overwritten(self, there: str, tmp_path: Path) -> None:
        target, empty = tmp_path / "ripple", tmp_path / "empty"
        if there == "a file":
            target.write_text("mine")
        elif there == "a folder":
            target.mkdir()
            (target / ".mine").write_text("mine")
        else:
            if there == "a link to an empty folder":
                empty.mkdir()
            target.symlink_to(empty)
        before = files(tmp_path)
        with pytest.raises(UserError) as caught:
            new_plugin("ripple", ["loss"], tmp_path)
        assert caught.value.message == f"{target} is there already, and nothing is overwritten"
        assert caught.value.hint == "take another name, or another place"
        assert files(tmp_path) == before

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as caught:
            new_plugin("ripple", ["loss"], tmp_path / "none")
        assert caught.value.message == f"there is no folder {tmp_path / 'none'}"
        assert caught.value.hint == f"make it with: mkdir -p {tmp_path / 'none'}"

    @pytest.fixture
    def full_disk(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """No space is left after a few files."""
        write, left = Path.write_text, iter(range(4))

        def write_text(path: Path, *arguments: object, **keywords: object) -> int:
            if next(left, None) is None:
                raise OSError(28, os.strerror(28))
            return write(path, *arguments, **keywords)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", write_text)
            yield

    @pytest.mark.usefixtures("full_disk")
    def test_a_failure_leaves_nothing_behind(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as caught:
            new_plugin("ripple", ["loss"], tmp_path)
        assert (
            caught.value.message == f"cannot write {tmp_path / 'ripple'}: No space left on device"
        )
        assert not any(tmp_path.iterdir())

    def test_what_comes_into_being_meanwhile_is_not_overwritten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = Path.rename

        def rename_late(path: Path, target: Path) -> Path:
            target.mkdir()
            (target / "mine").write_text("mine")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", rename_late)
        with pytest.raises(UserError, match=r"^cannot write .*/ripple: Directory not empty"):
            new_plugin("ripple", ["loss"], tmp_path)
        assert files(tmp_path) == {"ripple/mine": "mine"}

    def test_others_may_read_it(self, tmp_path: Path) -> None:
        (tmp_path / "plain").mkdir()
        made = new_plugin("ripple", ["loss"], tmp_path)
        assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE(
            (tmp_path / "plain").stat().st_mode
        )


def test_the_example_in_the_docstring(tmp_path: Path) -> None:
    (test,) = [
        test
        for test in doctest.DocTestFinder().find(
            ganzoo.scaffold.package, extraglobs={"tmp": tmp_path}
        )
        if test.examples
    ]
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_every_template_is_part_of_the_core() -> None:
    """What the wheel leaves out would be missing where the core is not editable."""
    packed = {
        ROOT / file.relative_path for file in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    templates = [path for path in TEMPLATES.rglob("*") if path.is_file()]
    assert len(templates) > 20
    assert set(templates) <= packed


def test_every_kind_has_its_templates() -> None:
    for folder in ("declarations", "parts"):
        assert {path.name for path in (TEMPLATES / folder).iterdir()} == {
            f"{kind}.py.j2" for kind in KINDS
        }
