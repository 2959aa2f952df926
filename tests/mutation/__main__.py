"""How many mutants of the code that matters most the tests notice: `make mutants`.

    python tests/mutation                                        all mutants; hours
    python tests/mutation recipe --sample 60                     60 of the recipe's, by a seed
    python tests/mutation schedules --only ganzoo.ramps:113#     the mutants of a line, one by one

A mutant is killed if a test fails or runs out of time. `groups.toml` says which modules are
changed, and which tests may notice.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants_of
from runs import Child, Coverage, first_to_end, measure, preload, run_mutant

GROUPS = Path(__file__).with_name("groups.toml")
LEAST = 0.85
"""The share of a group's mutants that tests have to kill."""


def main() -> None:
    """Run the mutants that the command line names."""
    groups: dict[str, Any] = tomllib.loads(GROUPS.read_text())
    arguments = parsed(list(groups))
    chosen = {name: groups[name] for name in arguments.groups or groups}
    preload()
    rates = {name: run_group(name, group, arguments) for name, group in chosen.items()}
    short = [name for name, rate in rates.items() if rate < LEAST]
    print("   ".join(f"{name} {rate:.1%}" for name, rate in rates.items()))
    if short:
        sys.exit(f"less than {LEAST:.0%} killed: {', '.join(short)}")


def parsed(groups: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tests/mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"any of {', '.join(groups)}")
    parser.add_argument("--sample", type=int, help="this many mutants of each group, at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="mutants whose names begin so; shows each"
    )
    arguments = parser.parse_args()
    for name in arguments.groups:
        if name not in groups:
            parser.error(f"no group is called '{name}'; there are {', '.join(groups)}")
    return arguments


def run_group(name: str, group: Mapping[str, Any], arguments: argparse.Namespace) -> float:
    """Run mutants of a group, print what came of them, and return the share that is killed."""
    paths = {module: path_of(module) for module in group["modules"]}
    mutants = [each for module, path in paths.items() for each in mutants_of(module, path)]
    count = len(mutants)
    if arguments.only:
        mutants = [each for each in mutants if each.name.startswith(tuple(arguments.only))]
    elif arguments.sample and arguments.sample < count:
        mutants = random.Random(f"{arguments.seed}/{name}").sample(mutants, arguments.sample)
    if not mutants:
        sys.exit(f"{name}: no mutant has such a name")
    covered = measure(group["tests"], list(paths.values()))
    print(f"{name}: {len(mutants)} of {count} mutants, {len(covered.seconds)} tests", flush=True)
    counts = {module: Counter[str]() for module in paths}
    nothing = unchanged(*next(iter(paths.items())))
    for mutant, outcome in outcomes([nothing, *mutants], covered, arguments.jobs):
        if mutant is nothing:
            if outcome != "survived":
                sys.exit(f"{name}: the tests fail in another order, without any mutant")
            continue
        counts[mutant.module][outcome] += 1
        if outcome == "survived" or arguments.only:
            print(f"{mutant.name} {outcome}\n{mutant.difference()}", flush=True)
    for module, each in counts.items():
        if each:
            print(f"    {module:32} {summary(each)}")
    total = sum(counts.values(), Counter[str]())
    print(f"    {name:32} {summary(total)}", flush=True)
    return 1 - total["survived"] / total.total()


def unchanged(module: str, path: Path) -> Mutant:
    """No mutant, which has to survive all tests in the order that mutants meet them."""
    return Mutant(module, path, 0, path.read_text, line=0, lines=range(0), always=True)


def outcomes(
    mutants: Sequence[Mutant], covered: Coverage, jobs: int
) -> Iterator[tuple[Mutant, str]]:
    """What comes of each mutant, as they end: killed, timed out or survived."""
    waiting, running = list(reversed(mutants)), dict[Child, Mutant]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.pop()
                tests = covered.tests_of(mutant.path, mutant.lines, always=mutant.always)
                if tests:
                    running[start(mutant, tests, covered)] = mutant
                else:
                    yield mutant, "survived"
            if running:
                child = first_to_end(list(running))
                mutant = running.pop(child)
                yield mutant, {0: "survived", None: "timed out"}.get(child.result(), "killed")
    finally:
        for child in running:  # after Ctrl-C, which does not reach their groups
            child.result()


def start(mutant: Mutant, tests: Sequence[str], covered: Coverage) -> Child:
    """Run the tests that may notice a mutant in a process of their own."""
    seconds = 30 + 5 * sum(covered.seconds[test] for test in tests)
    return Child(lambda: run_mutant(mutant.module, mutant.path, mutant.source, tests), seconds)


def summary(counts: Counter[str]) -> str:
    """Counts and the share that is killed, as a line of the table."""
    total = counts.total()
    words = ", ".join(f"{counts[each]} {each}" for each in ("killed", "timed out", "survived"))
    return f"{total:5} mutants: {words}: {1 - counts['survived'] / total:.1%} killed"


def path_of(module: str) -> Path:
    """The file of a module, which is not imported."""
    package, _, rest = module.partition(".")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f"{package} is not installed")
    folder = Path(found.origin).parent.joinpath(*rest.split(".")) if rest else Path(found.origin)
    if not rest:
        return folder
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


if __name__ == "__main__":
    main()
