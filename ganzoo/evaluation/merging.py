"""Puts what metrics gave later into what others gave before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ganzoo.evaluation.document import Measures
from ganzoo.evaluation.measure import best_of

T = TypeVar("T")

WAY: Mapping[str, str] = {
    "generated": "generated samples",
    "real": "real samples",
    "real_from": "part of the data",
    "data": "sizes of the data",
    "prior": "prior",
    "iteration": "last iteration",
}
"""What has to be the same for values to stand beside each other, and how people call it."""


def difference(before: Measures, now: Measures) -> str | None:
    """In what two measurements of a run are not alike, in words; None where they are.

    Extractors are compared where both have one: without one no value depends on it.
    """
    old, new = before["extractor"], now["extractor"]
    if old and new and (old["type"], old["digest"]) != (new["type"], new["digest"]):
        return f"extractor {old['name']}, now {new['name']}"
    past: Mapping[str, Any] = before
    for key, words in WAY.items():
        if past[key] != now[key]:  # type: ignore[literal-required]
            return f"{words} {past[key]}, now {now[key]}"  # type: ignore[literal-required]
    iterations = [[row["iteration"] for row in each["history"]] for each in (before, now)]
    if iterations[0] != iterations[1]:
        return f"snapshots of {iterations[0]}, now {iterations[1]}"
    return None


def merged(before: Measures, now: Measures, order: Sequence[str]) -> Measures:
    """Both measurements as one; what both hold is as it is now.

    `order` are the types of metrics whose values come first. A metric that gave values before and
    none now keeps those that it has.
    """
    replaced = {metric_of(name) for name in now["values"]}

    def both(old: Mapping[str, T], new: Mapping[str, T]) -> dict[str, T]:
        kept = {name: each for name, each in old.items() if metric_of(name) not in replaced}
        return {**kept, **new}

    values = both(before["values"], now["values"])
    places = {name: place for place, name in enumerate(order)}
    names = sorted(values, key=lambda name: places.get(metric_of(name), len(places)))
    history = [
        {"iteration": old["iteration"], "values": both(old["values"], new["values"])}
        for old, new in zip(before["history"], now["history"], strict=True)
    ]
    better = both(before["better"], now["better"])
    left_out = {**before["left_out"], **now["left_out"]}
    measured = {metric_of(name) for name in values}
    return {
        **now,
        "extractor": now["extractor"] or before["extractor"],
        "values": {name: values[name] for name in names},
        "history": history,  # type: ignore[typeddict-item]
        "best": best_of(history, better),  # type: ignore[arg-type]
        "better": better,
        "bounds": both(before["bounds"], now["bounds"]),
        # A sentence begins with the name of its value.
        "collapse": [
            *(text for text in before["collapse"] if metric_of(text.split()[0]) not in replaced),
            *now["collapse"],
        ],
        "other_priors": {
            prior: both(before["other_priors"].get(prior, {}), each)
            for prior, each in now["other_priors"].items()
        },
        "left_out": {name: why for name, why in left_out.items() if name not in measured},
    }


def metric_of(value: str) -> str:
    """The type of the metric that gave a value: `fid` of `fid[classifier@3f2a]`."""
    return value.partition("[")[0].partition("/")[0]
