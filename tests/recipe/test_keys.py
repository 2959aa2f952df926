"""The keys of a table in words: types, bounds and defaults as people read them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, PositiveInt

from ganzoo.api import Value
from ganzoo.ramps import CONFIG, Ramp
from ganzoo.recipe.keys import ABSENT, REQUIRED, keys


class Inner(BaseModel):
    """A table in a table."""

    model_config = CONFIG

    rate: Value = Field(
        Ramp.model_validate({"from": 0.5, "to": 2}), gt=0, le=2, description="a number"
    )
    rates: tuple[Value, ...] = Field((), description="several")
    plain: float = Field(1e-8, lt=1, description="one that stays")


class Table(BaseModel):
    """A table."""

    model_config = CONFIG

    lr: Value = Field(ge=0, description="learning rate")
    limit: PositiveInt | None = Field(None, description="at most")
    mode: Literal["slow", "fast"] = Field("slow", description="how")
    inner: Inner = Inner(plain=0.5)


def test_every_key_in_words() -> None:
    assert list(keys(Table)) == [
        ("lr", "number or ramp >= 0", REQUIRED, "learning rate"),
        ("limit", "integer > 0 | absent", ABSENT, "at most"),
        ("mode", "slow | fast", '"slow"', "how"),
        (
            "inner.rate",
            "number or ramp > 0, <= 2",
            '{ from = 0.5, to = 2.0, shape = "linear", over = [0.0, 1.0] }',
            "a number",
        ),
        ("inner.rates", "array of number or ramp", "[]", "several"),
        ("inner.plain", "float < 1", "0.5", "one that stays"),
    ]


def test_keys_of_a_ramp_have_the_names_that_a_recipe_writes() -> None:
    assert [row[0] for row in keys(Ramp)] == ["from", "to", "shape", "over"]
