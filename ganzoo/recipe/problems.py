"""What can be wrong with a recipe, told with its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ganzoo.errors import UserError, shortened, visible
from ganzoo.recipe.origins import Origin

SHOWN = 20
"""Problems of one file that are told; of the others only the number is."""

ROW, HEAD = 120, 2000
"""Characters of a line of source, and of any other line, that are shown."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a recipe."""

    key: str
    """Dotted key, or an empty string for the file as a whole."""
    message: str
    origin: Origin
    hint: str | None = None

    def __str__(self) -> str:
        place = self.origin.file + (f":{self.origin.line}" if self.origin.line else "")
        parts = (place, shortened(self.key, ROW), self.message)
        rows = [shortened(": ".join(part for part in parts if part), HEAD)]
        if self.origin.text:
            number = f"{self.origin.line} | " if self.origin.line else ""
            rows.append(f"    {number}{shortened(self.origin.text.strip(), ROW)}")
        # The hint stands below the bar that follows the line number.
        margin = " " * (5 + len(str(self.origin.line or 0)))
        hints = (self.hint or "").splitlines()
        rows += [f"{margin}= {shortened(hint, HEAD)}" for hint in hints]
        return "\n".join(visible(row, keep="\t") for row in rows)


class RecipeError(UserError):
    """A recipe that cannot be run, with every problem that was found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        text = "\n".join([*_told(self.problems), f"{count} {noun}; nothing was run"])
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        return RecipeError, (self.problems,)


def _told(problems: Iterable[Problem]) -> Iterator[str]:
    """The first problems of each file, and how many more there are."""
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.origin.file] += 1
        if counts[problem.origin.file] <= SHOWN:
            yield str(problem)
    for file, count in counts.items():
        if count > SHOWN:
            yield visible(f"{file}: {count - SHOWN} more problems", keep="")
