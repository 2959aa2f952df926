"""Loading of plugins, shown on installed distributions: real `.dist-info` folders on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import CORE, PARTS, recipe_text
from sites import OFFER, Site

from ganzoo import plugins
from ganzoo.api import API_VERSION
from ganzoo.errors import UserError
from ganzoo.plugins import Plugins
from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.registry import Registry


def offered(loaded: Plugins) -> dict[str, list[tuple[str, str]]]:
    """Kind and type of all components, by plugin."""
    return {
        plugin.name: [(kind, spec.type) for kind, spec in plugin.components]
        for plugin in loaded.all
    }


class TestLoading:
    def test_a_good_plugin(self, site: Site) -> None:
        site.install("ganzoo-good", version="2.5")
        plugin = site.load_one()
        assert plugin.error is None
        assert plugin.name == "ganzoo-good:parts"
        assert plugin.label == "ganzoo-good 2.5"
        assert [(kind, spec.type) for kind, spec in plugin.components] == [("generator", "offered")]
        assert plugin.load_ms > 0

    def test_a_hook_may_yield_its_classes(self, site: Site) -> None:
        site.install("ganzoo-good", OFFER.replace("return [Offered]", "yield Offered"))
        assert [spec.type for _, spec in site.load_one().components] == ["offered"]

    def test_distributions_without_plugins_are_left_alone(self, site: Site) -> None:
        site.install("something", entry_points="[console_scripts]\nx = something:main\n")
        assert site.load().all == ()
        assert "something" not in sys.modules

    def test_the_core_comes_first_and_then_names_in_order(self, site: Site) -> None:
        for distribution in ("ganzoo-zebra", "ganzoo-core", "aardvark"):
            site.install(distribution)
        assert list(offered(site.load())) == [
            "ganzoo-core:parts",
            "aardvark:parts",
            "ganzoo-zebra:parts",
        ]

    def test_two_distributions_with_one_entry_point_name_are_both_loaded(self, site: Site) -> None:
        site.install("ganzoo-first")
        site.install("ganzoo-second", OFFER.replace('"offered"', '"other"'))
        assert offered(site.load()) == {
            "ganzoo-first:parts": [("generator", "offered")],
            "ganzoo-second:parts": [("generator", "other")],
        }

    def test_a_distribution_found_twice_counts_once(self, site: Site) -> None:
        site.install("ganzoo-twice", version="2.0", folder="near")
        site.install(
            "ganzoo_Twice",
            version="1.0",
            folder="far",
            entry_points="[ganzoo]\nparts = ganzoo_twice\nold = gone_since_then\n",
        )
        sys.path.insert(0, str(site.folder / "near"))
        loaded = site.load("near", "far")
        assert [(plugin.name, plugin.version, plugin.error) for plugin in loaded.all] == [
            ("ganzoo-twice:parts", "2.0", None)
        ]

    def test_the_core_itself_is_whole(self) -> None:
        core = [plugin for plugin in plugins.installed().all if plugin.distribution == plugins.CORE]
        names = [plugin.name for plugin in plugins.installed().all]
        assert names[: len(core)] == [plugin.name for plugin in core]
        found = {(kind, spec.type) for plugin in core for kind, spec in plugin.components}
        assert found >= {("loss", "minimax"), ("loss", "non-saturating")}
        assert found >= {
            ("schedule", name)
            for name in ("alternating", "simultaneous", "joint", "discriminator-only", "warm-up")
        }


def changed(old: str, new: str) -> str:
    assert old in OFFER
    return OFFER.replace(old, new)


AFTER_OFFER = OFFER.count("\n") + 1

BROKEN_AT_IMPORT = [
    pytest.param(
        "table = {}\ntable['missing']\n",
        "KeyError: 'missing' ({file}:2)",
        id="an exception",
    ),
    pytest.param(
        "def check():\n    raise RuntimeError('two\\nlines')\n\ncheck()\n",
        "RuntimeError: two lines ({file}:2)",
        id="an exception deeper down, its text in one line",
    ),
    pytest.param(
        "import sys\n\nsys.exit('no GPU, no plugin')\n",
        "SystemExit: no GPU, no plugin ({file}:3)",
        id="an exit",
    ),
    pytest.param(
        "import ganzoo_missing_dependency\n",
        "ModuleNotFoundError: No module named 'ganzoo_missing_dependency' ({file}:1)",
        id="a missing dependency",
    ),
    pytest.param(
        "x = (\n",
        "SyntaxError: '(' was never closed (ganzoo_broken.py, line 1)",
        id="a syntax error",
    ),
    pytest.param(None, "ModuleNotFoundError: No module named 'ganzoo_broken'", id="no module"),
    pytest.param(
        "from ganzoo.api import GeneratorSpec\n\n\nclass X(GeneratorSpec):\n    width = 3\n",
        "PydanticUserError: ",
        id="a class that pydantic refuses",
    ),
]

BROKEN_AT_REGISTRATION = [
    pytest.param(
        changed("ganzoo_generators", "ganzoo_generatrs"),
        "cannot be registered: unknown hook 'ganzoo_generatrs'; did you mean 'ganzoo_generators'?",
        id="a misspelt hook",
    ),
    pytest.param(
        changed("ganzoo_generators", "make_me_a_sandwich"),
        "cannot be registered: unknown hook 'make_me_a_sandwich'",
        id="a hook like no other",
    ),
    pytest.param(
        changed("ganzoo_generators()", "ganzoo_generators(config)"),
        "cannot be registered: Plugin 'ganzoo-broken:parts' for hook 'ganzoo_generators' "
        "hookimpl definition: ganzoo_generators(config) Argument(s) {{'config'}} are declared "
        "in the hookimpl but can not be found in the hookspec",
        id="an argument that the hook has not",
    ),
    pytest.param(
        changed("return [Offered]", "raise OSError('no such disk')"),
        f"cannot be registered: OSError: no such disk ({{file}}:{AFTER_OFFER - 1})",
        id="a hook that raises",
    ),
    pytest.param(
        changed("return [Offered]", "raise SystemExit(3)"),
        f"cannot be registered: SystemExit: 3 ({{file}}:{AFTER_OFFER - 1})",
        id="a hook that exits",
    ),
    pytest.param(
        changed("return [Offered]", "pass"),
        "cannot be registered: ganzoo_generators should return a list of classes, not None",
        id="a hook without return",
    ),
    pytest.param(
        changed("return [Offered]", "return Offered"),
        "cannot be registered: ganzoo_generators should return a list of classes, "
        "not <class 'ganzoo_broken.Offered'>",
        id="a class without its list",
    ),
    pytest.param(
        changed("@hookimpl\n", "@hookimpl(wrapper=True)\n").replace("return [Offered]", "yield"),
        "cannot be registered: ganzoo_generators: a hook of ganzoo cannot be a wrapper",
        id="a wrapper",
    ),
    pytest.param(
        changed("return [Offered]", "return [Offered, 'offered']"),
        "cannot be registered: ganzoo_generators: 'offered' is not a subclass of GeneratorSpec",
        id="a text among the classes",
    ),
    pytest.param(
        changed("return [Offered]", "return [Offered()]"),
        "cannot be registered: ganzoo_generators: Offered() is not a subclass of GeneratorSpec",
        id="an instance",
    ),
    pytest.param(
        changed("ganzoo_generators", "ganzoo_encoders"),
        "cannot be registered: ganzoo_encoders: <class 'ganzoo_broken.Offered'> "
        "is not a subclass of EncoderSpec",
        id="a class of another kind",
    ),
    *[
        pytest.param(
            changed('"offered"', repr(name)),
            "cannot be registered: ganzoo_generators: Offered.type must be lower-case words "
            f"joined by hyphens, not {name!r}",
            id=f"the type name {name!r}",
        )
        for name in ("Offered", "of_fered", "of fered", "-offered", "of--fered", "", "a:b", "é", 3)
    ],
    pytest.param(
        changed('    type: ClassVar[str] = "offered"\n', ""),
        "cannot be registered: ganzoo_generators: Offered has no name of its own; "
        'write type: ClassVar[str] = "..."',
        id="no type",
    ),
    pytest.param(
        changed('    """Offered by a plugin."""\n', ""),
        "cannot be registered: ganzoo_generators: Offered has no docstring; "
        "its first line is the help text",
        id="no docstring",
    ),
    pytest.param(
        changed("def build(self, context)", "def biuld(self, context)"),
        "cannot be registered: ganzoo_generators: Offered does not define build",
        id="no build",
    ),
    pytest.param(
        changed("return [Offered]", "return [Offered, Offered]"),
        "cannot be registered: ganzoo_generators: two classes have the type 'offered'",
        id="one type twice",
    ),
    pytest.param(
        changed('= "offered"\n', '= "offered"\n    needs = frozenset({"encodr.variance"})\n'),
        "cannot be registered: ganzoo_generators: Offered.needs names 'encodr', "
        "which is no table of a recipe",
        id="a need that no recipe can meet",
    ),
    pytest.param(
        changed('= "offered"\n', '= "offered"\n    provides = "log_prob"\n'),
        "cannot be registered: ganzoo_generators: Offered.provides must be a frozenset",
        id="capabilities as a text",
    ),
]


LOSS = OFFER.replace("GeneratorSpec):", "LossSpec):").replace("ganzoo_generators", "ganzoo_losses")
SCHEDULE = OFFER.replace("GeneratorSpec):", "ScheduleSpec):").replace(
    "ganzoo_generators", "ganzoo_schedules"
)
REGULARIZER = OFFER.replace("GeneratorSpec):", "RegularizerSpec):").replace(
    "ganzoo_generators", "ganzoo_regularizers"
)


def with_line(source: str, line: str) -> str:
    return source.replace('= "offered"\n', f'= "offered"\n    {line}\n')


BROKEN_PHASES = [
    pytest.param(LOSS, "Offered.phases must name at least one phase", id="none"),
    pytest.param(
        with_line(LOSS, "phases = {}"),
        "Offered.phases must name at least one phase",
        id="an empty table",
    ),
    pytest.param(
        with_line(LOSS, "phases = {'joint': {'generator'}}"),
        "Offered.phases['joint'] is not a Phase",
        id="a bare set",
    ),
    pytest.param(
        with_line(LOSS, "phases = {'joint': Phase(trains={'generator', 'critic'})}"),
        "Offered.phases['joint'] trains 'critic', which is no network; further networks stand in "
        "Offered.networks",
        id="a network that is none",
    ),
    pytest.param(
        with_line(LOSS, "phases = {'joint': Phase(trains={'generator'}, differentiates={'y'})}"),
        "Offered.phases['joint'] differentiates 'y', not x, z or fake",
        id="a tensor that no step has",
    ),
    pytest.param(
        with_line(LOSS, "networks = {'critic': 'discriminator'}"),
        "Offered.networks['critic'] is not a Role",
        id="a network without a role",
    ),
    pytest.param(
        with_line(LOSS, "networks = ['critic']"),
        "Offered.networks must map names to roles",
        id="networks as a list",
    ),
    *(
        pytest.param(
            with_line(LOSS, f"networks = {{'{name}': Role(kind='discriminator')}}"),
            f"Offered.networks names '{name}'; take a word of lower-case letters that is no table "
            "of its own",
            id=f"a further network called {name}",
        )
        for name in ("encoder", "loss", "type", "Critic", "second critic")
    ),
    pytest.param(SCHEDULE, "Offered does not define runs", id="no runs"),
    pytest.param(
        with_line(SCHEDULE, "runs: ClassVar = 'joint'"),
        "Offered.runs must be a frozenset of at least one phase's name",
        id="runs as a text",
    ),
    pytest.param(
        with_line(REGULARIZER, "differentiates = frozenset({'code'})"),
        "Offered.differentiates names 'code', not x, z or fake",
        id="a regularizer's tensor that no step has",
    ),
]


class TestBrokenPlugins:
    """Each costs only itself: beside it stands a good one."""

    @pytest.fixture
    def broken(self, site: Site) -> Iterator[Site]:
        site.install("ganzoo-after", OFFER.replace('"offered"', '"after"'))
        site.install("a-before", OFFER.replace('"offered"', '"before"'))
        yield site
        loaded = site.load()
        assert offered(loaded) == {
            "a-before:parts": [("generator", "before")],
            "ganzoo-after:parts": [("generator", "after")],
            "ganzoo-broken:parts": [],
        }
        assert [plugin.name for plugin in loaded.broken] == ["ganzoo-broken:parts"]

    def error(self, site: Site, source: str | None) -> tuple[str, Path]:
        """The broken plugin's error, and its file."""
        file = site.install("ganzoo-broken", source, version="0.3")
        (plugin,) = site.load().broken
        assert plugin.label == "ganzoo-broken 0.3"
        assert plugin.components == ()
        assert plugin.error is not None
        assert "\n" not in plugin.error
        return plugin.error, file

    @pytest.mark.parametrize(("source", "expected"), BROKEN_AT_IMPORT)
    def test_at_import(self, broken: Site, source: str | None, expected: str) -> None:
        error, file = self.error(broken, source)
        expected = "cannot be imported (ganzoo_broken): " + expected.format(file=file)
        if expected.endswith(": "):  # the rest is another project's wording
            assert error.startswith(expected)
            assert error.endswith(f"({file}:4)")
        else:
            assert error == expected

    @pytest.mark.parametrize(("source", "expected"), BROKEN_AT_REGISTRATION)
    def test_at_registration(self, broken: Site, source: str, expected: str) -> None:
        error, file = self.error(broken, source)
        assert error == expected.format(file=file)

    @pytest.mark.parametrize(("source", "expected"), BROKEN_PHASES)
    def test_phases(self, broken: Site, source: str, expected: str) -> None:
        error, _ = self.error(broken, source)
        assert error.startswith("cannot be registered: ganzoo_")
        assert error.endswith(f": {expected}")

    @pytest.mark.parametrize(
        ("version", "expected"),
        [
            (
                API_VERSION + 1,
                f"was written for component API {API_VERSION + 1}; this ganzoo-core has "
                f"{API_VERSION}: upgrade ganzoo-core",
            ),
            (
                API_VERSION - 1,
                f"was written for component API {API_VERSION - 1}; this ganzoo-core has "
                f"{API_VERSION}: upgrade the plugin",
            ),
            ("1", "GANZOO_API_VERSION should be a whole number, not '1'"),
        ],
        ids=["too new", "too old", "a text"],
    )
    def test_another_api_version(self, broken: Site, version: object, expected: str) -> None:
        error, _ = self.error(broken, OFFER + f"\nGANZOO_API_VERSION = {version!r}\n")
        assert error == expected

    def test_the_api_version_is_looked_at_before_the_hooks(self, broken: Site) -> None:
        source = changed("ganzoo_generators", "ganzoo_shaders") + "\nGANZOO_API_VERSION = 99\n"
        error, _ = self.error(broken, source)
        assert error.startswith("was written for component API 99")


