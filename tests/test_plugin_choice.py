"""Which plugins are loaded, and which of them are an error."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from sites import OFFER, Site

from ganzoo import plugins
from ganzoo.errors import RunError, UserError
from ganzoo.plugins import Plugins


def states(loaded: Plugins) -> dict[str, str]:
    """What became of each plugin."""
    return {
        plugin.name: "left out" if plugin.left_out else "broken" if plugin.error else "loaded"
        for plugin in loaded.all
    }


class TestAllowList:
    @pytest.fixture
    def three(self, site: Site) -> Site:
        site.install("ganzoo-core")
        site.install("ganzoo-first")
        site.install(
            "ganzoo-second",
            entry_points="[ganzoo]\nnear = ganzoo_second\nfar = ganzoo_second_far\n",
        )
        (site.folder / "ganzoo_second_far.py").write_text(OFFER.replace('"offered"', '"far"'))
        return site

    @pytest.mark.parametrize(
        ("allowed", "loaded"),
        [
            pytest.param(None, {"first:parts", "second:near", "second:far"}, id="no list"),
            pytest.param([], set(), id="an empty list"),
            pytest.param(["ganzoo-first"], {"first:parts"}, id="a distribution"),
            pytest.param(["Ganzoo_Second"], {"second:near", "second:far"}, id="spelt otherwise"),
            pytest.param(["ganzoo-second:far"], {"second:far"}, id="an entry point"),
            pytest.param(["ganzoo_second:far"], {"second:far"}, id="both spelt otherwise"),
            pytest.param(
                ["ganzoo-core", "ganzoo-first", "ganzoo-second:near"],
                {"first:parts", "second:near"},
                id="several, with the core",
            ),
        ],
    )
    def test_only_what_is_allowed_is_loaded_and_always_the_core(
        self, three: Site, allowed: list[str] | None, loaded: set[str]
    ) -> None:
        found = three.load(allowed=allowed)
        assert states(found) == {
            "ganzoo-core:parts": "loaded",
            **{
                f"ganzoo-{name}": "loaded" if name in loaded else "left out"
                for name in ("first:parts", "second:far", "second:near")
            },
        }
        assert found.warnings == ()
        assert found.broken == ()
        assert ("ganzoo_first" in sys.modules) == ("first:parts" in loaded)

    def test_what_is_left_out_is_not_imported_and_says_so(self, three: Site) -> None:
        three.install("ganzoo-faulty", "raise SystemExit('never imported')\n", version="2.0")
        found = three.load(allowed=["ganzoo-first"])
        plugin = next(each for each in found.all if each.distribution == "ganzoo-faulty")
        assert plugin.complaint == (
            "plugin ganzoo-faulty:parts (2.0) is not allowed by GANZOO_PLUGINS"
        )
        assert (plugin.components, plugin.load_ms, plugin.imports_torch) == ((), 0.0, None)
        assert found.broken == ()

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("ganzoo-frist", "; did you mean 'ganzoo-first'?"),
            ("first", "; did you mean 'ganzoo-first'?"),
            ("ganzoo-second:nar", "; did you mean 'ganzoo-second:near' or 'ganzoo-second:far'?"),
            ("ganzoo-second:", "; did you mean 'ganzoo-second:far' or 'ganzoo-second:near'?"),
            ("numpy", ""),
        ],
    )
    def test_a_name_that_is_not_installed_is_a_warning(
        self, three: Site, name: str, meant: str
    ) -> None:
        found = three.load(allowed=[name, "ganzoo-first", name])
        assert found.warnings == (
            f"GANZOO_PLUGINS names '{name}', and no such plugin is installed{meant}",
        )
        assert states(found)["ganzoo-first:parts"] == "loaded"

    @pytest.mark.parametrize(
        ("value", "first", "second"),
        [
            (None, "loaded", "loaded"),
            ("", "left out", "left out"),
            (" ganzoo-first , ", "loaded", "left out"),
            ("ganzoo-first,ganzoo-second", "loaded", "loaded"),
        ],
    )
    def test_the_variable(
        self,
        three: Site,
        monkeypatch: pytest.MonkeyPatch,
        value: str | None,
        first: str,
        second: str,
    ) -> None:
        monkeypatch.delenv("GANZOO_PLUGINS", raising=False)
        if value is not None:
            monkeypatch.setenv("GANZOO_PLUGINS", value)
        found = states(plugins.scan())
        assert (found["ganzoo-first:parts"], found["ganzoo-second:near"]) == (first, second)


class TestStrict:
    @pytest.fixture
    def faulty(self, site: Site) -> Site:
        site.install("ganzoo-good")
        site.install("ganzoo-faulty", "raise ValueError('no luck')\n", version="0.3")
        site.install("ganzoo-newer", "GANZOO_API_VERSION = 99\n", version="0.4")
        return site

    @pytest.mark.parametrize("value", [None, "", "0"])
    def test_without_it_a_broken_plugin_is_a_warning(
        self, faulty: Site, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        monkeypatch.delenv("GANZOO_STRICT_PLUGINS", raising=False)
        if value is not None:
            monkeypatch.setenv("GANZOO_STRICT_PLUGINS", value)
        found = faulty.load()
        found.refuse()
        assert len(found.warnings) == 2

    def test_with_it_all_broken_plugins_are_one_error(
        self, faulty: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        found = faulty.load()
        assert found.warnings == ()
        with pytest.raises(UserError) as caught:
            found.refuse()
        assert caught.value.exit_code == 2
        assert str(caught.value) == (
            "plugin ganzoo-faulty:parts (0.3) cannot be imported (ganzoo_faulty): "
            f"ValueError: no luck ({faulty.folder / 'ganzoo_faulty.py'}:1)\n"
            "plugin ganzoo-newer:parts (0.4) was written for component API 99; "
            f"this ganzoo-core has {plugins.API_VERSION}: upgrade ganzoo-core\n"
            "  = GANZOO_STRICT_PLUGINS is set: mend or uninstall what is broken, or unset it"
        )

    def test_one_that_is_left_out_is_no_error(
        self, faulty: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        faulty.load(allowed=["ganzoo-good"]).refuse()

    def test_every_user_of_plugins_is_refused(
        self, faulty: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        plugins.installed.cache_clear()
        for _ in range(2):
            with pytest.raises(UserError, match=r"plugin ganzoo-faulty:parts \(0\.3\) cannot be"):
                plugins.installed()

    def test_a_hook_that_raises_ends_the_run(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = """
            from ganzoo.api import hookimpl
            @hookimpl
            def ganzoo_run_finished(state):
                raise OSError('disk full')
        """.replace("\n            ", "\n")
        site.install("ganzoo-bad", source)
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        loaded = site.load()
        with pytest.raises(RunError) as caught:
            loaded.notify("ganzoo_run_finished", run="run", iteration=3, state="done")
        assert str(caught.value) == (
            "plugin ganzoo-bad:parts failed in ganzoo_run_finished: "
            f"OSError: disk full ({site.folder / 'ganzoo_bad.py'}:5)\n"
            "  = GANZOO_STRICT_PLUGINS is set: mend or uninstall the plugin, or unset it"
        )
        # The run ends as failed, and says that to plugins too: the reason stays the first one.
        loaded.notify("ganzoo_run_finished", run="run", iteration=3, state="failed")
        assert capsys.readouterr().err == ""


class TestOlderApi:
    """A core that has version 3 and still takes 2."""

    @pytest.fixture(autouse=True)
    def _versions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plugins, "API_VERSION", 3)
        monkeypatch.setattr(plugins, "OLDEST_API_VERSION", 2)

    def test_the_oldest_version_is_taken_with_a_warning(self, site: Site) -> None:
        site.install("ganzoo-old", OFFER + "\nGANZOO_API_VERSION = 2\n")
        found = site.load()
        assert states(found) == {"ganzoo-old:parts": "loaded"}
        assert found.broken == ()
        assert found.warnings == (
            "plugin ganzoo-old:parts (1.0) was written for component API 2; this ganzoo-core has 3 "
            "and takes 2 for some time still: upgrade the plugin",
        )

    def test_it_is_no_error_where_broken_plugins_are(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        site.install("ganzoo-old", OFFER + "\nGANZOO_API_VERSION = 2\n")
        found = site.load()
        found.refuse()
        assert len(found.warnings) == 1

    def test_one_that_is_broken_besides_is_named_once(self, site: Site) -> None:
        source = OFFER.replace("ganzoo_generators", "ganzoo_generatorz")
        site.install("ganzoo-old", source + "\nGANZOO_API_VERSION = 2\n")
        (warning,) = site.load().warnings
        assert "cannot be registered: unknown hook 'ganzoo_generatorz'" in warning

    @pytest.mark.parametrize(
        ("version", "then"), [(1, "upgrade the plugin"), (4, "upgrade ganzoo-core")]
    )
    def test_versions_outside_are_refused(self, site: Site, version: int, then: str) -> None:
        site.install("ganzoo-other", OFFER + f"\nGANZOO_API_VERSION = {version}\n")
        assert site.load_one().error == (
            f"was written for component API {version}; this ganzoo-core has 3: {then}"
        )

    def test_one_that_says_nothing_means_the_first_version(self, site: Site) -> None:
        site.install("ganzoo-silent")
        error = site.load_one().error
        assert error is not None
        assert error.startswith("was written for component API 1;")


def test_the_oldest_version_is_not_newer_than_the_present_one() -> None:
    assert 1 <= plugins.OLDEST_API_VERSION <= plugins.API_VERSION


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported torch; plugins import something else by its name."""
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.delitem(sys.modules, "torch")


