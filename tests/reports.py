"""Comparisons of small runs with given values, and the pages of their reports in a browser."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.comparison.models import headline_entry
from ganzoo.evaluation.document import (
    FORMAT,
    ColumnEntry,
    ComparisonDocument,
    Cost,
    ModelEntry,
    RunEntry,
    Snapshot,
    Summary,
)

RECIPES = Path(__file__).parents[1] / "recipes"
QUICK = (
    *("train.iterations=20", "train.batch_size=16", "log.every=10", "log.samples=16"),
    *("evaluate.samples=64", "evaluate.snapshots=4"),
)
SEEDS = (0, 1)
VALUES = ("fid[random@0123]", "precision-recall/recall[random@0123]", "sharpness")


def trained(
    names: tuple[str, ...], folder: Path, seeds: tuple[int, ...] = SEEDS
) -> dict[str, list[ganzoo.Run]]:
    return {
        name: [
            ganzoo.train(
                ganzoo.load_recipe(RECIPES / f"{name}.toml", *QUICK, f"train.seed={seed}"),
                runs=folder,
                identity=f"seed-{seed}",
            )
            for seed in seeds
        ]
        for name in names
    }


NO_COST: Cost = {
    "seconds": None,
    "steps": {},
    "images": None,
    "images_per_second": None,
    "peak_memory_mb": None,
    "sampling_seconds": None,
}


def summary(values: list[float]) -> Summary:
    mean = sum(values) / len(values)
    spread = max(values) - min(values)
    return {
        "mean": mean,
        "std": spread,
        "low": mean - spread,
        "high": mean + spread,
        "seeds": len(values),
    }


def run_entry(run: ganzoo.Run, values: dict[str, float]) -> RunEntry:
    """The entry of a run, with given values."""
    status = run.status
    history: list[Snapshot] = [
        {
            "iteration": step,
            "values": {name: value * (1 + 20 / step) for name, value in values.items()},
        }
        for step in run.folder.snapshots()
    ]
    return {
        "path": str(run.path),
        "seed": run.recipe.train.seed,
        "state": "done",
        "message": None,
        "iterations": status["iteration"],
        "values": dict(values),
        "history": history,
        "best": {VALUES[0]: {"value": values[VALUES[0]] / 2, "iteration": 15}},
        "collapse": [],
        "left_out": {},
        "warnings": [],
        "cost": {
            "seconds": status["seconds"],
            "steps": status["steps"],
            "images": status["images"],
            "images_per_second": 1234.5,
            "peak_memory_mb": None,
            "sampling_seconds": 0.25,
        },
        "statistics": [
            {**row, "seconds": place / 10} for place, row in enumerate(run.statistics, start=1)
        ],
    }


def model_entry(
    label: str, runs: list[ganzoo.Run], values: list[dict[str, float]], prior: str = "latent"
) -> ModelEntry:
    entries = [run_entry(run, each) for run, each in zip(runs, values, strict=True)]
    cost = entries[0]["cost"]
    assert cost is not None
    return {
        "name": runs[0].recipe.name,
        "label": label,
        "prior": prior,
        "summary": runs[0].recipe.summary,
        "recipe": runs[0].recipe.tables(),
        "parameters": {"generator": 12345},
        "runs": entries,
        "summaries": {name: summary([each[name] for each in values]) for name in values[0]},
        "cost": copy.copy(cost),
    }


def values(fid: float, recall: float, sharpness: float) -> list[dict[str, float]]:
    """Values of two seeds, a hundredth apart."""
    return [
        dict(zip(VALUES, (fid * factor, recall, sharpness * factor), strict=True))
        for factor in (0.995, 1.005)
    ]


def comparison_of(
    models: list[ModelEntry], shape: list[int], extractor: str = "random"
) -> ComparisonDocument:
    for model in models[1:]:
        model["paired"] = {
            VALUES[0]: {
                "difference": -3.25, "low": -4.5, "high": -2.0, "verdict": "better", "seeds": 2,
            },
            VALUES[1]: {
                "difference": 0.01, "low": -0.2, "high": 0.22,
                "verdict": "no significant difference", "seeds": 2,
            },
            VALUES[2]: {
                "difference": 0.5, "low": None, "high": None, "verdict": None, "seeds": 2,
            },
        }  # fmt: skip
    columns: list[ColumnEntry] = [
        {
            "name": VALUES[2], "label": "Sharpness", "better": None,
            "meaning": "Edges against blur.", "headline": False,
        },
        {
            "name": VALUES[0], "label": "FID", "better": "lower",
            "meaning": "Distance of Gaussians.", "headline": True,
        },
        {
            "name": VALUES[1], "label": "Recall", "better": "higher",
            "meaning": "Share of real samples.", "headline": True,
        },
    ]  # fmt: skip
    return {
        "format": FORMAT,
        "title": "two models",
        "created": "2026-01-01T12:00:00",
        "command": "ganzoo compare a.toml b.toml --seeds 2 --out report",
        "request": {
            "targets": ["a.toml", "b.toml"], "overrides": [], "seeds": 2, "budget": "iterations=20",
        },
        "ganzoo": "0.1.0",
        "device": "cpu",
        "versions": {"torch": "2.9.0", "some-plugin": "1.2.3"},
        "budget": {"kind": "iterations", "amount": 20, "text": "20 iterations each"},
        "seeds": list(SEEDS),
        "data": {
            "name": "digits", "sample_shape": shape, "num_classes": 10,
            "train": 1500, "held_out": 297,
        },
        "extractor": {
            "name": "random@0123", "type": extractor, "digest": "0123", "note": "random maps",
            "table": {"type": f"ganzoo-core:{extractor}"},
        },
        "generated": 64,
        "real": 64,
        "real_from": "held out",
        "headline": headline_entry(models, columns),
        "columns": columns,
        "models": models,
        "differences": [
            {"key": "loss.type", "values": ["elbo", "non-saturating"]},
            {"key": "latent.dim", "values": [8, 32]},
            {"key": "encoder.hidden", "values": [[256, 128], None]},
        ],
        "winners": {VALUES[0]: models[-1]["label"], VALUES[1]: None},
    }  # fmt: skip


def three_models(runs: dict[str, list[ganzoo.Run]]) -> ComparisonDocument:
    """A VAE with two priors and a GAN."""
    vae, gan = runs["digits-vae"], runs["digits-mlp-gan"]
    mixture = model_entry("digits-vae, mixture", vae, values(9, 0.75, 0.8), "mixture")
    for run in mixture["runs"]:
        run |= {"history": [], "best": {}}
    return comparison_of(
        [
            model_entry("digits-vae", vae, values(10, 0.5, 0.7)),
            mixture,
            model_entry("digits-mlp-gan", gan, values(1234.5, 0.25, 0.00001)),
        ],
        [1, 8, 8],
    )


class Visit:
    """An open page, its requests and its error messages."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def __call__(self, expression: str) -> Any:
        return self.page.evaluate(expression)
