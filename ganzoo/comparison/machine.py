"""What this machine has for several runs at once: cores, threads for each, memory."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganzoo.recipe import Recipe

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where a container says how many microseconds of its cores it may take, and of how many."""
MEMORY = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
"""Where a container says in `memory.max` how much memory it may take, in `memory.current` how much
it has taken, and in `memory.stat` how much of that it gives back when asked."""


def cores() -> int:
    """The cores that this process may use, by its affinity and its container's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = QUOTA.read_text().split()
        count = min(count, int(quota) // int(period))  # "max" is no number
    return max(1, count)


def threads_for(recipe: Recipe) -> int | None:
    """Threads that a run of a recipe takes here; None where a GPU computes."""
    import torch

    from ganzoo.data import DataDescription
    from ganzoo.engine.parts import Parts
    from ganzoo.engine.threads import choose_threads

    if accelerated(recipe.engine.device):
        return None
    unread = DataDescription(training_samples=1, held_out_samples=0)  # networks need no more
    try:
        return choose_threads(recipe.engine.threads, Parts(recipe, torch.device("cpu"), unread))
    except Exception:  # such as of a network that cannot be built, which the run will tell
        return 1


def jobs_for(threads: Collection[int | None]) -> int:
    """How many runs at once this machine is good for, of so many threads each: as many as cores
    over threads; one on a GPU, which they would only share."""
    if None in threads:
        return 1
    return max(1, cores() // max(filter(None, threads), default=1))


def accelerated(device: str) -> bool:
    """Whether a run on `engine.device` uses a GPU."""
    import torch

    if device == "cpu":
        return False
    return torch.cuda.is_available() or torch.backends.mps.is_available()


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Let torch use no more than so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_memory() -> int | None:
    """Bytes that processes can take without any being swapped or killed; None if unknown."""
    known = []
    with suppress(OSError, ValueError, KeyError):
        known.append(_numbers(MEMORY.read_text())["MemAvailable:"] * 2**10)
    with suppress(OSError, ValueError, KeyError):
        limit = int((GROUP / "memory.max").read_text())  # "max" is no number
        taken = int((GROUP / "memory.current").read_text())
        given_back = _numbers((GROUP / "memory.stat").read_text())["inactive_file"]
        known.append(max(0, limit - taken + given_back))
    return min(known, default=None)


def memory_of(process: int | None) -> tuple[int, int]:
    """Bytes that a process holds now and the most that it has held; 0 where that is unknown."""
    try:
        numbers = _numbers(Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0, 0
    return numbers.get("VmRSS:", 0) * 2**10, numbers.get("VmHWM:", 0) * 2**10


def _numbers(text: str) -> dict[str, int]:
    """The whole numbers of lines such as `MemAvailable: 7 kB`, by the word before them."""
    words = (line.split() for line in text.splitlines())
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdecimal()}
