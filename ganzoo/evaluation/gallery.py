"""The pictures of a report, drawn from the networks of the runs of a comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ganzoo.data import Data, class_rows, real_samples, take
from ganzoo.engine.checkpoints import kept_snapshots
from ganzoo.evaluation.document import ComparisonDocument, RunEntry
from ganzoo.evaluation.features import Features
from ganzoo.evaluation.panels import (
    GAP,
    Picture,
    arc_between,
    columns_for,
    line_between,
    picture,
    range_of,
    strongest_dimensions,
    tile,
)
from ganzoo.pictures import has_picture, open_png, point_plot
from ganzoo.recipe import load_component, load_recipe
from ganzoo.runs import RunFolder, find_run_folder
from ganzoo.sampling import Sampler

SEED = 0
"""Of the latents, the same for all models: equal distributions give equal latents."""
SAMPLES = 64
SLIDER_SAMPLES = 36
FEW = 25
"""Samples in a grid, and in one of the slider, of large images."""
LARGE = 48
"""Pixels of a side from which on an image is large."""
STRIP = 10
"""Samples in a row of the first screen."""
POINTS = 2000
PATHS, PATH_STEPS = 4, 9
DIMENSIONS, TRAVERSAL_STEPS = 6, 11
RANGE_SAMPLES = 2000
"""Latents from which the range of a fitted prior is estimated."""
SHOWN_NEIGHBOURS = 8
NEIGHBOURS = 3
QUERIES = 500
"""Samples over which the median distance to the training set is taken."""

CODE_PICTURES = {
    "lines": "interpolations between the codes of two real samples",
    "reconstructions": "real samples and their reconstructions",
}
"""Files that a run with codes has written, and what they show."""


class LabelledPicture(NamedTuple):
    """A picture of one model, or of the data."""

    label: str
    series: int | None
    """The model's place, or None for the data."""
    picture: Picture
    note: str = ""


def strip_pitch(strip: Picture) -> int:
    """Pixels from one sample of a row to the next."""
    return (strip.width + GAP) // STRIP


class Frame(NamedTuple):
    """A picture of the slider."""

    picture: Picture
    iteration: str
    """Where in training: `iteration 400 of 2,000`."""
    share: str
    """The same as a share: `20 %`."""
    steps: tuple[int, ...]
    """The slider's positions at which it is shown, from 0."""


class Timeline(NamedTuple):
    """The frames of one model."""

    label: str
    series: int
    frames: Sequence[Frame]


class Traversal(NamedTuple):
    """The effect of the strongest dimensions of a model's latents."""

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
    """Distance to the nearest training sample, over all queries."""
    queries: int
    shown: Sequence[Neighbour]


class Grid(NamedTuple):
    """Latents of a picture."""

    z: Tensor
    """`(N, latent_dim)`."""
    labels: Tensor | None
    """Classes `(N,)` of a conditional model."""
    columns: int