TORCH = "import sys, types\nsys.modules['torch'] = types.ModuleType('torch')\n"


@pytest.mark.usefixtures("no_torch")
def test_whether_a_plugin_imports_torch(site: Site) -> None:
    site.install("a-light")
    site.install("b-heavy", TORCH + OFFER)
    site.install("c-light")
    assert {plugin.name: plugin.imports_torch for plugin in site.load().all} == {
        "a-light:parts": False,
        "b-heavy:parts": True,
        # Nobody can know: torch was there already.
        "c-light:parts": None,
    }


@pytest.mark.usefixtures("no_torch")
def test_a_broken_plugin_may_have_imported_torch_too(site: Site) -> None:
    site.install("a-heavy", TORCH + "raise ValueError\n")
    (plugin,) = site.load().broken
    assert plugin.imports_torch is True


@pytest.mark.usefixtures("no_torch")
def test_a_hook_that_lists_components_may_import_torch(site: Site) -> None:
    source = OFFER.replace("return [Offered]", "import sys, types; " + TORCH.splitlines()[1])
    site.install("a-heavy", source + "    return [Offered]\n")
    assert (site.load_one().error, site.load_one().imports_torch) == (None, None)
    del sys.modules["torch"]
    assert site.load_one().imports_torch is True


@pytest.mark.parametrize("value", ["my-plugin", "my plugin", "my_plugin:", ""])
def test_an_entry_point_that_names_no_module(site: Site, value: str) -> None:
    site.install("ganzoo-good")
    site.install("ganzoo-odd", entry_points=f"[ganzoo]\nparts = {value}\n")
    odd = next(each for each in site.load().all if each.distribution == "ganzoo-odd")
    assert odd.error == f"cannot be imported: '{value}' is no name of a module"
    assert odd.module == ""
