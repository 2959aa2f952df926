"""The sentence that a comparison is summed up in, which never claims more than intervals show."""

# Signs that look like others are part of what is tested.

from __future__ import annotations

import math

import pytest

from ganzoo.comparison.models import headline_entry
from ganzoo.comparison.statistics import summary
from ganzoo.evaluation.document import (
    ColumnEntry,
    ComparisonDocument,
    Direction,
    ModelEntry,
    headline_column,
)
from ganzoo.evaluation.report_headline import evidence, leading, sentence

NAME = "fid[random@0123]"


def model(label: str, *values: float, name: str = NAME) -> ModelEntry:
    """A model with a run for each value."""
    runs = [{"seed": seed, "values": {name: value}} for seed, value in enumerate(values)]
    summaries = {name: summary(values)} if values else {}
    return {"label": label, "name": label, "runs": runs, "summaries": summaries}  # type: ignore[typeddict-item]


def document(
    *models: ModelEntry, better: Direction | None = "lower", label: str = "FID", seeds: int = 2
) -> ComparisonDocument:
    columns: list[ColumnEntry] = [
        {
            "name": NAME,
            "label": label,
            "better": better,
            "meaning": "",
            "headline": better is not None,
        }
    ]
    return {
        "title": ", ".join(model["label"] for model in models),
        "models": list(models),
        "columns": columns,
        "headline": headline_entry(models, columns),
        "seeds": list(range(seeds)),
    }  # type: ignore[typeddict-item]


def test_one_beats_the_other_where_intervals_are_separate() -> None:
    comparison = document(model("gan", 48.0, 48.2), model("vae", 5.2, 5.21))
    assert sentence(comparison) == "vae beats gan: FID 5.2 against 48"
    assert evidence(comparison) == (
        "Lower FID is better. Over 2 seeds their 95 % intervals do not overlap."
    )


def test_one_beats_the_other_where_the_difference_at_equal_seeds_is_sure() -> None:
    comparison = document(model("a", 10.0, 20.0), model("b", 11.0, 21.01))
    assert sentence(comparison) == "a beats b: FID 15 against 16"
    assert evidence(comparison) == (
        "Lower FID is better. Over 2 seeds the 95 % interval of the difference at equal seeds "
        "excludes zero."
    )


def test_no_difference_is_claimed_where_none_is_shown() -> None:
    comparison = document(model("a", 10.0, 20.0), model("b", 31.0, 20.0))
    assert sentence(comparison) == "No difference shown between a and b: FID 15 and 26"
    assert evidence(comparison) == (
        "Lower FID is better. Over 2 seeds their 95 % intervals overlap, and that of the "
        "difference at equal seeds does not exclude zero."
    )


def test_equal_models_do_not_beat_each_other() -> None:
    comparison = document(model("a", 3.0, 3.0), model("b", 3.0, 3.0))
    assert sentence(comparison) == "No difference shown between a and b: FID 3 and 3"


def test_values_have_the_digits_in_which_they_differ() -> None:
    comparison = document(model("a", 0.71234, 0.71234), model("b", 0.71211, 0.71211))
    assert sentence(comparison) == "b beats a: FID 0.7121 against 0.7123"


def test_higher_may_be_better() -> None:
    pair = model("a", 0.5, 0.5), model("b", 0.9, 0.9)
    comparison = document(*pair, better="higher", label="Recall")
    assert sentence(comparison) == "b beats a: Recall 0.90 against 0.50"
    assert evidence(comparison).startswith("Higher Recall is better.")


def test_one_seed_shows_nothing() -> None:
    comparison = document(model("a", 5.0), model("b", 500.0), seeds=1)
    assert sentence(comparison) == "One seed shows no difference: FID 5 of a, 500 of b"
    assert evidence(comparison) == (
        "Lower FID is better. Only several seeds tell a difference from chance: --seeds 3."
    )
    uneven = document(model("a", 5.0), model("b", 500.0, 501.0))
    assert sentence(uneven).startswith("One seed shows no difference: ")


def test_many_models_are_the_best_and_the_runner_up() -> None:
    others = model("b", 6.0, 6.01), model("c", 9.0, 9.1), model("d", 30.0, 30.2)
    comparison = document(*others, model("a", 5.0, 5.01))
    assert sentence(comparison) == ("a beats all 3 others: FID 5.0 against 6.0 of b, the runner-up")
    assert leading(comparison, 3) == ["a", "b", "c"]


