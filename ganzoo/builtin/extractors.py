"""The feature extractors of the core, declared."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ganzoo.api import BuildContext, ExtractorSpec, UserError, hookimpl

if TYPE_CHECKING:
    from torch import nn

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
LARGEST_CLASSIFIED_SIDE = 64
"""Labelled images with longer sides are not for the small classifier."""


class IdentityExtractor(ExtractorSpec):
    """Samples as they are: for points."""

    type: ClassVar[str] = "identity"

    @classmethod
    def preference(cls, sample_shape: tuple[int, ...], num_classes: int | None) -> float:
        return 0.0 if len(sample_shape) == 3 else 1.0

    def build(self, context: BuildContext) -> nn.Module:
        from ganzoo.builtin.features import Identity

        return Identity()


class ClassifierExtractor(ExtractorSpec):
    """A small convolutional classifier, trained once on the data's own labels and cached.

    Raises `UserError` for data without labels and for points.
    """

    type: ClassVar[str] = "classifier"

    @classmethod
    def preference(cls, sample_shape: tuple[int, ...], num_classes: int | None) -> float:
        small = len(sample_shape) == 3 and max(sample_shape[1:]) <= LARGEST_CLASSIFIED_SIDE
        return 3.0 if small and num_classes is not None else 0.0

    def build(self, context: BuildContext) -> nn.Module:
        check_images(self.type, context)
        if context.num_classes is None:
            raise UserError(
                "extractor 'classifier' is trained on labels, but the data set has none",
                hint="extractor.type=inception or random",
            )
        from ganzoo.evaluation.classifier import cached_classifier

        return cached_classifier(context)


class InceptionExtractor(ExtractorSpec):
    """Inception-v3, the network of the published Frechet distances; needs torch-fidelity.

    2,048 features (Heusel et al. 2017, arXiv:1706.08500). Raises `UserError` where torch-fidelity
    or its weights are missing, and for images that are neither grey nor in colour.
    """

    type: ClassVar[str] = "inception"

    weights: str = Field(
        "", description="file of torch-fidelity's weights; by default downloaded once"
    )

    @classmethod
    def preference(cls, sample_shape: tuple[int, ...], num_classes: int | None) -> float:
        fits = len(sample_shape) == 3 and sample_shape[0] in (1, 3)
        return 2.0 if fits and inception_is_available() else 0.0

    def build(self, context: BuildContext) -> nn.Module:
        check_images(self.type, context)
        if context.sample_shape[0] not in (1, 3):
            raise UserError(
                "Inception-v3 reads grey or coloured images, not "
                f"{context.sample_shape[0]} channels",
                hint="extractor.type=random",
            )
        from ganzoo.builtin.features import Inception

        return Inception(self.weights)


class RandomExtractor(ExtractorSpec):
    """A fixed random convolutional network: weak features, but there for all images."""

    type: ClassVar[str] = "random"

    @classmethod
    def preference(cls, sample_shape: tuple[int, ...], num_classes: int | None) -> float:
        return 1.0 if len(sample_shape) == 3 else 0.0

    def build(self, context: BuildContext) -> nn.Module:
        check_images(self.type, context)
        from ganzoo.builtin.features import RandomNetwork

        return RandomNetwork(context.sample_shape[0])


def check_images(name: str, context: BuildContext) -> None:
    """Raise `UserError` for data that are no images."""
    if len(context.sample_shape) != 3:
        raise UserError(
            f"extractor '{name}' reads images, but the data are points",
            hint="extractor.type=identity",
        )


def inception_is_available() -> bool:
    """Whether torch-fidelity's Inception-v3 can be used without downloading anything."""
    if importlib.util.find_spec("torch_fidelity") is None:
        return False
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", INCEPTION_FILE).is_file()


@hookimpl
def ganzoo_extractors() -> Sequence[type[ExtractorSpec]]:
    """The extractors of the core."""
    return [IdentityExtractor, ClassifierExtractor, InceptionExtractor, RandomExtractor]
