"""Names and kinds that a new plugin cannot have, and what is said about each."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from ganzoo import registry
from ganzoo.errors import UserError
from ganzoo.registry import Registry
from ganzoo.scaffold import check_kinds, check_name, new_plugin
from ganzoo.specs import KINDS

WORDS = "it is not made of lower-case words joined by hyphens"
DIGIT = "it begins with a digit, and a Python package cannot"
OWN = "it is one of ganzoo's own"
MLP = f"ganzoo-mlp {version('ganzoo-mlp')} offers a generator 'mlp' already"
ALL_KINDS = (
    "'generator', 'discriminator', 'encoder', 'loss', 'regularizer', 'augmentation', "
    "'schedule', 'dataset', 'prior', 'extractor', 'metric', 'probe' or 'listener'"
)

REFUSED = [
    ("ganzoo_wave", WORDS, "ganzoo-wave"),
    ("GanzooWave2D", WORDS, "ganzoo-wave2-d"),
    ("Wäve form!", WORDS, "wave-form"),
    ("-sea-wave-", WORDS, "sea-wave"),
    ("wave--form", WORDS, "wave-form"),
    ("sea-wave\n", WORDS, "sea-wave"),
    ("../sea-wave", WORDS, "sea-wave"),
    ("", WORDS, "my-plugin"),
    ("波", WORDS, "my-plugin"),
    ("2d-wave", DIGIT, "my-2d-wave"),
    ("class", "'class' is a word of the Python language", "my-class"),
    ("ganzoo", OWN, "my-ganzoo"),
    ("ganzoo-core", OWN, "my-core"),
    ("ganzoo-mlp", OWN, "my-mlp"),
    (
        "tests",
        "the package would lie in the folder tests, which is there for something else",
        "my-tests",
    ),
    ("test", "the package would hide Python's own module test", "my-test"),
    ("wave", "the package would hide Python's own module wave", "my-wave"),
    ("pytest-timeout", f"pytest-timeout {version('pytest-timeout')} is installed", None),
    ("sklearn", "the package would hide the installed module sklearn", "my-sklearn"),
    ("mlp", MLP, "my-mlp"),
]


@pytest.mark.parametrize(("name", "problem", "better"), REFUSED)
def test_names_that_are_refused(
    name: str, problem: str, better: str | None, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        new_plugin(name, ["generator"], tmp_path)
    better = better or f"my-{name}"
    assert caught.value.message == f"'{name}' cannot be the name of a plugin: {problem}"
    assert caught.value.hint == f"'{better}' would do"
    assert not any(tmp_path.iterdir())
    assert new_plugin(better, ["generator"], tmp_path) == tmp_path / better


@pytest.mark.parametrize("name", ["ripple", "ganzoo-wave", "wave-2d", "my-mlp", "x"])
def test_names_that_are_good(name: str) -> None:
    check_name(name, KINDS)


class TestTypes:
    """A type is taken only among components of the same kind."""

    def test_by_the_core(self) -> None:
        with pytest.raises(UserError) as caught:
            check_name("ganzoo-minimax", ["metric", "loss"])
        assert caught.value.message == (
            "'ganzoo-minimax' cannot be the name of a plugin: "
            f"ganzoo-core {version('ganzoo-core')} offers a loss 'minimax' already"
        )
        assert caught.value.hint == "'my-minimax' would do"

    def test_of_another_kind(self) -> None:
        check_name("ganzoo-minimax", ["metric", "generator"])

    def test_by_a_plugin_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "installed", lambda: Registry([]))
        with pytest.raises(UserError) as caught:
            check_name("ring", ["dataset"])
        assert caught.value.message == (
            "'ring' cannot be the name of a plugin: ganzoo-data offers a dataset 'ring' already"
        )

    def test_by_a_plugin_that_was_made_before(
        self, use: Callable[..., Path], tmp_path: Path
    ) -> None:
        use("ganzoo-ripple", "loss")
        with pytest.raises(UserError) as caught:
            new_plugin("ripple", ["loss"], tmp_path)
        assert caught.value.message == (
            "'ripple' cannot be the name of a plugin: "
            "ganzoo-ripple 0.1.0 offers a loss 'ripple' already"
        )
        assert caught.value.hint == "'my-ripple' would do"


class TestModulesInTheWorkingDirectory:
    """As `python -m ganzoo` sees them."""

    @pytest.fixture(autouse=True)
    def _own_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)

    def test_a_file_would_be_hidden(self) -> None:
        Path("ripple.py").touch()
        with pytest.raises(UserError, match="would hide the installed module ripple\n"):
            check_name("ripple")

    def test_the_folder_of_the_plugin_itself_is_none(self) -> None:
        Path("ripple").mkdir()
        check_name("ripple")
        with pytest.raises(UserError, match="would hide the installed module ripple\n"):
            check_name("ripple", folder=Path("elsewhere"))


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(UserError) as caught:
        check_kinds(["loss", "optimizer"])
    assert caught.value.message == "no kind of component is called 'optimizer'"
    assert caught.value.hint == f"there is {ALL_KINDS}"


def test_no_kind_at_all() -> None:
    with pytest.raises(UserError) as caught:
        check_kinds([])
    assert caught.value.message == "a plugin offers at least one component"
    assert caught.value.hint == f"there is {ALL_KINDS}"


def test_kinds_come_in_order_and_once() -> None:
    assert check_kinds(["metric", "loss", "metric"]) == ["loss", "metric"]
