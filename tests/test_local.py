"""Plugins that are files, named by `--plugin` or by the environment."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sites import OFFER, Site, forget_modules

from ganzoo import local, plugins
from ganzoo.errors import UserError
from ganzoo.plugins import Plugin
from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.registry import Registry

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """`put("mine.py", source)` writes a file; nothing is named yet."""
    monkeypatch.setenv(local.VARIABLE, "")

    def put(name: str, source: str = OFFER) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        return file

    yield put
    forget_modules(tmp_path)


def load(*paths: Path) -> list[Plugin]:
    """Name plugins and load them, and no others."""
    local.add(paths)
    return list(plugins.load([], local.named()).all)


def refusal(*paths: Path) -> str:
    with pytest.raises(UserError) as caught:
        local.add(paths)
    assert caught.value.exit_code == 2
    return str(caught.value)


class TestNames:
    def test_a_file(self, put: Put) -> None:
        file = put("mine.py")
        (plugin,) = load(file)
        assert (plugin.name, plugin.distribution, plugin.error) == ("mine.py", "mine.py", None)
        assert (plugin.file, plugin.module) == (str(file), "ganzoo.local.mine")
        assert [(kind, spec.type) for kind, spec in plugin.components] == [("generator", "offered")]
        assert re.fullmatch("[0-9a-f]{8}", plugin.version)
        assert plugin.label == f"mine.py {plugin.version}"

    def test_a_package_imports_its_own_files(self, put: Put) -> None:
        put(
            "parts/__init__.py", "from .inner.names import NAME\n" + OFFER.replace('"off', "NAME #")
        )
        put("parts/inner/__init__.py", "")
        put("parts/inner/names.py", "NAME = 'from-a-file'\n")
        (plugin,) = load(put("parts/unused.py", "1 / 0\n").parent)
        assert plugin.error is None
        assert (plugin.name, plugin.module) == ("parts/", "ganzoo.local.parts")
        assert [spec.type for _, spec in plugin.components] == ["from-a-file"]

    def test_a_package_may_be_named_by_its_first_file(self, put: Put) -> None:
        put("parts/names.py", "NAME = 1\n")
        first = put("parts/__init__.py", "from .names import NAME\n" + OFFER)
        assert [(plugin.name, plugin.error) for plugin in load(first, first.parent)] == [
            ("parts/", None)
        ]

    def test_a_folder_of_files(self, put: Put) -> None:
        for name in ("b.py", "a.py", "_helper.py", ".#a.py", "notes.txt", "deeper/c.py"):
            folder = put(f"several/{name}").parent
        found = load(folder.parent)
        assert [plugin.name for plugin in found] == ["a.py", "b.py"]
        assert [plugin.error for plugin in found] == [None, None]

    def test_any_file_name_will_do(self, put: Put) -> None:
        (plugin,) = load(put("my gan-2.0.py"))
        assert (plugin.name, plugin.error) == ("my gan-2.0.py", None)
        assert plugin.module == "ganzoo.local.my_gan_2_0"

    def test_no_other_module_is_hidden(self, put: Put) -> None:
        (plugin,) = load(put("colorsys.py"))
        assert plugin.error is None
        assert not hasattr(importlib.import_module("colorsys"), "Offered")

    def test_nothing_is_loaded_that_is_not_named(self, put: Put, tmp_path: Path) -> None:
        put("mine.py")
        assert [plugin for plugin in plugins.scan().all if plugin.file] == []
        with pytest.raises(ModuleNotFoundError, match=r"No module named 'ganzoo\.local\.mine'"):
            importlib.import_module("ganzoo.local.mine")


class TestVersion:
    def test_it_changes_with_the_content_alone(self, put: Put) -> None:
        def version(text: str, name: str = "mine.py") -> str:
            return local.LocalPlugin(put(name, text)).version

        assert version("a = 1\n") != version("a = 2\n")
        assert version("a = 1\n") == version("a = 1\n")

    def test_every_source_of_a_package_counts(self, put: Put) -> None:
        put("parts/__init__.py")
        package = local.LocalPlugin(put("parts/networks.py", "a = 1\n").parent)
        versions = {package.version}
        put("parts/networks.py", "a = 2\n")
        versions.add(package.version)
        put("parts/networks.py", "a = 1\n").rename(package.path / "losses.py")
        versions.add(package.version)
        assert len(versions) == 3
        put("parts/__pycache__/networks.pyc", "bytecode")
        assert package.version in versions

    def test_what_runs_is_what_was_hashed(self, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bytecode of the same second and the same size would be taken for that of the file."""
        monkeypatch.setattr(sys, "dont_write_bytecode", False)
        first = put("mine.py", "value = 1\n")
        stamp = first.stat()
        module = load(first)[0].module
        assert sys.modules[module].value == 1
        assert not (first.parent / "__pycache__").exists()
        put("mine.py", "value = 2\n")
        os.utime(first, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        del sys.modules[module]
        load(first)
        assert sys.modules[module].value == 2


class TestRefusals:
    HINT = "\n  = --plugin takes a .py file, a package, or a folder of .py files"

    def test_a_file_that_is_not_there(self, put: Put, tmp_path: Path) -> None:
        path = tmp_path / "mine.py"
        assert refusal(path) == f"the plugin file {path} does not exist{self.HINT}"

    def test_a_file_that_is_no_python(self, put: Put) -> None:
        path = put("recipe.toml")
        assert refusal(path) == f"the plugin file {path} is no .py file{self.HINT}"

    def test_a_folder_without_plugins(self, put: Put) -> None:
        folder = put("several/_helper.py").parent
        assert refusal(folder) == f"the folder {folder} holds no plugin file{self.HINT}"

    @pytest.mark.parametrize("named", ["pipe.py", "."])
    def test_a_pipe_is_never_waited_for(self, named: str, put: Put, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.py")
        assert ("is no .py file" if named != "." else "holds no plugin file") in refusal(
            tmp_path / named
        )

    def test_a_pipe_in_a_package_is_never_waited_for(self, put: Put) -> None:
        package = put("mine/__init__.py").parent
        os.mkfifo(package / "pipe.py")
        (plugin,) = load(package)
        assert (plugin.version, plugin.error) == ("unknown", None)

    def test_a_file_of_any_size(self, put: Put) -> None:
        file = put("mine.py")
        with file.open("r+b") as out:
            out.truncate(2**40)  # a hole
        (plugin,) = load(file)
        assert "it is larger than 1 MiB" in str(plugin.error)

    @pytest.mark.parametrize("second", ["b/mine-too.py", "b/mine_too/__init__.py"])
    def test_two_of_one_name(self, put: Put, second: str) -> None:
        first = put("a/mine_too.py")
        other = put(second)
        other = other.parent if other.name == "__init__.py" else other
        assert refusal(first, other) == (
            f"two plugin files have the same name: {first} and {other}\n  = rename one of them"
        )

    def test_a_path_that_cannot_be_handed_on(self, put: Put) -> None:
        path = put(f"mi{os.pathsep}ne.py")
        assert refusal(path) == (
            f"the path of a plugin file cannot hold '{os.pathsep}': {path}\n"
            "  = rename it, or copy the file elsewhere"
        )

    def test_the_environment_is_held_to_the_same(
        self, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(local.VARIABLE, str(tmp_path / "mine.py"))
        with pytest.raises(UserError, match=r"the plugin file .* does not exist"):
            plugins.scan()


class TestEnvironment:
    def test_paths_are_absolute_and_there_once(
        self, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(put("a/mine.py").parent)
        put("b/other.py")
        local.add([Path("mine.py")])
        local.add([Path("../b/other.py"), Path("./mine.py")])
        assert os.environ[local.VARIABLE].split(os.pathsep) == [
            str(tmp_path / "a" / "mine.py"),
            str(tmp_path / "b" / "other.py"),
        ]
        monkeypatch.chdir("/")
        assert [plugin.name for plugin in local.named()] == ["mine.py", "other.py"]

    def test_a_worker_unpickles_what_a_plugin_made(self, put: Put) -> None:
        """Workers that read data are handed objects of classes that a plugin file defines."""
        (plugin,) = load(put("mine.py"))
        program = "import pickle, sys; print(type(pickle.load(sys.stdin.buffer)))"
        result = subprocess.run(
            [sys.executable, "-c", program],
            input=pickle.dumps(plugin.components[0][1]()),
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert result.stdout.decode() == "<class 'ganzoo.local.mine.Offered'>\n"

    def test_another_process_has_the_same_plugin(self, put: Put) -> None:
        (plugin,) = load(put("mine.py"))
        program = (
            "from ganzoo import registry\n"
            "print(registry.installed().find('generator', 'mine.py:offered').plugin.label)"
        )
        command = [sys.executable, "-c", program]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert result.stdout == f"{plugin.label}\n"


class TestBroken:
    @pytest.mark.parametrize(
        ("source", "error"),
        [
            (
                "1 / 0\n",
                "cannot be imported ({file}): ZeroDivisionError: division by zero ({file}:1)",
            ),
            (
                "x = (\n",
                "cannot be imported ({file}): SyntaxError: '(' was never closed (mine.py, line 1)",
            ),
            ("import sys; sys.exit()\n", "cannot be imported ({file}): SystemExit:  ({file}:1)"),
            (
                OFFER.replace("ganzoo_generators", "ganzoo_generator"),
                "cannot be registered: unknown hook 'ganzoo_generator'; "
                "did you mean 'ganzoo_generators'?",
            ),
        ],
        ids=["an exception", "a syntax error", "an exit", "a misspelt hook"],
    )
    def test_it_is_an_error_since_it_was_named(self, put: Put, source: str, error: str) -> None:
        file = put("mine.py", source)
        local.add([file])
        found = plugins.load([], local.named())
        (plugin,) = found.broken
        assert found.warnings == ()
        with pytest.raises(UserError) as caught:
            found.refuse()
        assert str(caught.value) == (
            f"plugin mine.py ({plugin.version}) {error.format(file=file)}\n"
            f"  = mend {file}, or leave it out of --plugin"
        )

    def test_it_costs_only_itself(self, put: Put, site: Site) -> None:
        put("several/good.py")
        site.install("ganzoo-faulty", "raise ValueError\n")
        folder = put("several/wrong.py", "1 / 0\n").parent
        local.add([folder])
        found = {plugin.name: bool(plugin.error) for plugin in plugins.scan().all}
        assert (found["good.py"], found["wrong.py"], found["ganzoo-faulty:parts"]) == (
            *(False, True, True),
        )

    def test_where_all_broken_plugins_are_errors_each_is_named_once(
        self, put: Put, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(plugins.STRICT, "1")
        site.install("ganzoo-faulty", "raise ValueError\n")
        local.add([put("mine.py", "1 / 0\n")])
        with pytest.raises(UserError) as caught:
            plugins.scan().refuse()
        assert caught.value.message.count("ganzoo-faulty:parts") == 1
        assert caught.value.message.count("plugin mine.py ") == 1
        assert (caught.value.hint or "").count("\n") == 1

    def test_a_file_without_hooks_is_a_warning(self, put: Put) -> None:
        local.add([put("mine.py", OFFER.replace("@hookimpl", ""))])
        found = plugins.load([], local.named())
        (plugin,) = found.all
        assert found.warnings == (
            f"plugin mine.py ({plugin.version}) has a function ganzoo_generators "
            "that is not marked with @hookimpl",
        )
        found.refuse()
        local.add([put("other.py", "def generators(): ...")])
        _, plugin = plugins.load([], local.named()).all
        assert plugin.notice == "implements no hook of ganzoo: mark its functions with @hookimpl"

    def test_a_file_that_cannot_be_read(self, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
        file = put("mine.py")

        def refuse(*_: object) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(local, "read_regular", refuse)
        monkeypatch.setattr(local._Loader, "get_data", refuse)
        local.add([file])
        (plugin,) = plugins.load([], local.named()).broken
        assert plugin.version == "unknown"
        assert plugin.complaint.startswith(
            f"plugin mine.py (unknown) cannot be imported ({file}): "
        )


def test_the_list_of_allowed_plugins_is_for_installed_ones(put: Put) -> None:
    local.add([put("mine.py")])
    (plugin,) = plugins.load([], local.named(), allowed=[]).all
    assert (plugin.left_out, plugin.error) == (False, None)


def test_qualified_names_tell_a_file_from_others(put: Put, site: Site) -> None:
    site.install("ganzoo-other")
    put("parts/__init__.py")
    local.add([put("mine.py"), put("parts/__init__.py").parent])
    registry = Registry([*site.load().all, *plugins.load([], local.named()).all])
    for name in ("mine.py", "parts/", "ganzoo-other"):
        assert registry.find("generator", f"{name}:offered").plugin.distribution == name
    with pytest.raises(UserError) as caught:
        registry.find("generator", "offered")
    hint = "write 'ganzoo-other:offered', 'mine.py:offered' or 'parts/:offered'"
    assert caught.value.hint == hint


class TestRecipesOfRuns:
    """A run's recipe names types of a plugin file, which the command may not name."""

    RECIPE = '[generator]\ntype = "offered"\n'

    def error(self, put: Put, environment: str) -> RecipeError:
        put("run/environment.json", environment)
        with pytest.raises(RecipeError) as caught:
            load_recipe(put("run/recipe.toml", self.RECIPE), registry=Registry([]))
        return caught.value

    def test_the_hint_says_which_plugin_files_the_run_was_made_with(self, put: Put) -> None:
        files = '{"mine.py": "/far away/mine.py", "other.py": "/near/other.py"}'
        error = self.error(put, f'{{"plugin_files": {files}}}')
        assert str(error).endswith(
            "nothing was run\n"
            "  = the run was made with the plugin file mine.py: add --plugin '/far away/mine.py'\n"
            "  = the run was made with the plugin file other.py: add --plugin /near/other.py"
        )

    def test_what_is_named_is_not_asked_for(self, put: Put) -> None:
        local.add([put("elsewhere/mine.py")])
        error = self.error(put, '{"plugin_files": {"mine.py": "/far/mine.py"}}')
        assert not error.hint

    @pytest.mark.parametrize(
        "environment",
        [
            "",
            "{}",
            '{"plugins": {}}',
            '{"plugin_files": {}}',
            "[]",
            '{"plugin_files": 3}',
            "[" * 10**5,
        ],
    )
    def test_other_recipes_get_no_hint(self, put: Put, environment: str) -> None:
        assert str(self.error(put, environment)).endswith("; nothing was run")

    def test_a_pipe_beside_a_recipe_is_never_waited_for(self, put: Put, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "environment.json")
        with pytest.raises(RecipeError, match="nothing was run"):
            load_recipe(put("recipe.toml", ""))
