"""Names and values that MLflow admits."""

from __future__ import annotations

import json

import pytest
from ganzoo_mlflow.names import LONGEST_NAME, LONGEST_VALUE, admitted, flat
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("optimizer.generator.lr", "optimizer.generator.lr"),
        ("d/D(x)", "d/D_x"),
        ("d/D(G(z))", "d/D_G_z"),
        ("KL(data||G)", "KL_data_G"),
        ("fid[classifier@3f2a]", "fid_classifier_3f2a"),
        ("loss_", "loss_"),
        ("a//b/", "a/b"),
        ("a/../b", "a/b"),
        ("((", "_"),
    ],
)
def test_what_a_name_becomes(name: str, expected: str) -> None:
    assert admitted([name]) == {name: expected}


def test_names_that_would_be_the_same_are_told_apart() -> None:
    names = admitted(["D(x)", "D_x", "D"])
    assert names["D"] == "D"
    assert len({*names.values()}) == 3
    assert admitted(["D", "D_x", "D(x)"]) == names


@given(st.lists(st.text(max_size=300), max_size=5, unique=True))
def test_all_names_are_admitted_and_different(names: list[str]) -> None:
    found = admitted(names)
    assert len({*found.values()}) == len(names)
    for name in found.values():
        assert len(name) <= LONGEST_NAME
        _validate_metric_name(name)


def test_plain_data_as_texts() -> None:
    table = {
        "a": {"b": 1, "c": True, "d": "x"},
        "e": [1, 2],
        "f": [{"g": 0.5}, {"g": []}],
        "h": None,
        "i": "y" * 7000,
    }
    assert dict(flat(table)) == {
        "a.b": "1",
        "a.c": "true",
        "a.d": "x",
        "e": json.dumps([1, 2]),
        "f.0.g": "0.5",
        "f.1.g": "[]",
        "i": "y" * LONGEST_VALUE,
    }
