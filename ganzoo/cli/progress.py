"""What is shown while a run goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ganzoo.cli.output import stderr, talks, warn
from ganzoo.engine.recorder import Progress
from ganzoo.engine.session import Session
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder
from ganzoo.zoo import Run

REFRESH_SECONDS = 0.2


def display() -> Progress:
    """The display that suits this process."""
    if not talks():
        return Progress()
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()


def report(run: Run) -> None:
    """The last words of a run: its figures to people, its folder to programs."""
    if not talks():
        return
    for name, value in run.evaluation.get("figures", {}).items():
        stderr().print(Text(f"{name} {value:.4g}"))
    print(run.path)


class LineProgress(Progress):
    """One line for each logging interval."""

    def started(self, recipe: Recipe, folder: RunFolder, session: Session) -> None:
        """Say what is trained, where and how."""
        choices = session.backend.described()
        self._say(
            f"{recipe.name}: {recipe.train.iterations} iterations of batch "
            f"{recipe.train.batch_size} on {choices['device']} in {choices['precision']}, "
            f"{_parameters(session)}; {folder.path}"
        )
        if session.iteration:
            self._say(f"goes on from iteration {session.iteration}")
        self._begin(session)

    def _begin(self, session: Session) -> None:
        self._mark = (session.iteration, session.seconds)

    def logged(self, session: Session, statistics: dict[str, float]) -> None:
        """Iteration, speed, time left and the means of the interval."""
        iteration, seconds = self._mark
        self._mark = (session.iteration, session.seconds)
        rate = (session.iteration - iteration) / max(session.seconds - seconds, 1e-9)
        last = session.recipe.train.iterations
        left = (last - session.iteration) / rate
        self._say(
            f"{session.iteration}/{last}  {_speed(rate, session)}  "
            f"{left:.0f} s left  {_means(statistics)}"
        )

    def warn(self, text: str) -> None:
        """Show a warning."""
        warn(text)

    def _say(self, text: str) -> None:
        stderr().print(Text(text))


class TerminalProgress(LineProgress):
    """A bar with the speed, the time left and the last means."""

    def __init__(self) -> None:
        self._bar = Bar(
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[means]}", markup=False),
            console=stderr(),
            auto_refresh=False,
        )

    def _begin(self, session: Session) -> None:
        last = session.recipe.train.iterations
        self._task = self._bar.add_task("", total=last, speed="", means="")
        self._bar.update(self._task, completed=session.iteration)
        self._bar.start()
        self._shown, self._mark = time.monotonic(), (session.iteration, time.monotonic())

    def advanced(self, session: Session) -> None:
        """Move the bar, a few times a second."""
        now = time.monotonic()
        if now - self._shown < REFRESH_SECONDS:
            return
        iteration, then = self._mark
        speed = _speed((session.iteration - iteration) / (now - then), session)
        self._bar.update(self._task, completed=session.iteration, speed=speed, refresh=True)
        self._shown = now

    def logged(self, session: Session, statistics: dict[str, float]) -> None:
        """Show the means of the interval, and measure the speed anew."""
        self._bar.update(
            self._task, completed=session.iteration, means=_means(statistics), refresh=True
        )
        self._mark = (session.iteration, time.monotonic())

    def ended(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def _speed(rate: float, session: Session) -> str:
    images = rate * session.images / max(1, session.iteration)
    return f"{rate:.1f} it/s  {images:.0f} img/s"


def _means(statistics: dict[str, float]) -> str:
    """`discriminator/real` as `d/real`, and no sums, to fit a line."""
    return "  ".join(
        f"{name[0]}{name[name.find('/') :]} {value:.3f}"
        for name, value in statistics.items()
        if not name.endswith("/total")
    )


def _parameters(session: Session) -> str:
    """Parameters of each network, as `generator 1.5M`."""
    return ", ".join(
        f"{slot} {_count(sum(weight.numel() for weight in network.parameters()))}"
        for slot, network in session.networks.items()
    )


def _count(number: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
