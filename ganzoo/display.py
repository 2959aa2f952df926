"""Shows the progress of a run: a bar on a terminal, a bar and the newest picture in a notebook,
plain lines elsewhere."""

from __future__ import annotations

import base64
import html
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.measure import Measurement
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from ganzoo.engine.events import Listener
from ganzoo.engine.session import Session
from ganzoo.output import in_a_line, print_place, stderr, talks, tell, warn
from ganzoo.references import RUNS
from ganzoo.run import Run
from ganzoo.runs import RunFolder

REFRESH_SECONDS = 0.2
BAR_COLUMNS = 24
ECHO_COLUMNS = 4
"""Columns to the right of the bar, where a terminal shows ^C, once or twice."""


def display() -> Listener:
    """The display that suits this process."""
    if not talks():
        return Listener()
    if in_notebook():
        return NotebookProgress()
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()


def shown(progress: Listener | bool) -> Listener:
    """What `progress` of a function means: a listener, True for a display, False for nothing."""
    if isinstance(progress, Listener):
        return progress
    return display() if progress else Listener()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    return hasattr(sys.modules["IPython"].get_ipython(), "kernel")


def report(run: Run) -> None:
    """Print to stderr the values of a finished run's metrics, the first of which is the headline,
    its last picture and the command that draws samples; and its folder to stdout."""
    if not talks():
        return
    for name, value in run.evaluation.get("values", {}).items():
        tell(f"{name} {value:.4g}")
    picture = run.folder.samples(run.recipe.train.iterations)
    if picture.exists():
        tell(f"samples: {picture}")
    named = run.path.parent == RUNS / run.recipe.name
    name = run.recipe.name if named else shlex.quote(str(run.path))
    tell(f"next: ganzoo sample {name} --out samples.png")
    print_place(run.path)


class LineProgress(Listener):
    """One line for each logging interval."""

    def started(self, session: Session, folder: RunFolder) -> None:
        """Print what is trained, where and how."""
        recipe = session.recipe
        choices = session.backend.described()
        self._print(
            f"{recipe.name}: {recipe.train.iterations} iterations of batch "
            f"{recipe.train.batch_size} on {choices['device']} in {choices['precision']}, "
            f"{_parameters(session)}; {folder.path}"
        )
        if session.iteration:
            self._print(f"resumes from iteration {session.iteration}")
        self._start(session)

    def _start(self, session: Session) -> None:
        self._mark = (session.iteration, session.counters.seconds)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """Iteration, speed, time left and the means of the interval."""
        iteration, seconds = self._mark
        self._mark = (session.iteration, session.counters.seconds)
        rate = (session.iteration - iteration) / max(session.counters.seconds - seconds, 1e-9)
        last = session.recipe.train.iterations
        left = (last - session.iteration) / rate
        self._print(
            f"{session.iteration}/{last}  {_speed(rate, session)}  "
            f"{left:.0f} s left  {'  '.join(_means(statistics))}"
        )

    def warned(self, text: str) -> None:
        """Show a warning."""
        warn(text)

    def _print(self, text: str) -> None:
        tell(text)


