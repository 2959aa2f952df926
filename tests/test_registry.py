from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from components import (
    CORE,
    PARTS,
    Buildable,
    PlainDiscriminator,
    PlainGenerator,
    SearchingGenerator,
    plugin,
)

from ganzoo import plugins
from ganzoo.api import GeneratorSpec
from ganzoo.errors import UserError
from ganzoo.registry import Registry, known_offers


class OtherPlain(Buildable, GeneratorSpec):
    """A stranger's generator with a name that is taken."""

    type: ClassVar[str] = "plain"


FIRST = plugin(PlainGenerator, SearchingGenerator, distribution="ganzoo-first", version="1.0")
SECOND = plugin(OtherPlain, distribution="ganzoo-second", version="2.1")


def refusal(registry: Registry, kind: str, name: str) -> str:
    with pytest.raises(UserError) as caught:
        registry.find(kind, name)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_type_is_found_in_its_kind_only() -> None:
    registry = Registry([PARTS])
    assert registry.find("generator", "plain").spec is PlainGenerator
    assert registry.find("discriminator", "plain").spec is PlainDiscriminator
    assert registry.find("generator", "plain").plugin is PARTS


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        pytest.param(
            "schedule",
            "alternatin",
            "no schedule is called 'alternatin'\n  = did you mean 'alternating'?",
            id="near",
        ),
        pytest.param(
            "encoder",
            "convolutional",
            "no encoder is called 'convolutional'\n  = there is 'gaussian' or 'plain'",
            id="not near: all names, sorted",
        ),
        pytest.param(
            "generator",
            "ganzoo-elsewhere:plain",
            "no generator is called 'ganzoo-elsewhere:plain'\n  = there is 'plain' or 'searching'",
            id="a distribution that is not there",
        ),
        pytest.param(
            "generator",
            "minimax",
            "no generator is called 'minimax'\n  = there is 'plain' or 'searching'",
            id="a type of another kind",
        ),
    ],
)
def test_an_unknown_type_is_answered_with_what_there_is(kind: str, name: str, text: str) -> None:
    assert refusal(Registry([CORE, PARTS]), kind, name) == text


def test_two_near_names_are_both_suggested() -> None:
    class Plaid(OtherPlain):
        """A generator whose name is nearly taken."""

        type: ClassVar[str] = "plaid"

    registry = Registry([plugin(PlainGenerator, Plaid)])
    assert refusal(registry, "generator", "plaim").endswith("= did you mean 'plain' or 'plaid'?")


def test_a_kind_without_components_says_so() -> None:
    assert refusal(Registry([CORE]), "encoder", "plain") == (
        "no encoder is called 'plain'\n"
        "  = no installed plugin offers a component of the kind encoder"
    )


def test_an_unknown_type_names_every_broken_plugin_and_why() -> None:
    broken = [
        plugin(distribution="ganzoo-a", version="0.3", error="cannot be imported: KeyError: 'x'"),
        plugin(distribution="ganzoo-b", version="7", error="was written for component API 9"),
    ]
    assert refusal(Registry([PARTS, *broken]), "generator", "styled") == (
        "no generator is called 'styled'\n"
        "  = there is 'plain' or 'searching'\n"
        "  = plugin ganzoo-a:parts (0.3) cannot be imported: KeyError: 'x'\n"
        "  = plugin ganzoo-b:parts (7) was written for component API 9"
    )


def test_a_broken_plugin_does_not_matter_where_it_is_not_needed() -> None:
    registry = Registry([PARTS, plugin(distribution="ganzoo-a", error="cannot be imported")])
    assert registry.find("generator", "plain").spec is PlainGenerator


