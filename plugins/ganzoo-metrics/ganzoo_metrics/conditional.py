"""Metrics of class-conditional generators, by the classes that were requested."""

from __future__ import annotations

from statistics import fmean
from typing import ClassVar

from torch import Tensor

from ganzoo.api import UserError
from ganzoo.engine import Samples, Stream, labels_of

from .base import BufferedMetric
from .distances import fit_gaussian, frechet_distance, random_subset


class ClassAccuracy(BufferedMetric):
    """Share of samples that are classified as the requested class: of all, and class by class."""

    values: ClassVar[frozenset[str]] = frozenset({"class-accuracy", "worst"})

    def __init__(self, metric: str, *, num_classes: int | None) -> None:
        """`num_classes` is that of the data."""
        super().__init__(metric)
        self.num_classes = num_classes

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`class-accuracy`, `worst` and `class-0`, ..., each in [0, 1].

        Classes that were not requested have no value; there are none at all where the extractor
        has another number of classes than the data.
        """
        if generated.shape[1] != self.num_classes:
            return {}
        labels = self.labels(real=False)
        correct = (generated.argmax(dim=1) == labels).double()
        accuracies = {
            f"class-{label}": float(correct[labels == label].mean())
            for label in labels.unique().tolist()
        }
        worst = min(accuracies.values())
        return {"class-accuracy": float(correct.mean()), "worst": worst, **accuracies}


class ClassFrechetDistance(BufferedMetric):
    """Frechet distance within each class."""

    values: ClassVar[frozenset[str]] = frozenset({"class-fid", "worst"})

    def __init__(
        self,
        metric: str,
        *,
        training: Tensor | None = None,
        samples: Samples | Stream | None = None,
    ) -> None:
        """`training` are the features `(T, F)` of the training samples; both or neither."""
        super().__init__(metric, min_samples=2)
        self.training = training
        self.training_labels = None if samples is None else labels_of(samples)

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`class-fid`, `worst`, `classes`, and `floor` if there are training features.

        Raises:
            UserError: no class has two samples on each side.
        """
        distances, floors = [], []
        real_labels, labels = self.labels(real=True), self.labels(real=False)
        for label in labels.unique().tolist():
            sides = [real[real_labels == label], generated[labels == label]]
            if self.training is not None and self.training_labels is not None:
                training = self.training[self.training_labels == label]
                sides.append(random_subset(training, len(sides[1])))
            # A covariance needs two samples.
            if min(map(len, sides)) < 2:
                continue
            reference, *others = map(fit_gaussian, sides)
            distances.append(frechet_distance(reference, others[0]))
            floors += [frechet_distance(reference, other) for other in others[1:]]
        if not distances:
            raise UserError(
                f"metric '{self.metric}' needs at least 2 real and 2 generated samples of a class, "
                "and no class has them",
                hint="raise evaluate.samples, and hold out more of the data",
            )
        values = {
            "class-fid": fmean(distances),
            "worst": max(distances),
            "classes": float(len(distances)),
        }
        return values | ({"floor": fmean(floors)} if floors else {})
