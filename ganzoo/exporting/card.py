"""The model card of an exported run: README.md, with the front matter that the hub reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ganzoo import records, runs
from ganzoo.errors import RunError, UserError
from ganzoo.evaluation.document import ComparisonDocument, ExtractorEntry, ModelEntry, Summary
from ganzoo.evaluation.report import escape_markdown
from ganzoo.evaluation.report_text import number
from ganzoo.recipe import Recipe
from ganzoo.recipe.model import deciding
from ganzoo.run import Run
from ganzoo.templates import templates


class Value(NamedTuple):
    """One value of a metric."""

    name: str
    value: float | None
    """That of the run; None where only a comparison has it."""
    better: str
    best: str
    """The best on the way, and where it was; empty where it is not known."""
    over_seeds: Summary | None


def card(run: Run, *, license: str, picture: bool, comparison: ComparisonDocument | None) -> str:
    """The card of a run that was exported, as Markdown.

    `picture` says whether there is a samples.png. Raises `UserError` where the comparison has no
    model with the run's recipe.
    """
    recipe, measures = run.recipe, run.evaluation
    made_with: dict[str, Any] = records.read_json(run.folder.environment, runs.Environment)
    model = None if comparison is None else find_model(recipe, comparison)
    summaries = {} if model is None else model["summaries"]
    columns = [] if comparison is None else comparison["columns"]
    better = {column["name"]: column["better"] for column in columns} | measures.get("better", {})
    packages = {
        name: version
        for name, version in made_with["plugins"].items()
        if name not in made_with.get("plugin_files", {})
    }
    environment = templates(
        "ganzoo.exporting", finalize=escape_markdown, keep_trailing_newline=True
    )
    environment.filters["number"] = number
    text = environment.get_template("README.md.jinja").render(
        recipe=recipe,
        shape="x".join(map(str, recipe.data.spec.sample_shape)),
        images=len(recipe.data.spec.sample_shape) == 3,
        parameters=sum(each.numel() for each in run.generator().parameters()),
        others=[name for name in recipe.networks if name != "generator"],
        priors=list(recipe.all_priors),
        status=run.status,
        made_with=made_with,
        packages=packages,
        measures=measures,
        values=values(measures, summaries, better),
        warnings=records.read_rows(run.folder.warnings),
        headline=run.headline,
        comparison=comparison,
        over_seeds=bool(summaries),
        picture=picture,
        features=features,
    )
    return front_matter(recipe, license) + text


def front_matter(recipe: Recipe, license: str) -> str:
    """What the hub reads of a card, in YAML, of which JSON is a part."""
    images = len(recipe.data.spec.sample_shape) == 3
    kinds = {"gan": recipe.discriminator, "autoencoder": recipe.encoder}
    tags = [
        "ganzoo",
        *(kind for kind in kinds if kinds[kind]),
        recipe.generator.spec.type,
        recipe.loss.spec.type,
    ]
    front: dict[str, Any] = {
        "library_name": "ganzoo",
        "license": license,
        "tags": list(dict.fromkeys(tags)),
    }
    if images and recipe.condition is None:
        front["pipeline_tag"] = "unconditional-image-generation"
    if recipe.data.spec.hub_id:
        front["datasets"] = [recipe.data.spec.hub_id]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    return "\n".join(["---", *lines, "---", "", ""])


def values(
    measures: Mapping[str, Any],
    summaries: Mapping[str, Summary],
    better: Mapping[str, str | None],
) -> list[Value]:
    """All values of an evaluation and of a comparison, those of the evaluation first."""
    own, best = measures.get("values", {}), measures.get("best", {})
    return [
        Value(
            name,
            own.get(name),
            better.get(name) or "",
            f"{number(best[name]['value'])} ({best[name]['iteration']})" if name in best else "",
            summaries.get(name),
        )
        for name in dict.fromkeys([*own, *summaries])
    ]


def features(extractor: ExtractorEntry | None) -> str:
    """In whose features distances were taken, as the end of a sentence."""
    if extractor is None:
        return ""
    note = f" ({extractor['note']})" if extractor["note"] else ""
    return f", in the features of {extractor['name']}{note}"


def read_comparison(path: Path) -> ComparisonDocument:
    """A comparison.json. Raises `UserError` where there is none."""
    hint = "give the comparison.json that `ganzoo compare` wrote"
    try:
        document: ComparisonDocument = records.read_json(path, ComparisonDocument)
    except RunError as error:
        raise UserError(f"{path} is no comparison: {error.message}", hint=hint) from error
    if not document:
        raise UserError(f"{path} is not there", hint=hint)
    return document


def find_model(recipe: Recipe, comparison: ComparisonDocument) -> ModelEntry:
    """The model of a comparison that is the recipe with its own prior, whatever the seed.

    Raises `UserError` where there is none.
    """
    wanted = _without_seed(recipe.tables())
    for model in comparison["models"]:
        if model["prior"] == recipe.prior.spec.type and _without_seed(model["recipe"]) == wanted:
            return model
    labels = ", ".join(model["label"] for model in comparison["models"])
    raise UserError(
        f"the comparison has no model with the recipe of this run, {recipe.name}",
        hint=f"it has {labels}; a model with another key is another one",
    )


def _without_seed(tables: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the weights but for the seed, as JSON has it."""
    kept: dict[str, Any] = json.loads(json.dumps(deciding(tables)))
    kept["train"].pop("seed", None)
    return kept
