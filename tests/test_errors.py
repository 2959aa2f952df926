"""What a text may hold that is shown to people."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x9b2J\x07\x08\r\x7f", "\\u009b2J\\u0007\\u0008\\u000d\\u007f"),
        ("a\u202eb\u2066\u200b", "a\\u202eb\\u2066\\u200b"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("a\tb\nc \u00a0\u3000 Bäume 数字 🙂", "a\tb\nc \u00a0\u3000 Bäume 数字 🙂"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_toml_reads_what_is_shown(text: str) -> None:
    plain = text.replace("\\", "").replace('"', "")
    shown = visible(plain, keep="\t")
    assert tomllib.loads(f'x = "{shown}"') == {"x": plain}
    assert visible(shown) == shown


def test_a_text_is_cut() -> None:
    assert [shortened("abcdefgh", limit) for limit in (8, 7)] == ["abcdefgh", "abcd..."]
