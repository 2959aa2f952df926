"""A launcher without processes of its own, for tests of what is made of the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from ganzoo.comparison import entrants, jobs
from ganzoo.comparison.jobs import Job
from ganzoo.comparison.launchers import LAUNCHERS, Outcomes


class Here:
    """One job after the other, in this process."""

    width = 1
    """How many points a search is to try at once."""

    def __init__(self, jobs: int | None = None, progress: bool = False) -> None:
        pass

    def opened(self) -> AbstractContextManager[int]:
        return nullcontext(self.width)

    def launch(self, jobs: Sequence[Job]) -> Outcomes:
        for place, job in enumerate(jobs):
            yield place, self.run(job)

    def run(self, job: Job) -> jobs.Outcome:
        return jobs.run_job(job)


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Start no processes for comparisons and sweeps."""

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    patch.setitem(LAUNCHERS, "local", Here)
    patch.setattr(entrants, "in_own_process", call)
