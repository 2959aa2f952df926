"""Numbers that may change over a run: a constant, a ramp, or several ramps in a row.

    gamma = 1.0
    gamma = { from = 0.05, to = 0.005, shape = "cosine", over = [0.0, 0.3] }
    lr = [{ from = 0.0, to = 2e-4, over = [0.0, 0.1] }, { from = 2e-4, to = 0.0, over = [0.5, 1] }]

A declaration writes `gamma: Value = Field(1.0, ge=0, description="...")`; bounds hold at both ends
of every ramp, and so everywhere between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, RootModel, model_validator
from pydantic_core import core_schema

CONFIG = ConfigDict(
    strict=True,
    extra="forbid",
    frozen=True,
    allow_inf_nan=False,
    # A default of 1 is the same as a written 1 where a float is meant.
    validate_default=True,
)
"""Rules of every table of a recipe: nothing is guessed, nothing unknown passes."""


class _Bounded:
    """Compares with a number as all of its ends do, which is how pydantic checks `ge` and `lt`."""

    def ends(self) -> Iterator[float]:
        """The values at both ends of each ramp."""
        raise NotImplementedError

    def __ge__(self, bound: float) -> bool:
        return all(end >= bound for end in self.ends())

    def __gt__(self, bound: float) -> bool:
        return all(end > bound for end in self.ends())

    def __le__(self, bound: float) -> bool:
        return all(end <= bound for end in self.ends())

    def __lt__(self, bound: float) -> bool:
        return all(end < bound for end in self.ends())


class Ramp(_Bounded, BaseModel):
    """A number that goes from one value to another over a part of the run."""

    model_config = CONFIG

    start: float = Field(alias="from", description="value up to the beginning of the ramp")
    to: float = Field(description="value from the end of the ramp on")
    shape: Literal["linear", "cosine", "exponential"] = Field(
        "linear", description="linear, half a cosine, or by a constant factor"
    )
    over: tuple[float, float] = Field(
        (0.0, 1.0), description="beginning and end of the ramp, as shares of the run"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        begin, end = self.over
        if not 0 <= begin <= end <= 1:
            raise ValueError("over should be two shares of the run in order, such as [0.0, 0.5]")
        if self.shape == "exponential" and self.start * self.to <= 0:
            raise ValueError("an exponential ramp needs both ends above 0, or both below")
        return self

    def ends(self) -> Iterator[float]:
        yield from (self.start, self.to)

    def at(self, share: float) -> float:
        """The value after a share in [0, 1] of the run."""
        begin, end = self.over
        if share >= end:  # first, so that a ramp of no length is a jump
            return self.to
        if share <= begin:
            return self.start
        part = (share - begin) / (end - begin)
        if self.shape == "exponential":
            return self.start * math.exp(part * math.log(self.to / self.start))
        if self.shape == "cosine":
            part = (1 - math.cos(math.pi * part)) / 2
        return self.start + (self.to - self.start) * part


class Ramps(_Bounded, RootModel[tuple[Ramp, ...]]):
    """Ramps one after the other; between two of them the value of the first one's end stays."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.root:
            raise ValueError("should hold at least one ramp")
        if any(first.over[1] > second.over[0] for first, second in pairwise(self.root)):
            raise ValueError("each ramp should begin where the one before it ends, or later")
        return self

    def ends(self) -> Iterator[float]:
        for ramp in self.root:
            yield from ramp.ends()

    def at(self, share: float) -> float:
        """The value after a share in [0, 1] of the run."""
        begun = [ramp for ramp in self.root if ramp.over[0] <= share]
        return (begun[-1] if begun else self.root[0]).at(share)


def _form(value: Any) -> str:
    if isinstance(value, dict | Ramp):
        return "table"
    return "array" if isinstance(value, list | tuple | Ramps) else "number"


class _Forms:
    """Chooses between the three forms by what is written, so that a mistake is reported once."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        forms = core_schema.tagged_union_schema(
            {
                "number": core_schema.float_schema(strict=True, allow_inf_nan=False),
                "table": handler.generate_schema(Ramp),
                "array": handler.generate_schema(Ramps),
            },
            discriminator=_form,
        )

        def replaced(schema: Any) -> Any:
            """The schema with its innermost part, the plain union, replaced by the forms."""
            if "schema" not in schema:
                return forms
            return {**schema, "schema": replaced(schema["schema"])}

        result: core_schema.CoreSchema = replaced(handler(source))
        return result


Value = Annotated[float | Ramp | Ramps, _Forms()]
"""A number of a recipe that may change over the run."""


def value_at(value: float | Ramp | Ramps, iteration: int, iterations: int) -> float:
    """The value in `iteration` (from 0) of a run of `iterations`.

    A ramp over the whole run has its first value in the first iteration and its last in the last.
    """
    if isinstance(value, Ramp | Ramps):
        return value.at(min(1.0, iteration / max(1, iterations - 1)))
    return value
