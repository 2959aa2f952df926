"""`KEY=V1,V2` and `KEY=LOW..HIGH`: what is read from them, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.sweeps.space import Axis, Span, parse_space, short_names, split

VALUES = st.recursive(
    st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_commas_inside_of_values_do_not_part_them(values: list[object]) -> None:
    texts = [json.dumps(value) for value in values]
    assert split(",".join(texts)) == texts
    assert split(" , ".join(texts)) == texts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1e-4,5e-4", ["1e-4", "5e-4"]),
        ("[32,64],[8]", ["[32,64]", "[8]"]),
        ("{ from = 1, to = 0 },2", ["{ from = 1, to = 0 }", "2"]),
        ("'a,\\',b", ["'a,\\'", "b"]),
        ("minimax, wasserstein", ["minimax", "wasserstein"]),
        ("1,", ["1", ""]),
        ("", [""]),
    ],
)
def test_values_are_parted_at_commas(text: str, parts: list[str]) -> None:
    assert split(text) == parts


def axis(text: str) -> Axis:
    space, problems = parse_space([text], searched=True)
    assert not problems
    return space.axes[0]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("x=1e-5..1e-3", Span(1e-5, 1e-3, whole=False, log=True)),
        ("x=1..10", Span(1, 10, whole=True, log=False)),
        ("x=1..11", Span(1, 11, whole=True, log=True)),
        ("x=1.0..11", Span(1, 11, whole=False, log=True)),
        ("x=-1..100", Span(-1, 100, whole=True, log=False)),
        ("x=1e-5..1e-3:linear", Span(1e-5, 1e-3, whole=False, log=False)),
        ("x= 2 .. 8 : log ", Span(2, 8, whole=True, log=True)),
    ],
)
def test_ranges(text: str, span: Span) -> None:
    assert axis(text) == Axis("x", span=span)


def test_what_looks_like_a_range_and_is_none() -> None:
    assert axis("data.path=../1..2x").values == ("../1..2x",)
    assert axis('x="1..2",3').values == ('"1..2"', "3")


def test_numbers_that_are_drawn_are_short_and_within_the_range() -> None:
    span = Span(0.12342, 0.98768, whole=False, log=False)
    assert span.text(0.333333) == "0.3333"
    assert span.text(0.12342) == "0.12342"
    assert span.text(0.98768) == "0.98768"
    assert Span(1, 9, whole=True, log=False).text(7) == "7"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("lr", "cannot be read as a key and its values", "write KEY=V1,V2"),
        ("=1", "cannot be read as a key and its values", "write KEY=V1,V2"),
        ("lr=1,,2", "a value is empty", "write KEY=V1,V2; an empty text is ''"),
        ("lr=", "a value is empty", "write KEY=V1,V2; an empty text is ''"),
        ("lr=1..2,3", "a range stands alone", "write KEY=LOW..HIGH, or values alone"),
        ("lr=2..1", "the range does not go up", "write KEY=LOW..HIGH"),
        ("lr=0..1:log", "a logarithmic range has positive ends", "leave out :log"),
        ("lr=1.0..1e999", "an end of the range is too large", None),
        ("lr=1..9999999999999999999", "an end of the range is too large", None),
        (
            "train.seed=1,2",
            "seeds are no points of a sweep",
            "--seeds 3 trains each point with the seeds 0, 1 and 2",
        ),
        (
            "data.size=1,2",
            "all points are measured on the same data",
            "give it one value, and sweep once for each",
        ),
        ("log.every=1,2", "decides nothing of how a run ends", "give it one value"),
        ("engine.device=cpu,cuda", "decides nothing of how a run ends", "give it one value"),
    ],
)
def test_what_cannot_be_varied(text: str, message: str, hint: str | None) -> None:
    space, (problem,) = parse_space([text], searched=True)
    assert (problem.message, problem.hint, problem.origin.text) == (message, hint, text)
    assert space.axes == ()


def test_a_key_that_is_given_twice() -> None:
    space, (problem,) = parse_space(["lr=1,2", "lr=3"], searched=False)
    assert (problem.key, problem.message) == ("lr", "is given twice")
    assert space.axes == (Axis("lr", ("1", "2")),)


def test_a_grid_has_no_ranges() -> None:
    _, (problem,) = parse_space(["lr=1..2"], searched=False)
    assert problem.message == "a grid has no ranges"
    assert problem.hint is not None
    assert problem.hint.startswith("--search 20 tries 20 points of it")


def test_a_budget_gives_the_length() -> None:
    _, (problem,) = parse_space(["train.iterations=1,2"], searched=False, budgeted=True)
    assert problem.message == "the budget gives the length of all runs"


def test_one_value_changes_all_points_whatever_the_key() -> None:
    space, problems = parse_space(["train.seed=3", "log.every=2", "lr=1,2"], searched=False)
    assert not problems
    assert space.fixed == ("train.seed=3", "log.every=2")
    assert [point.label for point in space.corners()] == ["lr=1", "lr=2"]
    assert [point.overrides for point in space.corners()] == [
        ("train.seed=3", "log.every=2", "lr=1"),
        ("train.seed=3", "log.every=2", "lr=2"),
    ]


def test_the_points_of_a_grid_and_its_arms() -> None:
    space, _ = parse_space(["a=1,2", "b=3,4", "c=5..6"], searched=True)
    assert space.size is None
    assert len(list(space.corners())) == 8
    assert [point.label for point in space.arms()] == [
        "a=1, b=3, c=5",
        "a=2, b=3, c=5",
        "a=1, b=4, c=5",
        "a=1, b=3, c=6",
    ]


def test_keys_are_called_by_their_last_names_where_these_differ() -> None:
    keys = ("optimizer.lr", "generator.width", "discriminator.width", "generator.hidden.0")
    assert list(short_names(keys).values()) == [
        "lr",
        "generator.width",
        "discriminator.width",
        "generator.hidden.0",
    ]
