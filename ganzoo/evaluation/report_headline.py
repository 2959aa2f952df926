"""What a comparison shows, in one sentence that claims no more than the intervals do."""

from __future__ import annotations

from ganzoo.evaluation.document import ColumnEntry, ComparisonDocument, ModelEntry, Summary
from ganzoo.evaluation.report_text import counted, listed, number

FEW = 2
"""Up to this many models are named, more are counted."""
BETTER = {"lower": "Lower", "higher": "Higher"}


def sentence(comparison: ComparisonDocument) -> str:
    """`digits-vae beats digits-mlp-gan: FID 5.2 against 48`, or that no difference is shown.

    Of many models it names the best and the runner-up.
    """
    models = comparison["models"]
    if (column := _column(comparison)) is None:
        return "No metric judges all models" if len(models) > 1 else comparison["title"]
    ranked, label = _ranked(comparison), column["label"]
    if not ranked:
        return f"No model has a finite {label}"
    best = ranked[0]["label"]
    if len(ranked) == 1:
        value = number(_mean(ranked[0], column), 3)
        others = "; no other model has a value" if len(models) > 1 else ""
        return f"{best} reaches {label} {value}{others}"
    second, beaten = ranked[1]["label"], _beaten(comparison)
    first, next_ = _apart(_mean(ranked[0], column), _mean(ranked[1], column))
    if _one_seed(comparison):
        return f"One seed shows no difference: {label} {first} of {best}, {next_} of {second}"
    if second not in beaten:
        return f"No difference shown between {best} and {second}: {label} {first} and {next_}"
    if len(ranked) == 2:
        return f"{best} beats {second}: {label} {first} against {next_}"
    if len(beaten) == len(ranked) - 1:
        return (
            f"{best} beats all {len(beaten)} others: "
            f"{label} {first} against {next_} of {second}, the runner-up"
        )
    return f"{best} beats {second}, the runner-up: {label} {first} against {next_}"


def evidence(comparison: ComparisonDocument) -> str:
    """On what the sentence rests; empty where no value judges all models."""
    if (column := _column(comparison)) is None:
        return ""
    ranked, beaten = _ranked(comparison), _beaten(comparison)
    sentences = [f"{BETTER[column['better'] or 'lower']} {column['label']} is better."]
    if len(ranked) < 2:
        return sentences[0]
    first, second = ranked[:2]
    seeds = counted(min(_seeds(model, column) for model in ranked[:2]), "seed")
    if _one_seed(comparison):
        sentences.append("Only several seeds tell a difference from chance: --seeds 3.")
    elif second["label"] not in beaten:
        sentences.append(
            f"Over {seeds} their 95 % intervals overlap, and that of the difference at equal seeds "
            "does not exclude zero."
        )
    elif _overlap(first["summaries"][column["name"]], second["summaries"][column["name"]]):
        sentences.append(
            f"Over {seeds} the 95 % interval of the difference at equal seeds excludes zero."
        )
    else:
        sentences.append(f"Over {seeds} their 95 % intervals do not overlap.")
    undecided = [model["label"] for model in ranked[1:] if model["label"] not in beaten]
    if beaten and undecided:
        but = f"but is not shown to beat {_few(undecided)}."
        sentences.append(f"{first['label']} beats {_few(beaten)}, {but}")
    if missing := len(comparison["models"]) - len(ranked):
        have = "has" if missing == 1 else "have"
        sentences.append(f"{counted(missing, 'model')} {have} no finite value.")
    return " ".join(sentences)


def _few(labels: list[str]) -> str:
    """The labels where they are few, else how many there are."""
    return listed(labels) if len(labels) <= FEW else counted(len(labels), "other")


def leading(comparison: ComparisonDocument, count: int) -> list[str]:
    """The labels of at most `count` models, the best first where they are ranked."""
    headline = comparison["headline"]
    ranking = [] if headline is None else headline["ranking"]
    return list(dict.fromkeys([*ranking, *(m["label"] for m in comparison["models"])]))[:count]


def _column(comparison: ComparisonDocument) -> ColumnEntry | None:
    headline = comparison["headline"]
    if headline is None:
        return None
    return next(each for each in comparison["columns"] if each["name"] == headline["name"])


def _ranked(comparison: ComparisonDocument) -> list[ModelEntry]:
    headline = comparison["headline"]
    by_label = {model["label"]: model for model in comparison["models"]}
    return [] if headline is None else [by_label[label] for label in headline["ranking"]]


def _beaten(comparison: ComparisonDocument) -> list[str]:
    headline = comparison["headline"]
    return [] if headline is None else headline["beaten"]


def _mean(model: ModelEntry, column: ColumnEntry) -> float:
    return model["summaries"][column["name"]]["mean"]


def _seeds(model: ModelEntry, column: ColumnEntry) -> int:
    return model["summaries"][column["name"]]["seeds"]


def _overlap(one: Summary, other: Summary) -> bool:
    if one["low"] is None or one["high"] is None or other["low"] is None or other["high"] is None:
        return True
    return one["low"] <= other["high"] and other["low"] <= one["high"]


def _one_seed(comparison: ComparisonDocument) -> bool:
    """Whether the best or the runner-up was trained once only."""
    column = _column(comparison)
    return column is not None and any(
        _seeds(model, column) == 1 for model in _ranked(comparison)[:2]
    )


def _apart(one: float, other: float) -> tuple[str, str]:
    """Two finite values with as many digits as they need to differ, but no more than six."""
    # A whole number has no digits behind the point, so the texts of one value may differ.
    digits = next((n for n in range(2, 7) if f"{one:.{n - 1}e}" != f"{other:.{n - 1}e}"), 4)
    return number(one, digits), number(other, digits)
