"""`ganzoo plugin new`: what it asks, what it says, and what it does without a terminal."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]

NAME_QUESTION = "What is it called? Lower-case words joined by hyphens, such as ganzoo-wave\n"
KINDS_QUESTION = (
    "What does it offer? One or more of generator, discriminator, encoder, loss, regularizer, "
    "augmentation, schedule, dataset, prior, extractor, metric, probe, listener\n"
)
AUTHOR_QUESTION = "Whose name has the licence? By default: The authors of ganzoo-wave\n"
NEXT = """\
next:
  cd ganzoo-wave
  pip install -e ".[test]"
  pytest
  ganzoo run recipes/ganzoo-wave.toml
  ganzoo plugin check ganzoo_wave
"""


@pytest.fixture(autouse=True)
def _git_knows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{variable}", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")


@pytest.fixture
def _git_knows_ada(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ada")


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("ganzoo-asked\n"))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], io.StringIO]:
    """`answers("ganzoo-wave\\n")` is what somebody types on a terminal."""

    def answers(text: str) -> io.StringIO:
        terminal = io.StringIO(text)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", terminal)
        return terminal

    return answers


def holder(folder: str = "ganzoo-wave") -> str:
    """Whose name the licence has."""
    return (Path(folder) / "LICENSE").read_text().splitlines()[2].split(maxsplit=3)[3]


@pytest.mark.usefixtures("no_terminal")
class TestWithoutATerminal:
    def test_everything_given(self, command: Command) -> None:
        result = command("plugin", "new", "ganzoo-wave", "--kind", "loss", "--kind", "metric")
        assert (result.returncode, result.stdout, result.stderr) == (0, "ganzoo-wave\n", NEXT)
        assert holder() == "The authors of ganzoo-wave"
        assert Path("ganzoo-wave/ganzoo_wave/metric.py").is_file()

    def test_the_author(self, command: Command) -> None:
        command("plugin", "new", "ganzoo-wave", "--kind", "loss", "--author", "Ben")
        assert holder() == "Ben"

    @pytest.mark.usefixtures("_git_knows_ada")
    def test_the_author_that_git_knows(self, command: Command) -> None:
        command("plugin", "new", "ganzoo-wave", "--kind", "loss")
        assert holder() == "Ada"

    @pytest.mark.usefixtures("_git_knows_ada")
    def test_the_author_given_comes_before_gits(self, command: Command) -> None:
        command("plugin", "new", "ganzoo-wave", "--kind", "loss", "--author", "Ben")
        assert holder() == "Ben"

    def test_no_git(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        assert command("plugin", "new", "ganzoo-wave", "--kind", "loss").returncode == 0
        assert holder() == "The authors of ganzoo-wave"

    def test_another_place(self, command: Command) -> None:
        Path("my plugins").mkdir()
        result = command("plugin", "new", "ganzoo-wave", "--kind", "loss", "--folder", "my plugins")
        assert result.stdout == "my plugins/ganzoo-wave\n"
        assert "  cd 'my plugins/ganzoo-wave'\n" in result.stderr

    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ([], "NAME and --kind"),
            (["ganzoo-wave"], "--kind"),
            (["--kind", "loss"], "NAME"),
        ],
    )
    def test_what_is_missing_is_named(
        self, command: Command, given: list[str], missing: str
    ) -> None:
        result = command("plugin", "new", *given)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            f"missing {missing}, and there is no terminal to ask on\n"
            "  = for example: ganzoo plugin new ganzoo-wave --kind generator --kind loss\n"
        )
        assert not any(Path().iterdir())

    def test_a_bad_name(self, command: Command) -> None:
        result = command("plugin", "new", "Wave")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            "'Wave' cannot be the name of a plugin: "
            "it is not made of lower-case words joined by hyphens\n"
            "  = 'my-wave' would do\n"
        )

    def test_a_bad_kind(self, command: Command) -> None:
        result = command("plugin", "new", "ganzoo-wave", "--kind", "optimizer")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("no kind of component is called 'optimizer'\n")

    def test_twice(self, command: Command) -> None:
        arguments = ("plugin", "new", "ganzoo-wave", "--kind", "loss")
        command(*arguments)
        result = command(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            "ganzoo-wave is there already, and nothing is overwritten\n"
            "  = take another name, or another place\n"
        )


class TestOnATerminal:
    def test_everything_is_asked(
        self, command: Command, answers: Callable[[str], io.StringIO]
    ) -> None:
        terminal = answers("ganzoo-wave\nmetric, loss\nAda Byron\n")
        result = command("plugin", "new")
        assert (result.returncode, result.stdout) == (0, "ganzoo-wave\n")
        assert result.stderr == NAME_QUESTION + KINDS_QUESTION + AUTHOR_QUESTION + NEXT
        assert terminal.read() == ""
        assert holder() == "Ada Byron"
        assert Path("ganzoo-wave/ganzoo_wave/loss.py").is_file()
        assert Path("ganzoo-wave/ganzoo_wave/metric.py").is_file()

    def test_bad_answers_are_explained_and_asked_for_again(
        self, command: Command, answers: Callable[[str], io.StringIO]
    ) -> None:
        answers("class\n ganzoo-wave \n\noptimizer\nloss\n\n")
        result = command("plugin", "new")
        assert result.returncode == 0
        kinds = (
            "  = there is 'generator', 'discriminator', 'encoder', 'loss', 'regularizer', "
            "'augmentation', 'schedule', 'dataset', 'prior', 'extractor', 'metric', 'probe' or "
            "'listener'\n"
        )
        assert result.stderr == "".join(
            [
                NAME_QUESTION,
                "'class' cannot be the name of a plugin: 'class' is a word of the Python "
                "language\n  = 'my-class' would do\n",
                NAME_QUESTION,
                KINDS_QUESTION,
                "a plugin offers at least one component\n" + kinds,
                KINDS_QUESTION,
                "no kind of component is called 'optimizer'\n" + kinds,
                KINDS_QUESTION,
                AUTHOR_QUESTION,
                NEXT,
            ]
        )
        assert holder() == "The authors of ganzoo-wave"

    @pytest.mark.usefixtures("_git_knows_ada")
    def test_only_what_is_missing_is_asked(
        self, command: Command, answers: Callable[[str], io.StringIO]
    ) -> None:
        answers("schedule\n")
        result = command("plugin", "new", "ganzoo-wave")
        assert (result.returncode, result.stderr) == (0, KINDS_QUESTION + NEXT)

    def test_a_name_that_is_given_is_checked_before_anything_is_asked(
        self, command: Command, answers: Callable[[str], io.StringIO]
    ) -> None:
        answers("")
        result = command("plugin", "new", "class")
        assert result.returncode == 2
        assert "What" not in result.stderr

    def test_no_answer_makes_nothing(
        self, command: Command, answers: Callable[[str], io.StringIO]
    ) -> None:
        answers("ganzoo-wave\n")
        result = command("plugin", "new")
        assert (result.returncode, result.stdout) == (1, "")
        assert not any(Path().iterdir())


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys\n"
        "from ganzoo.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "import json\n"
        "print(json.dumps(sorted({'torch', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules))))"
    )
    arguments = ["plugin", "new", "ganzoo-wave", "--kind", "generator", "--kind", "metric"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    made, modules = ran.stdout.splitlines()
    assert made == "ganzoo-wave"
    assert json.loads(modules) == []
