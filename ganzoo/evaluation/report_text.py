"""The numbers, names and sentences of a report. No torch, no pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo.evaluation.document import ComparisonDocument, DataEntry, ModelEntry, Paired

NOTHING = "\N{EN DASH}"
"""Stands in a cell without a value."""
FEW = 3
"""Up to this many metrics without a difference are named, more are counted."""
MANY = 20
"""Number of comparisons from which on a remark on chance is made."""
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 4) -> str:
    """A number to `digits` significant digits, integers in full: `1,234`, `0.4120`, `3×10⁻⁷`."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    if value == 0 or (value == int(value) and abs(value) < 1e9):
        text = f"{value:,.0f}"
    elif 1e-4 <= abs(value) < 1e7:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
    else:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        text = f"{mantissa}{TIMES}10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return text.replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """`1.20 to 3.40`, with as many digits as the ends need to differ; empty without an interval."""
    if low is None or high is None:
        return ""
    if low == high:
        return "no spread"
    digits = next((n for n in range(3, 9) if number(low, n) != number(high, n)), 3)
    return f"{number(low, digits)} to {number(high, digits)}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def counted(count: int, word: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def short(name: str) -> str:
    """The name of a value without its extractor: `fid`."""
    return name.partition("[")[0]


def value_text(value: Any) -> str:
    """A value of a recipe, almost as TOML writes it; a dash for a key that a recipe lacks."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def recipe_labels(models: Sequence[ModelEntry]) -> list[str]:
    """The names of the recipes, in order; equal names are numbered."""
    # A recipe that is shown with several priors has several models of the same runs.
    runs = {tuple(run["path"] for run in model["runs"]): model["name"] for model in models}
    names = list(runs.values())
    return [
        f"{name} ({names[:place].count(name) + 1})" if name in names[:place] else name
        for place, name in enumerate(names)
    ]


def setting(comparison: ComparisonDocument) -> str:
    """The data, the seeds and the length of training, in a line."""
    data, budget = comparison["data"], comparison["budget"]
    length = "each as long as its recipe says" if budget is None else budget["text"]
    seeds = counted(len(comparison["seeds"]), "seed")
    return f"Data: {data['name']} ({_data(data)}); {seeds}, {length}."


def summary(comparison: ComparisonDocument) -> str:
    """What was compared, on which data, and how it was measured."""
    data, seeds = comparison["data"], comparison["seeds"]
    names = recipe_labels(comparison["models"])
    was, each = ("was", "") if len(names) == 1 else ("were", " each")
    own_length = f"as long as {'its' if len(names) == 1 else 'each'} recipe says"
    budget = comparison["budget"]
    sentences = [
        f"{listed(names)} {was} trained on {data['name']} ({_data(data)}) with "
        f"{counted(len(seeds), 'seed')}{each} ({', '.join(map(str, seeds))}), "
        f"for {own_length if budget is None else budget['text']}.",
        "Metrics are computed at the end of training from "
        f"{counted(comparison['generated'], 'generated sample')} of each run and "
        f"{_real(comparison)}.",
    ]
    if extractor := comparison["extractor"]:
        note = extractor["note"] or f"the extractor '{extractor['type']}'"
        sentences.append(
            f"Those marked {extractor['name']} are computed from the features of {note}."
        )
    return " ".join(sentences)


def _data(data: DataEntry) -> str:
    shape = data["sample_shape"]
    if len(shape) == 3:
        colours = {1: "grey ", 3: "colour ", 4: "RGBA "}.get(shape[0], "")
        kind = f"{shape[2]}{TIMES}{shape[1]} {colours}images"
    else:
        kind = f"points in {counted(shape[0], 'dimension')}"
    parts = [kind, counted(data["train"], "training sample")]
    if data["num_classes"]:
        parts.insert(1, counted(data["num_classes"], "class").replace("classs", "classes"))
    return ", ".join(parts)


