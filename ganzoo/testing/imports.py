"""What importing a plugin costs and changes, seen in a process of its own.

This file is also the program that the process runs, so it imports nothing but the standard
library.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

TRIES = 5
"""How often an import that seems slow is timed again: the machine may have been busy."""
SECONDS = 60
"""After so many an import is given up."""
BLANKET = "warning filters for all warnings"
ENVIRONMENT = "environment variable"

State = Mapping[str, str]
"""Global state of a process, part by part, in a form that can be compared and shown."""


class Imported(NamedTuple):
    """What importing a module did."""

    milliseconds: float
    """Beyond the import of `ganzoo.api`."""
    packages: list[str]
    """Packages that it brought in besides those of `ganzoo.api` and of Python itself."""
    changed: list[str]
    """Changes of global state, as texts."""
    printed: str
    error: str
    """Why it cannot be imported, or nothing."""


def snapshot() -> State:
    """The global state that a plugin might change and another part of a run would notice."""
    parts: dict[str, Any] = {f"{ENVIRONMENT} {name}": each for name, each in os.environ.items()}
    parts |= {
        "working directory": os.getcwd(),
        "sys.path": sys.path,
        "recursion limit": sys.getrecursionlimit(),
        "sys.excepthook": sys.excepthook,
        "handler of Ctrl-C": signal.getsignal(signal.SIGINT),
        "level of the root logger": logging.getLevelName(logging.getLogger().level),
        "handlers of the root logger": logging.getLogger().handlers,
        "warning filters": warnings.filters,
        BLANKET: [rule for rule in warnings.filters if _is_blanket(rule)],
        "random stream of Python": hash(random.getstate()),
    }
    if (numpy := sys.modules.get("numpy")) is not None:
        state = numpy.random.get_state(legacy=False)["state"]
        parts["random stream of numpy"] = state["key"].tobytes(), state["pos"]
    if (torch := sys.modules.get("torch")) is not None:
        parts |= {f"torch's {name}": each for name, each in _torch_parts(torch).items()}
    return {name: str(each) for name, each in parts.items()}


def _is_blanket(rule: Any) -> bool:
    """Whether a filter is for all warnings of a category that is not some library's own."""
    _, message, category, module, _ = rule
    return message is module is None and category.__module__ == "builtins"


def _torch_parts(torch: Any) -> dict[str, Any]:
    flags = ("enabled", "benchmark", "deterministic", "allow_tf32")
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "seed": torch.initial_seed(),
        "gradient mode": torch.is_grad_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "backends.cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        **{f"backends.cudnn.{flag}": getattr(torch.backends.cudnn, flag) for flag in flags},
    }


def differences(before: State, after: State) -> list[str]:
    """What has changed from one snapshot to a later one, a text for each.

    State of a library that was not imported at the first is not compared.
    """
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new or (old is None and not name.startswith(ENVIRONMENT)):
            continue
        shown = old is not None and new is not None and max(len(old), len(new)) < 60
        changes.append(f"{name} ({old} is now {new})" if shown else name)
    return changes


def measure(module: str, *, at_most: float) -> Imported:
    """Import a module in processes of its own: once, more often if it took over `at_most` ms.

    The time is the best of all. Where torch comes in, its state is compared too.
    """
    best = _in_process(module, [])
    for _ in range(TRIES - 1):
        if best.error or best.milliseconds <= at_most or "torch" in best.packages:
            break
        again = _in_process(module, [])
        best = min(best, again, key=lambda imported: imported.milliseconds)
    if "torch" in best.packages:
        # Its defaults are known only where it is imported first.
        changed = _in_process(module, ["torch"]).changed
        best = best._replace(changed=sorted({*best.changed, *changed}))
    return best


def _in_process(module: str, first: list[str]) -> Imported:
    task = {"path": sys.path, "module": module, "first": ["ganzoo.api", *first]}
    # -P: the folder of this file is not to be searched for modules.
    command, text = [sys.executable, "-P", __file__], json.dumps(task)
    try:
        ended = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return Imported(**json.loads(ended.stdout))
    except subprocess.TimeoutExpired:
        error = f"it has not ended after {SECONDS} seconds"
    except ValueError:
        last = (ended.stderr.strip().splitlines() or ["nothing was said"])[-1]
        error = f"the process ended with {ended.returncode}: {last}"
    return Imported(0.0, [], [], "", error)


def main() -> None:
    """Do the task on stdin, and write an `Imported` to stdout."""
    task = json.load(sys.stdin)
    sys.path[:] = task["path"]
    for name in task["first"]:
        importlib.import_module(name)
    error, printed = "", io.StringIO()
    known, before = set(sys.modules), snapshot()
    start = time.perf_counter()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            importlib.import_module(task["module"])
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
    milliseconds = (time.perf_counter() - start) * 1000
    changed = differences(before, snapshot())
    brought = {name.partition(".")[0] for name in set(sys.modules) - known}
    own = {task["module"].partition(".")[0], "ganzoo"}
    packages = sorted(brought - own - sys.stdlib_module_names)
    result = Imported(milliseconds, packages, changed, printed.getvalue(), error)
    json.dump(result._asdict(), sys.stdout)


if __name__ == "__main__":
    main()
