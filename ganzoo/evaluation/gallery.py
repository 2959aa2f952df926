"""What a report shows of the runs of a comparison: pictures drawn from their networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ganzoo.engine.context import build_context
from ganzoo.engine.data import Data
from ganzoo.engine.sampling import Sampler
from ganzoo.evaluation.classifier import take
from ganzoo.evaluation.curves import point_picture
from ganzoo.evaluation.features import Features, real_samples
from ganzoo.evaluation.panels import (
    Picture,
    arc_between,
    can_be_shown,
    columns_for,
    line_between,
    picture,
    range_of,
    strongest_dimensions,
    tile,
)
from ganzoo.recipe import load_recipe
from ganzoo.runs import RunFolder, find_run_folder

SEED = 0
"""Of the latents: the same for all models, so that equal laws give equal latents."""
SAMPLES = 64
SLIDER_SAMPLES = 36
FEW = 25
"""Samples in a grid, and in one of the slider, where an image is large."""
LARGE = 48
"""Pixels of a side from which an image is large."""
POINTS = 2000
PATHS, PATH_STEPS = 4, 9
DIMENSIONS, TRAVERSAL_STEPS = 6, 11
LAW_SAMPLES = 2000
"""Latents from which the extent of a fitted mixture is taken."""
SHOWN_NEIGHBOURS = 8
NEIGHBOURS = 3
JUDGED = 500
"""Samples whose distances to the training set give the medians."""

CODE_PICTURES = {
    "lines": "from one real sample to another",
    "reconstructions": "real samples and their reconstructions",
}
"""Pictures that a run with codes has made, and what they show."""


class Titled(NamedTuple):
    """A picture of one model, or of the data."""

    label: str
    series: int | None
    """The model's place, or None for the data."""
    picture: Picture
    note: str = ""


class Frame(NamedTuple):
    """A picture of the slider."""

    picture: Picture
    iteration: str
    """Where in training: `iteration 400 of 2,000`."""
    share: str
    """The same as a share: `20 %`."""
    steps: tuple[int, ...]
    """The slider's positions at which it is shown, from 0."""


class Course(NamedTuple):
    """What the slider shows of one model."""

    label: str
    series: int
    frames: Sequence[Frame]


class Traversal(NamedTuple):
    """What the strongest dimensions of a model's latents do."""

    label: str
    series: int
    note: str
    steps: Sequence[str]
    rows: Sequence[tuple[int, Picture]]
    """Dimension, counted from 0, and its pictures side by side."""


class Neighbour(NamedTuple):
    """A sample and its nearest training samples."""

    sample: Picture
    nearest: Picture
    distances: Sequence[float]


class Neighbourhood(NamedTuple):
    """Nearest training samples of one model's samples, or of real ones."""

    label: str
    series: int | None
    median: float
    """Distance to the nearest training sample, over `judged` samples."""
    judged: int
    shown: Sequence[Neighbour]


@dataclass(frozen=True)
class Shown:
    """A model by the first of its runs that is done."""

    label: str
    series: int
    prior: str
    run: Mapping[str, Any]
    folder: RunFolder
    sampler: Sampler

    @property
    def law(self) -> str:
        """Whence its latents come: normal, uniform or mixture."""
        return "mixture" if self.prior == "mixture" else self.sampler.recipe.latent.distribution

    def latents(self, count: int) -> Tensor:
        """Latents `(count, latent_dim)`, always the same."""
        return self.sampler.draw(count, seed=SEED, prior=self.prior)

    def decode(self, z: Tensor) -> Tensor:
        """What the generator makes of latents `(N, latent_dim)`, on the CPU."""
        return self.sampler.decode(z, seed=SEED).cpu()


