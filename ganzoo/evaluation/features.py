"""Features of the real samples of a data set, computed once and cached on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from ganzoo.data import Samples, Stream, digest_of, real_samples, take
from ganzoo.engine.parts import Parts
from ganzoo.errors import RunError
from ganzoo.evaluation.cache import cached
from ganzoo.evaluation.extractors import (
    CHUNK,
    Extraction,
    build_extractor,
    chosen_extractor,
)
from ganzoo.recipe import Component
from ganzoo.specs import ExtractorSpec


class Features:
    """An extractor for a recipe's data, and the features of the data's real samples."""

    def __init__(self, parts: Parts, extractor: Component[ExtractorSpec] | None = None) -> None:
        """`extractor` is the recipe's by default. Raises `UserError` as `build_extractor` does."""
        self.data = parts.data
        context = replace(parts.context, data=self.data)
        self.component = extractor or chosen_extractor(parts.recipe)
        self.extractor = build_extractor(self.component, context)

    @property
    def real(self) -> Samples | Stream:
        """The real samples that generated ones are compared with."""
        return real_samples(self.data)

    @cached_property
    def held_out(self) -> Extraction:
        """Features of `real`, in order."""
        return self._extraction(self.real)

    @cached_property
    def training(self) -> Extraction:
        """Features of the training samples, in order."""
        return self._extraction(self.data.train)

    def _extraction(self, part: Samples | Stream) -> Extraction:
        def compute() -> tuple[dict[str, Tensor], dict[str, str]]:
            parts = [
                self.extractor(take(part, indices)[0])
                for indices in torch.arange(len(part)).split(CHUNK)
            ]
            tensors = {"features": torch.cat([each.features for each in parts])}
            if parts[0].probabilities is not None:
                tensors["probabilities"] = torch.cat(
                    [each.probabilities for each in parts if each.probabilities is not None]
                )
            return tensors, {}

        extractor = self.extractor
        name = f"{digest_of(part)}-{extractor.type}-{extractor.digest[:16]}"
        # An extractor without weights is quick.
        tensors, _ = (
            cached(name, compute, lambda kept, notes: _misfit(kept, len(part)))
            if extractor.digest
            else compute()
        )
        for what, values in tensors.items():
            if not bool(values.isfinite().all()):
                raise RunError(
                    f"the {what} of real samples by '{extractor.name}' are not finite",
                    hint="look at the samples, or name another extractor in [extractor]",
                )
        return Extraction(tensors["features"], tensors.get("probabilities"))


def _misfit(tensors: Mapping[str, Tensor], count: int) -> str:
    """Why cached tensors are no features of `count` samples, or nothing."""
    if "features" not in tensors or tensors.keys() - {"features", "probabilities"}:
        return f"it holds {', '.join(tensors) or 'nothing'} instead of features"
    for name, values in tensors.items():
        if values.ndim != 2 or len(values) != count or values.dtype != torch.float32:
            return f"its {name} are {tuple(values.shape)} of {values.dtype}, not of {count} samples"
        if not bool(values.isfinite().all()):
            return f"its {name} are not finite"
    return ""
