"""What a component says of the recipe that it stands in, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Remark:
    """One sentence about a component in its recipe.

    An error where nothing could be trained, a note where it is merely unwise.
    """

    message: str
    """One line, without a full stop; the place is put before it."""
    key: str = "type"
    """The component's own key that it is about."""
    hint: str | None = None
    """What to write instead."""
    fatal: bool = False
    """Whether the recipe is refused. Otherwise it is run, and the remark is a note."""


class Surroundings(Protocol):
    """What a component gets to know of its recipe in `check`."""

    @property
    def iterations(self) -> int:
        """Length of the run, in iterations."""

    @property
    def batch_size(self) -> int:
        """Samples that are computed at once: those of a batch, or of each of its parts."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(C, H, W)` of the data's images, or `(D,)` of points."""

    @property
    def data_root(self) -> Path:
        """Folder in which data sets are looked for."""

    def trait(self, word: str) -> str | None:
        """The key of the recipe to which a trait is due, such as `"loss.clip"` for
        `"loss.weight-clipping"`; None where no component in that table, or array, has it."""
