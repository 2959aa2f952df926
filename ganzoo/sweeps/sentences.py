"""What a sweep has shown, in words: for its report and for the terminal."""

from __future__ import annotations

from ganzoo.evaluation import report_text
from ganzoo.evaluation.document import Paired
from ganzoo.evaluation.report_text import counted, interval, listed, number
from ganzoo.sweeps.document import PointEntry, SweepDocument


def summary(sweep: SweepDocument) -> str:
    """What was varied, and how it was measured."""
    comparison, seeds = sweep["comparison"], sweep["seeds"]
    names = listed([key["key"] for key in sweep["keys"]])
    count = counted(len(sweep["points"]), "point")
    verb = "was" if len(sweep["points"]) == 1 else "were"
    lengths = {model["recipe"]["train"]["iterations"] for model in comparison["models"]}
    length = " to ".join(f"{each:,}" for each in sorted({min(lengths), max(lengths)}))
    extractor = sweep["metric"].partition("[")[2].removesuffix("]")
    features = f" in the features of {extractor}" if extractor else ""
    source = {"held out": "held-out", "train": "training"}[comparison["real_from"]]
    seeds_text = f"{counted(len(seeds), 'seed')}{' each' if len(seeds) > 1 else ''}"
    return (
        f"{count} of {sweep['identity']['recipe']} that differ in {names} {verb} trained on "
        f"{comparison['data']['name']} with {seeds_text} ({', '.join(map(str, seeds))}), for "
        f"{length} iterations. They are ranked by {sweep['label']}{features} at the end of "
        f"training ({sweep['better']} is better), from "
        f"{counted(comparison['generated'], 'generated sample')} of each run and "
        f"{counted(comparison['real'], f'{source} real sample')}."
    )


def sentences(sweep: SweepDocument) -> list[str]:
    """Which point is best, and whether it is separate from the others."""
    done = [point for point in sweep["points"] if point["state"] == "done"]
    if not done or sweep["best"] is None:
        return ["No point is done."]
    best, name = done[0], sweep["label"]
    count = counted(len(sweep["points"]), "point")
    told = [f"{best['label']} is best of {count}: {_value(best, name)}."]
    if len(done) == 1:
        return told
    second = done[1]
    ties = [point["label"] for point in done if mean_text(point) == mean_text(best)]
    if len(ties) > 1:
        shared = f"{len(ties)} points share the best value, {_value(best, name)}"
        told = [f"{shared}: {'; '.join(ties)}."]
        told.append(f"The first of them, {best['label']}, is written.")
    elif len(sweep["seeds"]) == 1:
        told.append(
            f"The second is {second['label']} with {mean_text(second)}. With one seed for each "
            "point, differences cannot be distinguished from chance."
        )
    else:
        difference = second["paired"]
        by = _difference(difference)
        if sweep["best"]["separate"]:
            told.append(f"At equal seeds it is better than the second, {second['label']}, by {by}.")
        else:
            told.append(
                f"It is not separate from the second, {second['label']}: the difference at equal "
                f"seeds is {by}."
            )
            close = sum(not _is_worse(point["paired"]) for point in done[1:])
            if close > 1:
                told.append(f"{close} of {len(done) - 1} other points are not separate from it.")
    told.append(
        "The best point is chosen by the values that it is shown with, so its value is optimistic."
    )
    return told


def _value(point: PointEntry, name: str) -> str:
    """`fid 12.3 (11.0 to 14.1)`, with its seeds."""
    entry = point["summary"]
    assert entry is not None
    within = interval(entry["low"], entry["high"])
    seeds = f", the mean of {entry['seeds']} seeds" if entry["seeds"] > 1 else " with one seed"
    return f"{name} {number(entry['mean'])}{f' ({within})' if within else ''}{seeds}"


def mean_text(point: PointEntry) -> str:
    """The mean of a point's headline, or a dash."""
    entry = point["summary"]
    return number(None if entry is None else entry["mean"])


def _difference(difference: Paired | None) -> str:
    """`0.91 (0.20 to 1.62)`: a difference without its sign, which the words around it give."""
    if difference is None:
        return report_text.NOTHING
    low, high = difference["low"], difference["high"]
    if low is not None and high is not None and difference["difference"] < 0:
        low, high = -high, -low
    within = interval(low, high)
    return f"{number(abs(difference['difference']), 3)}{f' ({within})' if within else ''}"


def _is_worse(difference: Paired | None) -> bool:
    return difference is not None and difference["verdict"] == "worse"


def warnings(sweep: SweepDocument) -> list[str]:
    """What failed, and signs that training went wrong."""
    failed = [
        f"{point['label']} failed: {point['message']}"
        for point in sweep["points"]
        if point["state"] == "failed"
    ]
    # Failures are told by point.
    others = [text for text in report_text.warnings(sweep["comparison"]) if " failed: " not in text]
    return failed + others
