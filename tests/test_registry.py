from __future__ import annotations

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

from ganzoo.api import GeneratorSpec
from ganzoo.errors import UserError
from ganzoo.registry import Registry


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
