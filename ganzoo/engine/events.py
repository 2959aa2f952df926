"""The events of a run, and who listens to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.engine.session import Session
    from ganzoo.runs import RunFolder


class Listener:
    """Follows a run on the process that writes its files; every method may be left out."""

    def started(self, session: Session, folder: RunFolder) -> None:
        """The run starts, or resumes from the session's iteration."""

    def advanced(self, session: Session) -> None:
        """An iteration is complete."""

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """Statistics were read: means since the last time, and values that change over the run."""

    def sampled(self, session: Session, samples: Tensor, labels: Tensor | None) -> None:
        """Samples `(N, *sample_shape)` were drawn from the fixed latents, of classes `(N,)`."""

    def drew(self, session: Session, picture: Path) -> None:
        """A picture of samples from the fixed latents was written."""

    def saving(self, session: Session, state: Mapping[str, Any]) -> None:
        """The state is to be saved."""

    def saved(self, session: Session, checkpoint: Path) -> None:
        """A checkpoint was written completely."""

    def kept(self, session: Session) -> None:
        """The weights are to be kept, to be measured when the run is done."""

    def finished(self, session: Session) -> None:
        """The last iteration is complete."""

    def ended(self, state: str, message: str | None, traceback: str | None) -> None:
        """The run is over, `done`, `failed` or `interrupted`; perhaps before it began."""

    def warned(self, text: str) -> None:
        """Something is wrong, but the run continues."""


class Events:
    """Passes every event on to all listeners, in their order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = tuple(listeners)

    def emit(self, event: str, *arguments: Any) -> None:
        """Call the method `event` of all listeners."""
        for listener in self.listeners:
            getattr(listener, event)(*arguments)

    def end(self, state: str, message: str | None = None, traceback: str | None = None) -> None:
        """Emit `ended`: every listener gets it, whatever one before it raises."""
        with ExitStack() as stack:
            for listener in reversed(self.listeners):
                stack.callback(listener.ended, state, message, traceback)
