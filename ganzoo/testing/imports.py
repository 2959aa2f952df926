"""What a plugin prints and changes, and what importing it costs in a process of its own.

This file is also the program that the process runs, so it imports nothing but the standard
library.
"""

from __future__ import annotations

import functools
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

TRIES = 5
"""How often an import that seems slow is timed again: the machine may have been busy."""
SECONDS = 60
"""After so many an import is given up."""
BLANKET = "warning filters for all warnings"
ENVIRONMENT = "environment variable"
HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python does not show by default."""


@dataclass
class Effects:
    """What happens to the process while something is done."""

    milliseconds: float = 0.0
    packages: Sequence[str] = ()
    """Packages that are imported, besides those of Python itself."""
    out: str = ""
    err: str = ""
    warned: Sequence[str] = ()
    changed: Sequence[str] = ()
    """Changes of global state, as texts."""
    error: str = ""
    """Why it cannot be done, if that is recorded at all."""

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """A context in which it is done; all of this is known at its end."""
        known, out, err = set(sys.modules), io.StringIO(), io.StringIO()
        recording = warnings.catch_warnings(record=True, action="default")
        with recording as caught, redirect_stdout(out), redirect_stderr(err):
            before, start = snapshot(), time.perf_counter()
            yield
            self.milliseconds = (time.perf_counter() - start) * 1000
            self.changed = differences(before, snapshot())
        brought = {name.partition(".")[0] for name in set(sys.modules) - known}
        self.packages = sorted(brought - sys.stdlib_module_names)
        self.out, self.err = out.getvalue(), err.getvalue()
        shown = [each.message for each in caught if not issubclass(each.category, HIDDEN)]
        self.warned = list(map(str, shown))


def snapshot() -> dict[str, str]:
    """The global state that a plugin might change and another part of a run would notice."""
    parts = {
        **{f"{ENVIRONMENT} {name}": value for name, value in os.environ.items()},
        "working directory": os.getcwd(),
        "sys.path": sys.path,
        "recursion limit": sys.getrecursionlimit(),
        "sys.excepthook": sys.excepthook,
        "handler of Ctrl-C": signal.getsignal(signal.SIGINT),
        "level of the root logger": logging.getLevelName(logging.getLogger().level),
        "handlers of the root logger": logging.getLogger().handlers,
        "warning filters": warnings.filters,
        BLANKET: [rule for rule in warnings.filters if _is_blanket(rule)],
        "Python's random stream": random.getstate(),
    }
    if numpy := sys.modules.get("numpy"):
        state = numpy.random.get_state(legacy=False)["state"]
        parts["numpy's random stream"] = state["key"].tobytes(), state["pos"]
    if torch := sys.modules.get("torch"):
        parts |= {f"torch's {name}": value for name, value in _torch_parts(torch).items()}
    return {name: str(value) for name, value in parts.items()}


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


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What has changed from one snapshot to a later one, but no state of libraries that were not
    imported at the first; a text for each."""
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new and (old is not None or name.startswith(ENVIRONMENT)):
            shown = old and new and max(len(old), len(new)) < 60
            changes.append(f"{name} ({old} is now {new})" if shown else name)
    return changes


@functools.lru_cache(maxsize=1)
def measure(module: str, at_most: float) -> Effects:
    """Import a module in processes of its own, after `ganzoo.api`: once, or more often if it took
    over `at_most` ms, of which the best counts. Where torch comes in, its state is compared too."""
    best = _in_process(module)
    for _ in range(TRIES - 1):
        if best.error or best.milliseconds <= at_most or "torch" in best.packages:
            break
        best = min(best, _in_process(module), key=lambda each: each.milliseconds)
    if "torch" in best.packages:
        # Its defaults are known only where it is imported first.
        changed = _in_process(module, "torch").changed
        best = replace(best, changed=sorted({*best.changed, *changed}))
    return best


def _in_process(module: str, *first: str) -> Effects:
    task = json.dumps([sys.path, ["ganzoo.api", *first], module])
    # -P: the folder of this file is not to be searched for modules.
    command = [sys.executable, "-P", __file__]
    try:
        ended = subprocess.run(
            command, input=task, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return Effects(**json.loads(ended.stdout))
    except subprocess.TimeoutExpired:
        return Effects(error=f"it has not ended after {SECONDS} seconds")
    except ValueError:
        last = (ended.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return Effects(error=f"the process ended with {ended.returncode}: {last}")


def main() -> None:
    """Do the task on stdin, and write the fields of its `Effects` to stdout."""
    sys.path[:], first, module = json.load(sys.stdin)
    for name in first:
        importlib.import_module(name)
    effects = Effects()
    with effects.recorded():
        try:
            importlib.import_module(module)
        except BaseException as error:
            effects.error = f"{type(error).__name__}: {error}"
    own = {module.partition(".")[0], "ganzoo"}
    effects.packages = [name for name in effects.packages if name not in own]
    json.dump(vars(effects), sys.stdout)


if __name__ == "__main__":
    main()
