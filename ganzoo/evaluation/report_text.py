"""The numbers, names and sentences of a report. No torch, no pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "\N{EN DASH}"
"""Stands in a cell where there is no figure."""
FEW = 3
"""Figures without a difference up to which they are named."""
MANY = 20
"""Comparisons from which on chance is worth a word."""
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 4) -> str:
    """A figure to `digits` significant digits, whole numbers whole: `1,234`, `0.4120`, `3×10⁻⁷`."""
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
    """`1.20 to 3.40`, to as many digits as tell them apart; nothing where there is none."""
    if low is None or high is None:
        return ""
    if low == high:
        return "in every seed"
    digits = next((n for n in range(3, 9) if number(low, n) != number(high, n)), 3)
    return f"{number(low, digits)} to {number(high, digits)}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def counted(count: int, word: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def short(figure: str) -> str:
    """The name of a figure without its extractor: `fid`."""
    return figure.partition("[")[0]


def value_text(value: Any) -> str:
    """A value of a recipe as TOML's readers know it; a key that is not there has a dash."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def recipe_labels(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the recipes, in order; one that is not the first of its name has a number."""
    # A model that is shown with two priors has its runs twice.
    runs = {tuple(run["path"] for run in model["runs"]): model["name"] for model in models}
    names = list(runs.values())
    return [
        f"{name} ({names[:place].count(name) + 1})" if name in names[:place] else name
        for place, name in enumerate(names)
    ]


def summary(comparison: Mapping[str, Any]) -> str:
    """What was compared, on what, and how it was measured."""
    data, seeds = comparison["data"], comparison["seeds"]
    names = recipe_labels(comparison["models"])
    was, each = ("was", "") if len(names) == 1 else ("were", " each")
    own = f"as long as {'its' if len(names) == 1 else 'each'} recipe says"
    budget = comparison["budget"]
    sentences = [
        f"{listed(names)} {was} trained on {data['name']} ({_data(data)}) with "
        f"{counted(len(seeds), 'seed')}{each} ({', '.join(map(str, seeds))}), "
        f"for {own if budget is None else budget['text']}.",
        f"Figures are taken at the end of training on {counted(comparison['generated'], 'sample')} "
        f"of each run, against {_real(comparison)}.",
    ]
    if extractor := comparison["extractor"]:
        sentences.append(
            f"Figures marked {extractor['name']} are taken in its features: {extractor['note']}."
        )
    return " ".join(sentences)


def _data(data: Mapping[str, Any]) -> str:
    shape = data["sample_shape"]
    if len(shape) == 3:
        colours = {1: "grey ", 3: "colour "}.get(shape[0], "")
        what = f"{shape[2]}{TIMES}{shape[1]} {colours}images"
    else:
        what = f"points in {counted(shape[0], 'dimension')}"
    parts = [what, f"{data['train']:,} to train on"]
    if data.get("num_classes"):
        parts.insert(1, counted(data["num_classes"], "class").replace("classs", "classes"))
    return ", ".join(parts)


def _real(comparison: Mapping[str, Any]) -> str:
    count = f"{comparison['real']:,}"
    if comparison["real_from"] == "train":
        return f"{count} training samples, because the data set holds none out"
    return f"{count} real samples that were held out"


def warnings(comparison: Mapping[str, Any]) -> list[str]:
    """A sentence for each run that failed and for each sign of a collapse, none twice."""
    found = []
    for model in comparison["models"]:
        for run in model["runs"]:
            where = f"{model['label']}, seed {run['seed']}"
            if run["state"] != "done":
                reason = run.get("message") or "without a message"
                found.append((run["path"], f"{run['state']}: {reason}", where))
            found += [
                (run["path"], f"may have collapsed: {sentence}", where)
                for sentence in run.get("collapse") or ()
            ]
    # A model that is shown with two priors has its runs twice.
    first = {(path, what): where for path, what, where in reversed(found)}
    return [f"{where} {what}" for (_, what), where in reversed(first.items())]


SAME = "no difference shown"


@dataclass(frozen=True)
class Verdict:
    """How a model differs from the first one in the headline figures."""

    label: str
    clauses: Sequence[tuple[str, str]]
    """`better in`, `worse in` or `no difference shown in`, and which figures."""


def verdicts(comparison: Mapping[str, Any]) -> list[Verdict]:
    """What the paired comparisons say of the headline figures."""
    found = []
    for model in comparison["models"][1:]:
        said: dict[str, list[str]] = {"better": [], "worse": [], SAME: []}
        for figure, paired in _headline_pairs(comparison, model):
            by = "" if paired["verdict"] == SAME else f" by {number(abs(paired['difference']), 3)}"
            said[paired["verdict"]].append(short(figure) + by)
        if len(said[SAME]) > FEW:
            said[SAME] = [f"{len(said[SAME])} of {sum(map(len, said.values()))} figures"]
        clauses = [(f"{way} in", listed(figures)) for way, figures in said.items() if figures]
        if clauses:
            found.append(Verdict(model["label"], clauses))
    return found


def remarks(comparison: Mapping[str, Any]) -> list[str]:
    """What has to be said besides: who is best of all, and what chance does."""
    models, winners = comparison["models"], comparison["winners"]
    by_model: dict[str, list[str]] = {}
    for figure in (each["name"] for each in comparison["metrics"] if each["headline"]):
        if winners.get(figure) and len(models) > 2:
            by_model.setdefault(winners[figure], []).append(short(figure))
    sentences = [
        f"{label} is clear of all others in {listed(by_model[label])}." for label in by_model
    ]
    intervals = [
        paired["low"] is not None
        for model in models[1:]
        for _, paired in _headline_pairs(comparison, model)
    ]
    if intervals and not any(intervals):
        sentences.append("One seed cannot tell a difference between models from chance.")
    if sum(intervals) >= MANY:
        sentences.append(
            f"Each interval stands for itself: of {sum(intervals)} comparisons without any true "
            f"difference, about {sum(intervals) / 20:.0f} would show one by chance."
        )
    return sentences


def _headline_pairs(
    comparison: Mapping[str, Any], model: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for metric in comparison["metrics"]:
        paired = (model.get("paired") or {}).get(metric["name"])
        if metric["headline"] and paired and paired["verdict"]:
            yield metric["name"], paired