class TestPluginsOfThisRepository:
    """Types that one of them is known to offer, whether it is installed or not."""

    def test_what_is_known_is_what_they_offer(self) -> None:
        """After a change of a plugin, ganzoo/known.json has to be changed too."""
        folders = (Path(__file__).parents[1] / "plugins").glob("ganzoo-*/pyproject.toml")
        ours = {tomllib.loads(file.read_text())["project"]["name"] for file in folders}
        offered: dict[str, dict[str, list[str]]] = {name: {} for name in ours}
        for each in plugins.installed().all:
            if each.distribution in ours:
                for kind, spec in each.components:
                    offered[each.distribution].setdefault(kind, []).append(spec.type)
        assert known_offers() == offered

    @pytest.mark.parametrize("name", ["dcgan", "ganzoo-dcgan:dcgan"])
    def test_one_that_is_not_installed(self, name: str) -> None:
        another = plugin(distribution="ganzoo-mlp")
        assert refusal(Registry([PARTS, another]), "generator", name) == (
            f"no generator is called '{name}'\n"
            "  = generator 'dcgan' is offered by ganzoo-dcgan: pip install ganzoo-dcgan"
        )

    def test_none_that_is_installed(self) -> None:
        assert refusal(Registry([PARTS]), "generator", "dcgan").endswith(
            'ganzoo-dcgan: pip install "ganzoo-core[zoo]" brings it and all the others'
        )

    def test_one_that_the_extra_leaves_out(self) -> None:
        assert refusal(Registry([PARTS]), "listener", "wandb").endswith(
            "listener 'wandb' is offered by ganzoo-wandb: pip install ganzoo-wandb"
        )

    @pytest.mark.parametrize(
        ("kind", "name"), [("loss", "dcgan"), ("generator", "stranger:dcgan"), ("generator", "")]
    )
    def test_the_kind_and_the_distribution_have_to_be_right(self, kind: str, name: str) -> None:
        assert "ganzoo-dcgan" not in refusal(Registry([PARTS]), kind, name)

    def test_one_that_is_older(self) -> None:
        registry = Registry([plugin(PlainGenerator, distribution="ganzoo-dcgan")])
        assert refusal(registry, "generator", "dcgan").endswith(
            "= generator 'dcgan' is offered by ganzoo-dcgan: pip install --upgrade ganzoo-dcgan"
        )

    def test_one_that_is_broken_is_named_once_and_a_stranger_too(self) -> None:
        broken = [
            plugin(distribution="ganzoo-dcgan", version="7", error="cannot be imported: KeyError"),
            plugin(distribution="ganzoo-mlp", version="6", error="was written for component API 9"),
            plugin(distribution="stranger", version="5", error="cannot be registered: no"),
        ]
        assert refusal(Registry([PARTS, *broken]), "generator", "dcgan") == (
            "no generator is called 'dcgan'\n"
            "  = generator 'dcgan' is offered by plugin ganzoo-dcgan:parts (7), "
            "which cannot be imported: KeyError\n"
            "  = plugin ganzoo-mlp:parts (6) was written for component API 9\n"
            "  = plugin stranger:parts (5) cannot be registered: no"
        )

    def test_one_that_is_left_out(self) -> None:
        left_out = [
            replace(
                plugin(distribution=name), error="is not allowed by GANZOO_PLUGINS", left_out=True
            )
            for name in ("ganzoo-dcgan", "ganzoo-mlp", "stranger")
        ]
        assert refusal(Registry([PARTS, *left_out]), "generator", "dcgan") == (
            "no generator is called 'dcgan'\n"
            "  = generator 'dcgan' is offered by plugin ganzoo-dcgan:parts (1.0), "
            "which is not allowed by GANZOO_PLUGINS: add ganzoo-dcgan to it\n"
            # What ganzoo-mlp offers is known; the stranger might offer it.
            "  = plugin stranger:parts (1.0) is not allowed by GANZOO_PLUGINS"
        )


class TestTwoPluginsWithOneType:
    @pytest.fixture(params=[(FIRST, SECOND), (SECOND, FIRST)], ids=["in order", "reversed"])
    def registry(self, request: pytest.FixtureRequest) -> Registry:
        return Registry(request.param)

    def test_the_bare_name_is_refused_and_both_are_named(self, registry: Registry) -> None:
        text = refusal(registry, "generator", "plain")
        head, hint = text.split("\n  = ")
        assert head.startswith("generator 'plain' is offered by ")
        assert "ganzoo-first 1.0" in head
        assert "ganzoo-second 2.1" in head
        assert hint.startswith("write ")
        assert "'ganzoo-first:plain'" in hint
        assert "'ganzoo-second:plain'" in hint

    @pytest.mark.parametrize(
        ("name", "spec"),
        [("ganzoo-first:plain", PlainGenerator), ("ganzoo-second:plain", OtherPlain)],
    )
    def test_the_qualified_name_works(
        self, registry: Registry, name: str, spec: type[GeneratorSpec]
    ) -> None:
        entry = registry.find("generator", name)
        assert entry.spec is spec
        assert entry.qualified == name

    def test_other_types_of_the_two_keep_their_bare_names(self, registry: Registry) -> None:
        assert registry.find("generator", "searching").spec is SearchingGenerator

    def test_entries_are_sorted_and_names_say_what_a_recipe_can_write(
        self, registry: Registry
    ) -> None:
        assert [entry.qualified for entry in registry.entries("generator")] == [
            "ganzoo-first:plain",
            "ganzoo-second:plain",
            "ganzoo-first:searching",
        ]
        assert registry.names("generator") == [
            "ganzoo-first:plain",
            "ganzoo-second:plain",
            "searching",
        ]


def test_a_qualified_name_works_where_the_bare_one_would_do() -> None:
    assert Registry([CORE]).find("loss", "ganzoo-core:minimax").spec.type == "minimax"
