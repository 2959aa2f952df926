"""Real samples of a data set as an extractor sees them, computed once and kept on disk."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from ganzoo.engine.data import Data, Samples, Stream
from ganzoo.evaluation.cache import cached, data_digest
from ganzoo.evaluation.classifier import take, train_classifier
from ganzoo.evaluation.extractors import (
    CHUNK,
    Classifier,
    Extractor,
    Seen,
    choose_kind,
    make_extractor,
)
from ganzoo.recipe import Recipe
from ganzoo.recipe.settings import Evaluate

CLASSIFIER_VERSION = 1
"""Goes up when the classifier's network or training changes: cached ones are not used then."""


def real_samples(data: Data) -> Samples | Stream:
    """Samples that models are held to: held out, or training samples where there are none."""
    return data.train if data.held_out is None else data.held_out


class Features:
    """An extractor for a recipe's data, and the data's real samples in its features."""

    def __init__(
        self, recipe: Recipe, data: Data, evaluate: Evaluate, device: torch.device
    ) -> None:
        """Raises `UserError` where the extractor that `evaluate` names cannot be had."""
        self.recipe, self.data, self.evaluate, self.device = recipe, data, evaluate, device
        self.extractor = self._extractor()

    @property
    def real(self) -> Samples | Stream:
        """The samples that models are held to."""
        return real_samples(self.data)

    @cached_property
    def held_out(self) -> Seen:
        """What the extractor sees in the real samples, in their order."""
        return self._seen(self.real)

    @cached_property
    def training(self) -> Seen:
        """What the extractor sees in the training samples, in their order."""
        return self._seen(self.data.train)

    def _extractor(self) -> Extractor:
        spec, evaluate = self.recipe.data.spec, self.evaluate
        kind = choose_kind(
            evaluate.features, spec.sample_shape, spec.num_classes, evaluate.inception_weights
        )
        # Networks are given random weights before they get their own.
        with torch.random.fork_rng([]):
            extractor = make_extractor(
                kind, spec.sample_shape, evaluate.inception_weights, self._classifier
            )
        extractor.network.to(self.device)
        return extractor

    def _classifier(self) -> tuple[nn.Module, str]:
        """The classifier of the data set, trained if no run before has trained it, and a note."""
        shape, data = self.recipe.data.spec.sample_shape, self.data
        num_classes = self.recipe.data.spec.num_classes
        assert num_classes is not None

        def make() -> tuple[dict[str, Tensor], dict[str, str]]:
            weights, accuracy = train_classifier(
                data.train, data.held_out, shape, num_classes, self.device
            )
            return dict(weights), {"accuracy": repr(accuracy)}

        name = f"{data_digest(self.recipe, data.train)}-classifier-v{CLASSIFIER_VERSION}"
        weights, notes = cached(name, make)
        network = Classifier(shape, num_classes)
        network.load_state_dict(weights)
        judged = "training" if data.held_out is None else "held-out"
        right = f"{float(notes['accuracy']):.2%} of {judged} samples"
        return network, f"a classifier trained on the data's labels, right on {right}"

    def _seen(self, part: Samples | Stream) -> Seen:
        def make() -> tuple[dict[str, Tensor], dict[str, str]]:
            parts = [
                self.extractor(take(part, indices)[0])
                for indices in torch.arange(len(part)).split(CHUNK)
            ]
            tensors = {"features": torch.cat([seen.features for seen in parts])}
            if parts[0].probabilities is not None:
                tensors["probabilities"] = torch.cat(
                    [seen.probabilities for seen in parts if seen.probabilities is not None]
                )
            return tensors, {}

        extractor = self.extractor
        if not extractor.digest:
            return extractor(take(part, torch.arange(len(part)))[0])
        name = f"{data_digest(self.recipe, part)}-{extractor.kind}-{extractor.digest[:16]}"
        tensors, _ = cached(name, make)
        return Seen(tensors["features"], tensors.get("probabilities"))