def _real(comparison: ComparisonDocument) -> str:
    if comparison["real_from"] == "train":
        count = counted(comparison["real"], "training sample")
        return f"{count}, because the data set has no held-out samples"
    return counted(comparison["real"], "held-out real sample")


def warnings(comparison: ComparisonDocument) -> list[str]:
    """A sentence for each run that failed, for each sign that training went wrong, for each sign
    of a collapse and for each metric that was left out, each once."""
    sentences = []
    for model in comparison["models"]:
        for run in model["runs"]:
            where = f"{model['label']}, seed {run['seed']}"
            if run["state"] != "done":
                reason = run["message"] or "without a message"
                sentences.append((run["path"], f"{run['state']}: {reason}", where))
            sentences += [
                (run["path"], f"at iteration {row['iteration']:,}: {row['text']}", where)
                for row in run["warnings"]
            ]
            sentences += [
                (run["path"], f"may have collapsed: {sentence}", where)
                for sentence in run["collapse"]
            ]
            sentences += [
                (run["path"], f"was measured without '{metric}': {reason}", where)
                for metric, reason in run["left_out"].items()
            ]
    # A recipe that is shown with several priors has several models of the same runs.
    first = {(path, text): where for path, text, where in reversed(sentences)}
    return [f"{where} {text}" for (_, text), where in reversed(first.items())]


SAME = "no significant difference"


@dataclass(frozen=True)
class Verdict:
    """How a model differs from the first one in the metrics that judge."""

    label: str
    clauses: Sequence[tuple[str, str]]
    """`better in`, `worse in` or `no significant difference in`, and the names of metrics."""


def verdicts(comparison: ComparisonDocument) -> list[Verdict]:
    """The results of the paired comparisons in the metrics that judge, model by model."""
    results = []
    labels = {column["name"]: column["label"] for column in comparison["columns"]}
    for model in comparison["models"][1:]:
        names: dict[str, list[str]] = {"better": [], "worse": [], SAME: []}
        for name, paired in _judging_pairs(comparison, model):
            by = "" if paired["verdict"] == SAME else f" by {number(abs(paired['difference']), 3)}"
            names[str(paired["verdict"])].append(labels[name] + by)
        if len(names[SAME]) > FEW:
            names[SAME] = [f"{len(names[SAME])} of {sum(map(len, names.values()))} metrics"]
        clauses = [(f"{verdict} in", listed(each)) for verdict, each in names.items() if each]
        if clauses:
            results.append(Verdict(model["label"], clauses))
    return results


def remarks(comparison: ComparisonDocument) -> list[str]:
    """Which model is best of all, and what chance may have done."""
    models, winners = comparison["models"], comparison["winners"]
    by_model: dict[str, list[str]] = {}
    for column in comparison["columns"]:
        winner = winners.get(column["name"]) if column["headline"] else None
        if winner is not None and len(models) > 2:
            by_model.setdefault(winner, []).append(column["label"])
    sentences = [
        f"{label} is best in {listed(by_model[label])}: its interval overlaps no other."
        for label in by_model
    ]
    intervals = [
        paired["low"] is not None
        for model in models[1:]
        for _, paired in _judging_pairs(comparison, model)
    ]
    if intervals and not any(intervals):
        sentences.append(
            "With one seed for each model, differences cannot be distinguished from chance."
        )
    if (count := sum(intervals)) >= MANY:
        chance = round(count / 20)
        sentences.append(
            f"Intervals are not corrected for multiple comparisons: among {count} with no real "
            f"difference, about {'one' if chance == 1 else chance} would look significant."
        )
    return sentences


def _judging_pairs(
    comparison: ComparisonDocument, model: ModelEntry
) -> Iterator[tuple[str, Paired]]:
    for column in comparison["columns"]:
        paired = model.get("paired", {}).get(column["name"])
        if column["headline"] and paired and paired["verdict"]:
            yield column["name"], paired