def test_the_api_version_may_be_written_down(site: Site) -> None:
    site.install("ganzoo-good", OFFER + f"\nGANZOO_API_VERSION = {API_VERSION}\n")
    assert site.load_one().error is None


def test_ctrl_c_while_a_plugin_is_imported_stops_the_command(site: Site) -> None:
    site.install("ganzoo-slow", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        site.load()


def test_two_entry_points_of_one_distribution_cannot_offer_one_type(site: Site) -> None:
    """No name could tell the two apart."""
    site.install("ganzoo-double", entry_points="[ganzoo]\na = ganzoo_double\nb = ganzoo_twin\n")
    (site.folder / "ganzoo_twin.py").write_text(OFFER)
    first, second = site.load().all
    assert (first.name, first.error) == ("ganzoo-double:a", None)
    assert second.name == "ganzoo-double:b"
    assert second.error == (
        "cannot be registered: another entry point of the distribution offers generator 'offered'"
    )


def test_a_distribution_without_a_version_is_named_all_the_same(site: Site) -> None:
    site.install("ganzoo-good")
    metadata = site.folder / "ganzoo_good-1.0.dist-info" / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: ganzoo-good\n")
    assert site.load_one().label == "ganzoo-good unknown"


@pytest.mark.parametrize("leftover", ["no metadata", "malformed entry points"])
def test_what_is_wrong_with_other_distributions_is_none_of_our_business(
    site: Site, leftover: str
) -> None:
    site.install("ganzoo-good")
    if leftover == "no metadata":
        folder = site.folder / "removed-1.0.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text("[ganzoo]\nparts = removed\n")
    else:
        site.install("other", entry_points="[console_scripts]\nnot an entry point\n")
    assert site.load_one().name == "ganzoo-good:parts"


class TestRecipesAndBrokenPlugins:
    @pytest.fixture
    def registry(self, site: Site) -> Registry:
        site.install("ganzoo-styles", "raise ValueError('no styles today')\n", version="0.3")
        return Registry([CORE, PARTS, *site.load().all])

    def test_a_recipe_that_does_not_need_the_plugin_works(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        file = tmp_path / "recipe.toml"
        file.write_text(recipe_text())
        assert load_recipe(file, registry=registry).generator.name == "plain"

    def test_a_recipe_with_an_unknown_type_is_told_what_failed_and_why(
        self, registry: Registry, site: Site
    ) -> None:
        file = site.folder / "recipe.toml"
        file.write_text(recipe_text({"generator": 'type = "styled"'}))
        with pytest.raises(RecipeError) as caught:
            load_recipe(file, registry=registry)
        assert str(caught.value) == (
            f"{file}:8: generator.type: no generator is called 'styled'\n"
            '    8 | type = "styled"\n'
            "      = there is 'plain' or 'searching'\n"
            "      = plugin ganzoo-styles:parts (0.3) cannot be imported (ganzoo_styles): "
            f"ValueError: no styles today ({site.folder / 'ganzoo_styles.py'}:1)\n"
            "1 problem; nothing was run"
        )


def test_two_plugins_with_one_type_clash_only_in_the_bare_name(site: Site) -> None:
    site.install("ganzoo-first", version="1.0")
    site.install("ganzoo-second", version="2.1")
    registry = Registry(site.load().all)
    with pytest.raises(UserError) as caught:
        registry.find("generator", "offered")
    assert str(caught.value) == (
        "generator 'offered' is offered by ganzoo-first 1.0 and ganzoo-second 2.1\n"
        "  = write 'ganzoo-first:offered' or 'ganzoo-second:offered'"
    )
    for distribution in ("ganzoo-first", "ganzoo-second"):
        found = registry.find("generator", f"{distribution}:offered")
        assert found.plugin.distribution == distribution


LISTENER = """
from ganzoo.api import hookimpl

calls = []


@hookimpl
def ganzoo_samples_drawn({arguments}):
    calls.append(({names}))
    {then}


@hookimpl
def ganzoo_run_finished(state):
    calls.append(state)
"""


class TestLifecycle:
    def install(self, site: Site, distribution: str, *arguments: str, then: str = "pass") -> None:
        names = "".join(f"{name}, " for name in arguments)
        source = LISTENER.format(arguments=", ".join(arguments), names=names, then=then)
        site.install(distribution, source)

    def calls(self, distribution: str) -> list[object]:
        return sys.modules[distribution.replace("-", "_")].calls  # type: ignore[no-any-return]

    def draw(self, loaded: Plugins, iteration: int) -> None:
        loaded.notify("ganzoo_samples_drawn", run="run", iteration=iteration, picture="picture")

    def test_listeners_take_the_arguments_they_want(self, site: Site) -> None:
        self.install(site, "ganzoo-all", "run", "iteration", "picture")
        self.install(site, "ganzoo-few", "iteration")
        self.install(site, "ganzoo-none")
        self.install(site, "ganzoo-turned", "picture", "run")
        loaded = site.load()
        assert loaded.broken == ()
        self.draw(loaded, 7)
        assert self.calls("ganzoo-all") == [("run", 7, "picture")]
        assert self.calls("ganzoo-few") == [(7,)]
        assert self.calls("ganzoo-none") == [()]
        assert self.calls("ganzoo-turned") == [("picture", "run")]

    @pytest.mark.parametrize(
        "then", ["raise OSError('disk full')", "raise SystemExit('disk full')"]
    )
    def test_one_that_raises_is_named_once_and_muted(
        self, site: Site, then: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.install(site, "a-before", "iteration")
        self.install(site, "ganzoo-bad", "iteration", then=then)
        self.install(site, "ganzoo-later", "iteration")
        loaded = site.load()
        for iteration in range(3):
            self.draw(loaded, iteration)
        loaded.notify("ganzoo_run_finished", run="run", iteration=3, state="done")
        assert self.calls("a-before") == [(0,), (1,), (2,), "done"]
        assert self.calls("ganzoo-later") == [(0,), (1,), (2,), "done"]
        # Muted in the one hook, still told in the other.
        assert self.calls("ganzoo-bad") == [(0,), "done"]
        captured = capsys.readouterr()
        assert captured.out == ""
        name = "OSError" if "OSError" in then else "SystemExit"
        line = LISTENER[: LISTENER.index("{then}")].count("\n") + 1
        assert captured.err == (
            "warning: plugin ganzoo-bad:parts failed in ganzoo_samples_drawn and is not called "
            f"there again: {name}: disk full ({site.folder / 'ganzoo_bad.py'}:{line})\n"
        )

    def test_ctrl_c_passes_through(self, site: Site) -> None:
        self.install(site, "ganzoo-bad", then="raise KeyboardInterrupt")
        loaded = site.load()
        with pytest.raises(KeyboardInterrupt):
            self.draw(loaded, 0)

    def test_a_plugin_that_could_not_be_loaded_is_not_called(self, site: Site) -> None:
        self.install(site, "ganzoo-bad", "iteration", then="pass\n\n@hookimpl\ndef ganzoo_x(): ...")
        loaded = site.load()
        assert [plugin.name for plugin in loaded.broken] == ["ganzoo-bad:parts"]
        self.draw(loaded, 0)
        assert self.calls("ganzoo-bad") == []
