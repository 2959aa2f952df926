"""Declarations of the augmentations."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from ganzoo.api import Augmentation, AugmentationSpec, BuildContext

Policy = Literal["colour", "translation", "cutout"]


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
    brightness: NonNegativeFloat = Field(
        0.5, description="colour: largest addition, of values in [-1, 1]"
    )
    saturation: float = Field(
        1.0, ge=0, le=1, description="colour: largest change of the factor 1 on the saturation"
    )
    contrast: float = Field(
        0.5, ge=0, le=1, description="colour: largest change of the factor 1 on the contrast"
    )
    shift: float = Field(
        0.125, ge=0, le=1, description="largest translation, as a share of the image's side"
    )
    cutout: float = Field(
        0.5, ge=0, le=1, description="side of the cutout, as a share of the image's side"
    )

    def build(self, context: BuildContext) -> Augmentation:
        from .augmentations import DiffAugment, recoloured, shifted, with_hole

        changes = {
            "colour": partial(
                recoloured,
                brightness=self.brightness,
                saturation=self.saturation,
                contrast=self.contrast,
            ),
            "translation": partial(shifted, shift=self.shift),
            "cutout": partial(with_hole, cutout=self.cutout),
        }
        return DiffAugment([changes[policy] for policy in self.policies])


class InstanceNoise(AugmentationSpec):
    """Normal noise on everything that D sees, real or generated, fading in the course of a run.

    It gives data and generator a common support, so that D cannot tell them apart for certain:
    Sonderby et al. 2017 (arXiv:1610.04490), Arjovsky and Bottou 2017 (arXiv:1701.04862). The
    standard deviation goes from `std` along a line to `final_std`. Images and points
    `(N, *sample_shape)`; one draw for each number of a sample.
    """

    type: ClassVar[str] = "instance-noise"

    std: NonNegativeFloat = Field(
        0.1, description="standard deviation at the start, in units of the samples"
    )
    final_std: NonNegativeFloat = Field(0.0, description="standard deviation at the end")
    annealed: float = Field(
        0.5, gt=0, le=1, description="share of the run until final_std is reached"
    )

    def build(self, context: BuildContext) -> Augmentation:
        from .augmentations import InstanceNoise
        from .courses import linear

        return InstanceNoise(linear(self.std, self.final_std, self.annealed * context.iterations))