class Gallery:
    """The pictures of a comparison. Runs that are not done have none."""

    def __init__(self, comparison: Mapping[str, Any]) -> None:
        self.comparison = comparison
        self.shape = tuple(comparison["data"]["sample_shape"])
        self.images = can_be_shown(self.shape)
        """Whether samples are shown as images."""
        self.points = self.shape in ((1,), (2,))
        """Whether samples are shown as points."""

    @cached_property
    def models(self) -> list[Shown]:
        """The models that have a run to be shown."""
        shown: list[Shown] = []
        if not (self.images or self.points):
            return shown
        for series, model in enumerate(self.comparison["models"]):
            run = next((run for run in model["runs"] if run["state"] == "done"), None)
            if run is not None:
                folder = find_run_folder(run["path"])
                # The data of all models are the same; they are built once.
                sampler = Sampler(
                    load_recipe(folder.recipe),
                    folder,
                    data=shown[0].sampler.data if shown else None,
                )
                if not shown:
                    recipe = sampler.recipe
                    sampler.data = recipe.data.spec.build(build_context(recipe))
                shown.append(Shown(model["label"], series, model["prior"], run, folder, sampler))
        return shown

    @property
    def data(self) -> Data:
        """The data set of the models."""
        data: Data = self.models[0].sampler.data  # type: ignore[assignment]
        return data

    def real(self, count: int) -> Tensor:
        """The first real samples that models are held to."""
        real = real_samples(self.data)
        return take(real, torch.arange(min(count, len(real))))[0]

    def _draw(self, x: Tensor, alt: str) -> Picture:
        """Samples as a grid, or as points over real ones."""
        if self.points:
            return picture(point_picture(x, self.data), alt)
        return picture(tile(x, columns_for(len(x))), alt)

    def _count(self, usual: int) -> int:
        if self.points:
            return POINTS
        return min(usual, FEW) if max(self.shape[1:]) > LARGE else usual

    def samples(self) -> Iterator[Titled]:
        """Samples of the data, where they are images, and of each model."""
        if not self.models:
            return
        count = self._count(SAMPLES)
        if self.images:
            x, held_out = self.real(count), self.comparison["real_from"] == "held out"
            note = "held out" if held_out else "from the training set"
            alt = f"{len(x)} real samples, {note}"
            yield Titled("real samples", None, self._draw(x, alt), note)
        for model in self.models:
            x = model.decode(model.latents(count))
            alt = f"{count:,} samples drawn from {model.label}"
            yield Titled(model.label, model.series, self._draw(x, alt), f"seed {model.run['seed']}")

    def shared_latents(self) -> list[list[str]]:
        """Labels of the models that were given the same latents, where there are several."""
        groups: dict[tuple[str, int], list[str]] = {}
        for model in self.models:
            if model.law != "mixture":
                key = (model.law, model.sampler.recipe.latent.dim)
                groups.setdefault(key, []).append(model.label)
        return [labels for labels in groups.values() if len(labels) > 1]

    def course(self) -> list[Course]:
        """Each model at its snapshots, from the same latents; models with none are left out.

        A run that is shown with two priors is shown once: a mixture fitted to the codes at the
        end says nothing of the networks on the way.
        """
        runs = {model.folder.path: model for model in reversed(self.models)}
        models = [model for model in self.models if runs[model.folder.path] is model]
        found = [(model, model.folder.snapshots()) for model in models]
        found = [(model, iterations) for model, iterations in found if iterations]
        steps = max((len(iterations) for _, iterations in found), default=0)
        if steps < 2:
            return []
        return [
            Course(model.label, model.series, list(self._frames(model, iterations, steps)))
            for model, iterations in found
        ]

    def _frames(self, model: Shown, iterations: Sequence[int], steps: int) -> Iterator[Frame]:
        """A model with fewer snapshots than others keeps some for several steps."""
        last, count = iterations[-1], self._count(SLIDER_SAMPLES)
        z = model.latents(count)
        places = [step * (len(iterations) - 1) // (steps - 1) for step in range(steps)]
        for place, iteration in enumerate(iterations):
            at = tuple(step for step in range(steps) if places[step] == place)
            if not at:
                continue
            model.sampler.load(iteration)
            alt = f"Samples of {model.label} after {iteration:,} iterations"
            where = f"iteration {iteration:,} of {last:,}"
            share = f"{100 * iteration / last:.0f} %"
            yield Frame(self._draw(model.decode(z), alt), where, share, at)
        model.sampler.load(last)

    def paths(self) -> Iterator[Titled]:
        """Ways between pairs of latents, for each model of images."""
        for model in self.models if self.images else ():
            first, second = model.latents(2 * PATHS).chunk(2)
            arcs = model.law == "normal"
            z = (arc_between if arcs else line_between)(first, second, PATH_STEPS)
            alt = f"{PATHS} rows of samples of {model.label} that turn from one into another"
            grid = tile(model.decode(z.flatten(0, 1)), PATH_STEPS)
            note = "on arcs (spherical)" if arcs else "on straight lines (linear)"
            yield Titled(model.label, model.series, picture(grid, alt), note)

    def traversals(self) -> Iterator[Traversal]:
        """The dimensions of each model that move its samples most, one at a time."""
        for model in self.models if self.images else ():
            along = range_of(model.law, model.latents(LAW_SAMPLES))
            z = model.latents(SAMPLES)
            steps = torch.linspace(-along.reach, along.reach, TRAVERSAL_STEPS)
            rows = []
            for dimension in strongest_dimensions(model.decode, z, along, DIMENSIONS):
                x = model.decode(along.latents(z[:1], dimension, steps).flatten(0, 1))
                alt = f"{model.label}: dimension {dimension} from low to high"
                rows.append((dimension, picture(tile(x, TRAVERSAL_STEPS), alt)))
            note = {
                "normal": "in standard deviations",
                "uniform": "over the whole range of the uniform latents",
                "mixture": "in standard deviations of the mixture around its mean",
            }[model.law]
            labels = [
                f"{step:+.1f}".replace("-", "\N{MINUS SIGN}") if step else "0"
                for step in steps.tolist()
            ]
            yield Traversal(model.label, model.series, note, labels, rows)

    def codes(self) -> Iterator[Titled]:
        """The pictures of real samples' codes that runs with an encoder made, none twice."""
        seen: set[Path] = set()
        for model in self.models:
            for name, note in CODE_PICTURES.items():
                path = model.folder.picture(name)
                if path.exists() and path not in seen:
                    seen.add(path)
                    with Image.open(path) as image:
                        shown = picture(image, f"{model.label}: {note}")
                    yield Titled(model.label, model.series, shown, note)

    def neighbours(self) -> Iterator[Neighbourhood]:
        """Nearest training samples of real samples and of each model's, by the extractor."""
        extractor = self.comparison["extractor"]
        if not (self.images and self.models and extractor):
            return
        first = self.models[0].sampler
        evaluate = first.recipe.evaluate.model_copy(update={"features": extractor["kind"]})
        features = Features(first.recipe, self.data, evaluate, first.device)
        if self.comparison["real_from"] == "held out":
            yield self._neighbourhood("held-out samples", None, self.real(JUDGED), features)
        for model in self.models:
            x = model.decode(model.latents(JUDGED))
            yield self._neighbourhood(model.label, model.series, x, features)

    def _neighbourhood(
        self, label: str, series: int | None, x: Tensor, features: Features
    ) -> Neighbourhood:
        training = features.training.features
        distances, places = torch.cdist(features.extractor(x).features, training).topk(
            min(NEIGHBOURS, len(training)), largest=False
        )
        shown = []
        for number in range(min(SHOWN_NEIGHBOURS, len(x))):
            near, _ = take(self.data.train, places[number])
            values = distances[number].tolist()
            said = ", ".join(f"{value:.3g}" for value in values)
            shown.append(
                Neighbour(
                    picture(tile(x[number : number + 1], 1), f"{label}: sample {number + 1}"),
                    picture(tile(near, len(near)), f"Nearest training samples, distances {said}"),
                    values,
                )
            )
        return Neighbourhood(label, series, float(distances[:, 0].median()), len(x), shown)
