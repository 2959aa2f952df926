"""Shows the progress of runs: bars on a terminal, a bar and the newest picture in a notebook,
plain lines elsewhere."""

from __future__ import annotations

import base64
import html
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from ganzoo.engine.events import Listener
from ganzoo.engine.session import Session
from ganzoo.errors import visible
from ganzoo.output import above, in_a_line, print_place, stderr, talks, tell, warn
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

    def __init__(self, *, named: bool = True) -> None:
        """`named` begins the first line with the recipe's name."""
        self._named = named

    def started(self, session: Session, folder: RunFolder) -> None:
        """Print what is trained, where and how."""
        recipe = session.recipe
        choices = session.backend.described()
        name = f"{recipe.name}: " if self._named else ""
        tell(
            f"{name}{recipe.train.iterations} iterations of batch "
            f"{recipe.train.batch_size} on {choices['device']} in {choices['precision']}, "
            f"{_parameters(session)}; {folder.path}"
        )
        if session.iteration:
            tell(f"resumes from iteration {session.iteration}")
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
        tell(
            f"{session.iteration}/{last}  {_speed(rate, session)}  "
            f"{left:.0f} s left  {'  '.join(_means(statistics))}"
        )

    def warned(self, text: str) -> None:
        """Show a warning."""
        warn(text)


@dataclass(frozen=True)
class Standing:
    """Where a run stands; plain data, so that its process can send it to another."""

    iteration: int
    last: int
    """The iteration that the run ends with."""
    speed: str
    """`289.9 it/s  18556 img/s`."""
    means: tuple[str, ...]
    """Of the last logging interval: `d/real 0.604`."""


class StandingProgress(LineProgress):
    """Hands on where the run stands, a few times a second."""

    def __init__(self, show: Callable[[Standing], None], *, named: bool = True) -> None:
        super().__init__(named=named)
        self._show = show

    def _start(self, session: Session) -> None:
        self._shown, self._mark = time.monotonic(), (session.iteration, time.monotonic())
        self._speed, self._means = "", tuple[str, ...]()
        self._hand_on(session)

    def advanced(self, session: Session) -> None:
        """Where the run stands now, unless that was told a moment ago."""
        now = time.monotonic()
        if now - self._shown < REFRESH_SECONDS:
            return
        iteration, then = self._mark
        self._speed = _speed((session.iteration - iteration) / (now - then), session)
        self._shown = now
        self._hand_on(session)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """The means of the interval, from which on the speed is measured anew."""
        self._means = tuple(_means(statistics))
        self._hand_on(session)
        self._mark = (session.iteration, time.monotonic())

    def _hand_on(self, session: Session) -> None:
        last = session.recipe.train.iterations
        self._show(Standing(session.iteration, last, self._speed, self._means))


class SentProgress(StandingProgress):
    """The same for a run among others, which is measured when it is trained."""

    def __init__(self, send: Callable[[Standing], None]) -> None:
        super().__init__(send, named=False)

    def finished(self, session: Session) -> None:
        """Trained, but not yet measured."""
        last = session.recipe.train.iterations
        self._show(Standing(last, last, "measuring", self._means))


class TerminalProgress(StandingProgress):
    """A bar with the speed, the time left and the last means."""

    def __init__(self) -> None:
        self._bars = Bars(named=False)
        super().__init__(lambda standing: self._bars.show("", standing))

    def ended(self, state: str, message: str | None, traceback: str | None) -> None:
        """Leave the bar as it stands."""
        self._bars.stop()


class Bars:
    """A line on the terminal for each run: its name, a bar, the speed, the time left, the means.

    What is printed to stderr meanwhile appears above them.
    """

    def __init__(self, *, named: bool = True) -> None:
        """`named` shows the runs' names."""
        console = stderr()
        name = Column(no_wrap=True, overflow="ellipsis", max_width=max(1, console.width // 3))
        bar = Column(min_width=min(BAR_COLUMNS, console.width // 6))
        self._console = console
        self._rows = _Rows(
            *([_text("{task.description}", name)] if named else []),
            BarColumn(bar_width=bar.min_width, table_column=bar),
            _text("{task.completed:.0f}/{task.total:.0f}"),
            _text("{task.fields[speed]}"),
            TimeRemainingColumn(table_column=_whole()),
            _MeansColumn(table_column=Column(ratio=1)),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._refreshed = 0.0

    def show(self, name: str, standing: Standing) -> None:
        """Show where the run that is called `name` stands."""
        task = self._tasks.get(name)
        if task is None:
            self._begin()
            # The speed that rich estimates, for the time left, begins where the run does.
            task = self._tasks[name] = self._rows.add_task(
                visible(name), total=standing.last, completed=standing.iteration, speed="", means=()
            )
        self._rows.update(
            task, completed=standing.iteration, speed=standing.speed, means=standing.means
        )
        now = time.monotonic()
        if now - self._refreshed >= REFRESH_SECONDS / 2:
            self._refreshed = now
            self._rows.refresh()

    def remove(self, name: str) -> None:
        """Show a run no longer."""
        if (task := self._tasks.pop(name, None)) is not None:
            self._rows.remove_task(task)
            self._rows.refresh()

    def stop(self) -> None:
        """Leave the bars as they stand."""
        self._rows.stop()
        above(None)

    def _begin(self) -> None:
        self._rows.start()  # nothing, where they are there already
        above(self._console)


class NotebookProgress(LineProgress):
    """A bar, the last means and the newest picture below the cell, in one place."""

    def __init__(self) -> None:
        super().__init__()
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


class _Rows(Bar):
    """Bars that stay in their lines after Ctrl-C.

    What a terminal shows for the key would go on to the next line, and there the bar again.
    """

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        self._terminal = console
        super().__init__(*columns, console=console, auto_refresh=False, expand=True)

    def get_renderable(self) -> RenderableType:
        return Constrain(super().get_renderable(), self._terminal.width - ECHO_COLUMNS)


def _text(template: str, column: Column | None = None) -> TextColumn:
    return TextColumn(template, markup=False, table_column=column or _whole())


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
