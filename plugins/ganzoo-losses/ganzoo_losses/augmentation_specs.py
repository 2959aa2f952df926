"""Declarations of the augmentations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ganzoo.api import Augmentation, AugmentationSpec, BuildContext, Value

Policy = Literal["colour", "translation", "cutout"]

FADING: Any = {"from": 0.1, "to": 0.0, "over": (0.0, 0.5)}
"""Gone after half of the run."""


class DiffAugment(AugmentationSpec):
    """Random colours, translations and cutouts of all images that D sees, real or generated.

    Zhao et al. 2020 (arXiv:2006.10738), with the strengths of the authors' code. The gradient
    of G goes through the augmentation, which both phases apply, so that G does not learn to
    draw it. It helps where data are few. Images `(N, C, H, W)` in [-1, 1]; each draws its own
    change. What a translation brings into view and what a cutout removes is 0, the middle grey.
    Colours are not clipped to [-1, 1]. Images of one channel have no saturation.
    """

    type: ClassVar[str] = "diff-augment"
    needs: ClassVar[frozenset[str]] = AugmentationSpec.needs | {"data.images"}

    policies: tuple[Policy, ...] = Field(
        ("colour", "translation", "cutout"),
        min_length=1,
        description="what is done to an image, in this order",
    )
    brightness: Value = Field(
        0.5, ge=0, description="colour: largest addition, of values in [-1, 1]"
    )
    saturation: Value = Field(
        1.0, ge=0, le=1, description="colour: largest change of the factor 1 on the saturation"
    )
    contrast: Value = Field(
        0.5, ge=0, le=1, description="colour: largest change of the factor 1 on the contrast"
    )
    shift: Value = Field(
        0.125, ge=0, le=1, description="largest translation, as a share of the image's side"
    )
    cutout: Value = Field(
        0.5, ge=0, le=1, description="side of the cutout, as a share of the image's side"
    )

    def build(self, context: BuildContext) -> Augmentation:
        from .augmentations import Colour, Cutout, DiffAugment, Translation

        changes: Mapping[Policy, Callable[[], Augmentation]] = {
            "colour": lambda: Colour(
                brightness=context.value(self.brightness),
                saturation=context.value(self.saturation),
                contrast=context.value(self.contrast),
            ),
            "translation": lambda: Translation(context.value(self.shift)),
            "cutout": lambda: Cutout(context.value(self.cutout)),
        }
        return DiffAugment([changes[policy]() for policy in self.policies])


class InstanceNoise(AugmentationSpec):
    """Normal noise on everything that D sees, real or generated, by default fading over a run.

    It gives data and generator a common support, so that D cannot tell them apart for certain:
    Sonderby et al. 2017 (arXiv:1610.04490), Arjovsky and Bottou 2017 (arXiv:1701.04862). Images
    and points `(N, *sample_shape)`; one draw for each number of a sample.
    """

    type: ClassVar[str] = "instance-noise"

    std: Value = Field(FADING, ge=0, description="standard deviation, in units of the samples")

    def build(self, context: BuildContext) -> Augmentation:
        from .augmentations import InstanceNoise

        return InstanceNoise(context.value(self.std))