@dataclass(frozen=True)
class GalleryModel:
    """A model, drawn from the first of its runs that is done."""

    label: str
    series: int
    prior: str
    run: RunEntry
    folder: RunFolder
    sampler: Sampler

    @property
    def distribution(self) -> str:
        """Distribution of its latents: `normal` and `uniform` as in training, or `fitted`."""
        recipe = self.sampler.recipe
        fitted = recipe.all_priors[self.prior].spec.fitted
        return "fitted" if fitted else recipe.latent.distribution

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a conditional model, else None."""
        shares = self.sampler.parts.description.class_shares
        return None if self.sampler.recipe.condition is None else len(shares or ())

    def latents(self, count: int) -> Tensor:
        """Latents `(count, latent_dim)`, always the same."""
        return self.sampler.draw(count, seed=SEED, prior=self.prior)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples of latents `(N, latent_dim)`, on the CPU.

        `labels` are by default drawn with the shares of the classes in the data.
        """
        return self.sampler.decode(z, labels, seed=SEED).cpu()

    def one_class(self, z: Tensor) -> Tensor:
        """Samples of latents; those of a conditional model are all of the class 0."""
        return self.decode(z, None if self.num_classes is None else torch.zeros(len(z)).long())

    def grid(self, count: int) -> Grid:
        """Latents of about `count` samples: in rows of one class, with equal latents, where the
        model is conditional."""
        if self.num_classes is None:
            return Grid(self.latents(count), None, columns_for(count))
        labels = class_rows(self.num_classes, count)
        columns = int((labels == 0).sum())
        return Grid(self.latents(columns).repeat(len(labels) // columns, 1), labels, columns)


class Gallery:
    """The pictures of a comparison. Runs that are not done have none."""

    def __init__(self, comparison: ComparisonDocument) -> None:
        self.comparison = comparison
        self.shape = tuple(comparison["data"]["sample_shape"])
        self.images = has_picture(self.shape)
        """Whether samples are shown as images."""
        self.points = self.shape in ((1,), (2,))
        """Whether samples are shown as points."""

    @cached_property
    def models(self) -> list[GalleryModel]:
        """The models that have a run to draw from."""
        models: list[GalleryModel] = []
        if not (self.images or self.points):
            return models
        for series, entry in enumerate(self.comparison["models"]):
            run = next((run for run in entry["runs"] if run["state"] == "done"), None)
            if run is not None:
                folder = find_run_folder(run["path"])
                device = json.dumps(entry["recipe"]["engine"]["device"])
                recipe = load_recipe(folder.recipe, f"engine.device={device}")
                sampler = Sampler(recipe, folder)
                model = GalleryModel(entry["label"], series, entry["prior"], run, folder, sampler)
                models.append(model)
        return models

    @cached_property
    def data(self) -> Data:
        """The data set of the models."""
        return self.models[0].sampler.parts.data

    def real(self, count: int) -> Tensor:
        """The first real samples that models are compared with."""
        real = real_samples(self.data)
        return take(real, torch.arange(min(count, len(real))))[0]

    def _count(self, usual: int) -> int:
        return min(usual, FEW) if max(self.shape[1:]) > LARGE else usual

    def _draw(self, model: GalleryModel, count: int, alt: str) -> Picture:
        """Samples of a model as a grid of `count` images, or as points over real ones."""
        if self.points:
            x = model.decode(model.latents(POINTS))
            return picture(point_plot(x, self.data, transparent=True), alt)
        z, labels, columns = model.grid(self._count(count))
        return picture(tile(model.decode(z, labels), columns), alt)

    def strips(self, labels: Sequence[str]) -> Iterator[LabelledPicture]:
        """A row of samples of the data, where they are images, and of each model of `labels`.

        Samples of a conditional model are of one class after the other.
        """
        if self.images and self.models:
            x = self.real(STRIP)
            shown = picture(tile(x, STRIP), f"{len(x)} real samples in a row")
            yield LabelledPicture("real samples", None, shown)
        models = {model.label: model for model in self.models}
        for model in (models[label] for label in labels if label in models):
            alt = f"The first samples of {model.label}"
            if self.points:
                shown = self._draw(model, STRIP, alt)
            else:
                classes = model.num_classes
                labels_of = None if classes is None else torch.arange(STRIP) % classes
                shown = picture(tile(model.decode(model.latents(STRIP), labels_of), STRIP), alt)
            yield LabelledPicture(model.label, model.series, shown, f"seed {model.run['seed']}")

    def samples(self) -> Iterator[LabelledPicture]:
        """Samples of the data, where they are images, and of each model."""
        if self.images and self.models:
            x = self.real(self._count(SAMPLES))
            held_out = self.comparison["real_from"] == "held out"
            note = "held out" if held_out else "from the training set"
            shown = picture(tile(x, columns_for(len(x))), f"{len(x)} real samples, {note}")
            yield LabelledPicture("real samples", None, shown, note)
        for model in self.models:
            shown = self._draw(model, SAMPLES, f"Samples of {model.label}")
            note = f"seed {model.run['seed']}"
            if model.num_classes is not None and self.images:
                note += ", one class in each row"
            yield LabelledPicture(model.label, model.series, shown, note)

    def shared_latents(self) -> list[list[str]]:
        """Labels of the models that have the same latents, where there are several."""
        groups: dict[tuple[str | int | None, ...], list[str]] = {}
        for model in self.models:
            if model.distribution != "fitted":
                dim, classes = model.sampler.recipe.latent.dim, model.num_classes
                key = (model.prior, model.distribution, dim, classes)
                groups.setdefault(key, []).append(model.label)
        return [labels for labels in groups.values() if len(labels) > 1]

    def timelines(self) -> list[Timeline]:
        """Each model at its snapshots, from the same latents; models with none are left out.

        A run that is shown with several priors has one timeline, with the recipe's own prior: the
        others were fitted to the codes at the end.
        """
        runs = {model.folder.path: model for model in reversed(self.models)}
        models = [model for model in self.models if runs[model.folder.path] is model]
        snapshots = [(model, kept_snapshots(model.folder)) for model in models]
        snapshots = [(model, iterations) for model, iterations in snapshots if iterations]
        steps = max((len(iterations) for _, iterations in snapshots), default=0)
        if steps < 2:
            return []
        return [
            Timeline(model.label, model.series, list(self._frames(model, iterations, steps)))
            for model, iterations in snapshots
        ]

    def _frames(
        self, model: GalleryModel, iterations: Sequence[int], steps: int
    ) -> Iterator[Frame]:
        """The frames of a model; one with fewer snapshots than others stays for several steps."""
        last = iterations[-1]
        places = [step * (len(iterations) - 1) // (steps - 1) for step in range(steps)]
        for place, iteration in enumerate(iterations):
            at = tuple(step for step in range(steps) if places[step] == place)
            if not at:
                continue
            model.sampler.load(iteration)
            alt = f"Samples of {model.label} after {iteration:,} iterations"
            where = f"iteration {iteration:,} of {last:,}"
            share = f"{100 * iteration / last:.0f} %"
            count = SLIDER_SAMPLES if model.num_classes is None else SAMPLES
            yield Frame(self._draw(model, count, alt), where, share, at)
        model.sampler.load(last)

    def paths(self) -> Iterator[LabelledPicture]:
        """Interpolations between pairs of latents, for each model of images."""
        for model in self.models if self.images else ():
            first, second = model.latents(2 * PATHS).chunk(2)
            arcs = model.distribution == "normal"
            z = (arc_between if arcs else line_between)(first, second, PATH_STEPS)
            labels = None
            if model.num_classes is not None:
                labels = (torch.arange(PATHS) % model.num_classes).repeat_interleave(PATH_STEPS)
            alt = f"{PATHS} rows of samples of {model.label} that turn from one into another"
            grid = tile(model.decode(z.flatten(0, 1), labels), PATH_STEPS)
            note = "spherical interpolation" if arcs else "linear interpolation"
            yield LabelledPicture(model.label, model.series, picture(grid, alt), note)

    def traversals(self) -> Iterator[Traversal]:
        """The dimensions of each model that change its samples most, one at a time."""
        for model in self.models if self.images else ():
            along = range_of(model.distribution, model.latents(RANGE_SAMPLES))
            z = model.latents(SAMPLES)
            steps = torch.linspace(-along.reach, along.reach, TRAVERSAL_STEPS)
            rows = []
            for dimension in strongest_dimensions(model.one_class, z, along, DIMENSIONS):
                x = model.one_class(along.latents(z[:1], dimension, steps).flatten(0, 1))
                alt = f"{model.label}: dimension {dimension} from low to high"
                rows.append((dimension, picture(tile(x, TRAVERSAL_STEPS), alt)))
            note = {
                "normal": "in standard deviations",
                "uniform": "over the whole range of the uniform latents",
                "fitted": "in standard deviations of the prior around its mean",
            }[model.distribution]
            if model.num_classes is not None:
                note += ", samples of class 0"
            labels = [
                f"{step:+.1f}".replace("-", "\N{MINUS SIGN}") if step else "0"
                for step in steps.tolist()
            ]
            yield Traversal(model.label, model.series, note, labels, rows)

    def codes(self) -> Iterator[LabelledPicture]:
        """The pictures of codes that runs with codes have written, none twice."""
        shown: set[Path] = set()
        for model in self.models:
            for name, note in CODE_PICTURES.items():
                path = model.folder.picture(name)
                if path.exists() and path not in shown:
                    shown.add(path)
                    drawn = picture(open_png(path), f"{model.label}: {note}")
                    yield LabelledPicture(model.label, model.series, drawn, note)

    def neighbours(self) -> Iterator[Neighbourhood]:
        """Nearest training samples of real samples and of each model's, by the extractor."""
        extractor = self.comparison["extractor"]
        if not (self.images and self.models and extractor):
            return
        sampler = self.models[0].sampler
        component = load_component("extractor", extractor["table"])
        features = Features(sampler.parts, component)
        if self.comparison["real_from"] == "held out":
            yield self._neighbourhood("held-out samples", None, self.real(QUERIES), features)
        for model in self.models:
            x = model.decode(model.latents(QUERIES))
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
            nearest, _ = take(self.data.train, places[number])
            values = distances[number].tolist()
            text = ", ".join(f"{value:.3g}" for value in values)
            shown.append(
                Neighbour(
                    picture(tile(x[number : number + 1], 1), f"{label}: sample {number + 1}"),
                    picture(
                        tile(nearest, len(nearest)), f"Nearest training samples, distances {text}"
                    ),
                    values,
                )
            )
        return Neighbourhood(label, series, float(distances[:, 0].median()), len(x), shown)