def test_a_wide_interval_behind_the_runner_up_is_named() -> None:
    models = model("a", 5.0, 5.01), model("b", 6.0, 6.01), model("c", 1.0, 99.0)
    comparison = document(*models)
    assert sentence(comparison) == "a beats b, the runner-up: FID 5.0 against 6.0"
    assert evidence(comparison).endswith("a beats b, but is not shown to beat c.")


def test_a_close_runner_up_takes_the_claim_away_but_not_that_others_are_beaten() -> None:
    models = model("a", 5.0, 7.0), model("b", 7.1, 5.0), model("c", 90.0, 90.1)
    comparison = document(*models)
    assert sentence(comparison) == "No difference shown between a and b: FID 6 and 6.05"
    assert evidence(comparison).endswith("a beats c, but is not shown to beat b.")


def test_many_models_behind_the_first_are_counted() -> None:
    sure = [model(label, 6.0, 6.01) for label in "bcd"]
    comparison = document(model("a", 5.0, 5.01), *sure, model("e", 1.0, 99.0))
    assert evidence(comparison).endswith("a beats 3 others, but is not shown to beat e.")


def test_models_without_a_finite_value_are_counted() -> None:
    comparison = document(model("a", 5.0, 5.1), model("b", math.nan, 2.0), model("c"))
    assert sentence(comparison) == "a reaches FID 5.05; no other model has a value"
    three = document(model("a", 5.0, 5.01), model("b", 9.0, 9.01), model("c"))
    assert sentence(three) == "a beats b: FID 5.0 against 9.0"
    assert evidence(three).endswith("1 model has no finite value.")
    assert leading(three, 4) == ["a", "b", "c"]
    lost = document(model("a", math.nan, math.nan), model("b", math.inf, 1.0))
    assert sentence(lost) == "No model has a finite FID"


def test_one_model_has_its_value() -> None:
    assert sentence(document(model("a", 5.0, 5.2))) == "a reaches FID 5.10"
    assert evidence(document(model("a", 5.0, 5.2))) == "Lower FID is better."


@pytest.mark.parametrize(
    ("models", "text"),
    [
        ([model("a", 1.0), model("b", 2.0)], "No metric judges all models"),
        ([model("a", 1.0)], "a"),
    ],
)
def test_what_judges_nothing_makes_no_headline(models: list[ModelEntry], text: str) -> None:
    comparison = document(*models, better=None)
    assert (sentence(comparison), evidence(comparison)) == (text, "")


def test_the_headline_is_of_the_first_value_that_all_measured_models_have() -> None:
    one, two = model("a", 1.0, 1.1, name="elbo"), model("b", 2.0, 2.1, name="fid")
    for each in (one, two):
        each["summaries"]["kid"] = summary([3.0, 3.1])
    columns: list[ColumnEntry] = [
        {"name": name, "label": name, "better": better, "meaning": "", "headline": bool(better)}  # type: ignore[typeddict-item]
        for name, better in (("elbo", "higher"), ("fid", "lower"), ("size", None), ("kid", "lower"))
    ]
    entry = headline_entry([one, two, model("failed")], columns)
    assert entry is not None
    assert entry["name"] == "kid"


def test_a_value_that_is_the_same_for_all_priors_does_not_stand_for_the_comparison() -> None:
    def sampled(prior: str, fid: float) -> ModelEntry:
        entry = model(f"vae (prior {prior})", fid, fid + 1)
        entry["name"] = "vae"
        entry["summaries"]["elbo"] = summary([-100.0, -101.0])
        return entry

    models = [sampled("latent", 20.0), sampled("mixture", 8.0)]
    columns: list[ColumnEntry] = [
        {"name": name, "label": name, "better": better, "meaning": "", "headline": True}
        for name, better in (("elbo", "higher"), (NAME, "lower"))
    ]  # type: ignore[misc]
    column = headline_column(columns, models)
    assert column is not None
    assert column["name"] == NAME
    column = headline_column(columns[:1], models)
    assert column is not None
    assert column["name"] == "elbo", "where there is nothing else"