class TerminalProgress(LineProgress):
    """A bar with the speed, the time left and the last means."""

    def __init__(self) -> None:
        console = stderr()
        bar = Column(min_width=min(BAR_COLUMNS, console.width // 6))
        self._bar = _OneLine(
            BarColumn(bar_width=bar.min_width, table_column=bar),
            _text("{task.completed:.0f}/{task.total:.0f}"),
            _text("{task.fields[speed]}"),
            TimeRemainingColumn(table_column=_whole()),
            _MeansColumn(table_column=Column(ratio=1)),
            console=console,
        )

    def _start(self, session: Session) -> None:
        last = session.recipe.train.iterations
        self._task = self._bar.add_task("", total=last, speed="", means=[])
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

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """Show the means of the interval, and measure the speed anew."""
        self._bar.update(
            self._task, completed=session.iteration, means=_means(statistics), refresh=True
        )
        self._mark = (session.iteration, time.monotonic())

    def ended(self, state: str, message: str | None, traceback: str | None) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


class NotebookProgress(LineProgress):
    """A bar, the last means and the newest picture below the cell, in one place."""

    def __init__(self) -> None:
        self._ipython: Any = import_module("IPython.display")
        self._handle: Any = None
        # The first picture is drawn before the display starts.
        self._picture, self._means, self._time = "", "", 0.0

    def _start(self, session: Session) -> None:
        self._mark = (session.iteration, time.monotonic())
        self._handle = self._ipython.display(self._page(session), display_id=True)

    def advanced(self, session: Session) -> None:
        """Move the bar, a few times a second."""
        if time.monotonic() - self._time >= REFRESH_SECONDS:
            self._update(session)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """Show the means of the interval, and measure the speed anew."""
        self._means = html.escape("  ".join(_means(statistics)))
        self._update(session)
        self._mark = (session.iteration, time.monotonic())

    def drew(self, session: Session, picture: Path) -> None:
        """Show a picture in place of the last one."""
        content = base64.b64encode(picture.read_bytes()).decode()
        self._picture = f'<br><img src="data:image/png;base64,{content}" alt="samples">'
        self._update(session)

    def finished(self, session: Session) -> None:
        """The bar at its end."""
        self._update(session)

    def _update(self, session: Session) -> None:
        if self._handle is not None:
            self._time = time.monotonic()
            self._handle.update(self._page(session))

    def _page(self, session: Session) -> Any:
        now, last = session.iteration, session.recipe.train.iterations
        iteration, then = self._mark
        passed = time.monotonic() - then
        speed = _speed((now - iteration) / passed, session) if now > iteration else ""
        bar = f'<progress value="{now}" max="{last}"></progress>'
        words = f"{bar} {now}/{last}&ensp;{speed}&ensp;{self._means}{self._picture}"
        return self._ipython.HTML(words)


class _OneLine(Bar):
    """A bar that stays in its line after Ctrl-C.

    What a terminal shows for the key would go on to the next line, and there the bar again.
    """

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        self._terminal = console
        super().__init__(*columns, console=console, auto_refresh=False, expand=True)

    def get_renderable(self) -> RenderableType:
        return Constrain(super().get_renderable(), self._terminal.width - ECHO_COLUMNS)


def _text(template: str) -> TextColumn:
    return TextColumn(template, markup=False, table_column=_whole())


def _whole() -> Column:
    """A column that takes the room it needs."""
    return Column(no_wrap=True, min_width=1)


class _MeansColumn(ProgressColumn):
    """The means, as many as there is room for: a narrow terminal shows the first of them."""

    def render(self, task: Task) -> RenderableType:
        return _AsManyAsFit(task.fields["means"])


class _AsManyAsFit:
    """Words in one line, without those at the end that would be cut."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = ""
        for word in self._words:
            longer = f"{text}  {word}" if text else word
            if cell_len(longer) > options.max_width:
                break
            text = longer
        yield Text(text, no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(0, options.max_width)


def _speed(rate: float, session: Session) -> str:
    images = rate * session.images / max(1, session.iteration)
    return f"{rate:.1f} it/s  {images:.0f} img/s"


def _means(statistics: Mapping[str, float]) -> list[str]:
    """Names and values of all but sums, which are their terms."""
    return [
        f"{in_a_line(name)} {value:.3f}"
        for name, value in statistics.items()
        if "/" in name and not name.endswith("/total")
    ]


def _parameters(session: Session) -> str:
    """Parameters of each network, as `generator 1.5M`."""
    return ", ".join(
        f"{slot} {_count(sum(weight.numel() for weight in network.parameters()))}"
        for slot, network in session.parts.networks.items()
    )


def _count(number: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
