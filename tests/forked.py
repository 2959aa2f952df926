"""Processes of the command line that start at once: forked from one that has imported torch.

A test that kills ten runs would otherwise wait for the imports of ten processes.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ganzoo.comparison.workers import PRELOADED
from ganzoo.interruption import unblock

NEW_USER, NEW_PROCESSES = 0x10000000, 0x20000000
"""CLONE_NEWUSER and CLONE_NEWPID of Linux."""
NO_NAMESPACE = 99
"""Exit code where no namespace can be made."""


def start(
    *arguments: object,
    folder: Path,
    log: Path,
    variables: Mapping[str, str] | None = None,
    as_init: bool = False,
) -> BaseProcess:
    """Start `ganzoo ARGUMENTS` in a folder, as the leader of a group; it writes to the file `log`.

    `as_init` makes it process 1 of a namespace, whose parent the returned process is: that one
    ends with its exit code, or with `NO_NAMESPACE`.
    """
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, "ganzoo.cli.app"])
    environment = {**os.environ, **(variables or {})}
    words = [str(each) for each in arguments]
    process: BaseProcess = context.Process(
        target=_ganzoo, args=(words, str(folder), str(log), environment, as_init)
    )
    process.start()
    return process


def _ganzoo(
    words: list[str], folder: str, log: str, environment: Mapping[str, str], as_init: bool
) -> None:
    if as_init:
        _become_init()
    os.setsid()
    unblock()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored, perhaps, where the tests were started
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.argv = ["ganzoo", *words]
    from ganzoo.cli import main

    main()


def _become_init() -> None:
    """Go on as process 1 of a new namespace; the process that was waits for its end."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_PROCESSES):
        os._exit(NO_NAMESPACE)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) % 256)


def child_of(process: BaseProcess) -> int:
    """The process 1 that `start(as_init=True)` has made; 0 where there is none."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.is_alive():
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.01)
    return 0


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have, the youngest first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            parents[int(entry.name)] = int(words[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[:0:-1]
