"""Data sets for ganzoo, and a metric that counts the modes that a generator covers.

Only declarations stand here; each `build` imports the file that does the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from ganzoo.api import (
    BuildContext,
    DatasetSpec,
    Metric,
    MetricSpec,
    Remark,
    Surroundings,
    hookimpl,
)

from .declared import IN_MEMORY, MIRROR, SIZE, HuggingFace, ImageFolder, Size, fewer, sides

GANZOO_API_VERSION = 1

LABELLED_IMAGES = frozenset({"images", "labels"})
MIXTURE = frozenset({"points", "labels", "density", "modes"})


class Digits(DatasetSpec):
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; needs no file and no network.

    Images uint8 `(M, 1, 8, 8)`, the 17 grey levels of the source spread over [0, 255]; 10
    classes. The held-out digits are a fixed choice, the same share of every class, whatever the
    seed of the run. Source: `sklearn.datasets.load_digits`, the test part of the UCI set
    "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
    """

    type: ClassVar[str] = "digits"
    provides: ClassVar[frozenset[str]] = LABELLED_IMAGES

    held_out: int = Field(
        297, ge=0, le=1796, description="digits that are never trained on; 0 for none"
    )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(1, 8, 8)`."""
        return (1, 8, 8)

    @property
    def num_classes(self) -> int:
        """10."""
        return 10

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        if (count := 1797 - self.held_out) < recipe.batch_size:
            yield fewer(count, recipe)

    def build(self, context: BuildContext) -> Any:
        """Split the digits; `held_out` is None where the key is 0."""
        from .digits import load

        return load(held_out=self.held_out)


class TorchvisionSpec(DatasetSpec):
    """Base of the sets that torchvision reads from, or downloads into, `GANZOO_DATA`."""

    download: bool = Field(
        True, description="download the files into GANZOO_DATA if they are not there"
    )


class Mnist(TorchvisionSpec):
    """MNIST: 60,000 handwritten digits of 28x28 pixels, and 10,000 held out.

    Images uint8 `(M, 1, 28, 28)`, 10 classes; the test split is held out. Source: LeCun et al.
    1998, "Gradient-based learning applied to document recognition". Raises `UserError` where
    the files are missing and cannot be downloaded, or are damaged.
    """

    type: ClassVar[str] = "mnist"
    hub_id: ClassVar[str] = "ylecun/mnist"
    provides: ClassVar[frozenset[str]] = LABELLED_IMAGES

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(1, 28, 28)`."""
        return (1, 28, 28)

    @property
    def num_classes(self) -> int:
        """10."""
        return 10

    def build(self, context: BuildContext) -> Any:
        """Read both splits, after downloading them where that is needed and allowed."""
        from .torchvision_sets import load_labelled

        return load_labelled(self.type, context.data_root, self.sample_shape, self.download)


class FashionMnist(Mnist):
    """Fashion-MNIST: 60,000 articles of clothing of 28x28 pixels, and 10,000 held out.

    Images uint8 `(M, 1, 28, 28)`, 10 classes; the test split is held out. Source: Xiao et al.
    2017, arXiv:1708.07747. Raises `UserError` as `mnist` does.
    """

    type: ClassVar[str] = "fashion-mnist"
    hub_id: ClassVar[str] = "zalando-datasets/fashion_mnist"


class Cifar10(Mnist):
    """CIFAR-10: 50,000 colour photographs of 32x32 pixels, and 10,000 held out.

    Images uint8 `(M, 3, 32, 32)`, 10 classes; the test split is held out. Source: Krizhevsky
    2009, "Learning Multiple Layers of Features from Tiny Images". Raises `UserError` as `mnist`
    does.
    """

    type: ClassVar[str] = "cifar10"
    hub_id: ClassVar[str] = "uoft-cs/cifar10"

    mirror: bool = Field(False, description=MIRROR)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(3, 32, 32)`."""
        return (3, 32, 32)

    def build(self, context: BuildContext) -> Any:
        """Read both splits, as `mnist` does."""
        from .torchvision_sets import load_labelled

        shape, root = self.sample_shape, context.data_root
        return load_labelled(self.type, root, shape, self.download, self.mirror)


class CelebA(TorchvisionSpec):
    """CelebA: 182,637 aligned faces of celebrities, and 19,962 held out.

    Images uint8 `(M, 3, height, width)` without labels: the largest centre of that shape, for a
    square 178 pixels wide, scaled (bicubic, antialiased). The splits "train" and "valid" are
    trained on, "test" is held out. Source: Liu et al. 2015, "Deep Learning Face Attributes in the
    Wild". The download needs the package gdown. Raises `UserError` as `mnist` does.
    """

    type: ClassVar[str] = "celeba"
    provides: ClassVar[frozenset[str]] = frozenset({"images"})

    size: Size = Field(64, description=SIZE)
    limit: PositiveInt | None = Field(
        None, description="train on the first so many pictures only; all if left out"
    )
    in_memory: Literal["auto"] | bool = Field("auto", description=IN_MEMORY)
    mirror: bool = Field(False, description=MIRROR)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(3, height, width)`."""
        return (3, *sides(self.size))

    def build(self, context: BuildContext) -> Any:
        """Both parts, in memory or streamed; unreadable files are skipped and named."""
        from .torchvision_sets import load_celeba

        return load_celeba(
            context.data_root,
            context.cache_root,
            download=self.download,
            size=self.size,
            limit=self.limit,
            in_memory=self.in_memory,
            mirror=self.mirror,
        )


class Gaussian1D(DatasetSpec):
    """A normal distribution on the line, with its density.

    Points float32 `(samples, 1)` without labels, and as many held out, always the same ones.
    """

    type: ClassVar[str] = "gaussian-1d"
    provides: ClassVar[frozenset[str]] = frozenset({"points", "density"})

    mean: float = Field(0.0, description="mean of the distribution")
    std: PositiveFloat = Field(1.0, description="standard deviation of the distribution")
    samples: PositiveInt = Field(50_000, description="points to train on; as many are held out")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(1,)`."""
        return (1,)

    def build(self, context: BuildContext) -> Any:
        """Draw the points; the density is a `GaussianMixture` of one component."""
        from .points import draw_data

        return draw_data(self.type, [(self.mean,)], self.std, self.samples, labelled=False)


class Ring(DatasetSpec):
    """Equal Gaussians on a circle around the origin, with their density.

    Points float32 `(samples, 2)` labelled with the component they came from, counted against
    the clock from (radius, 0); as many held out, always the same ones. Eight of them are the
    "2D-ring" of Srivastava et al. 2017 (VEEGAN, arXiv:1705.07761).
    """

    type: ClassVar[str] = "ring"
    provides: ClassVar[frozenset[str]] = MIXTURE

    modes: PositiveInt = Field(8, description="number of Gaussians")
    radius: PositiveFloat = Field(1.0, description="radius of the circle")
    std: PositiveFloat = Field(0.01, description="standard deviation of each, in every direction")
    samples: PositiveInt = Field(100_000, description="points to train on; as many are held out")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    @property
    def num_classes(self) -> int:
        """`modes`."""
        return self.modes

    def build(self, context: BuildContext) -> Any:
        """Draw the points; the density is a `GaussianMixture`."""
        from .points import draw_data, ring_means

        means = ring_means(self.modes, self.radius)
        return draw_data(self.type, means, self.std, self.samples, labelled=True)


class Grid(DatasetSpec):
    """Equal Gaussians on a square grid around the origin, with their density.

    Points float32 `(samples, 2)` labelled with the component they came from, row after row from
    the lower left; as many held out, always the same ones. 25 of them are the "2D-grid" of
    Srivastava et al. 2017 (VEEGAN, arXiv:1705.07761).
    """

    type: ClassVar[str] = "grid"
    provides: ClassVar[frozenset[str]] = MIXTURE

    side: PositiveInt = Field(5, description="Gaussians along each side")
    spacing: PositiveFloat = Field(2.0, description="distance between neighbours")
    std: PositiveFloat = Field(0.05, description="standard deviation of each, in every direction")
    samples: PositiveInt = Field(100_000, description="points to train on; as many are held out")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    @property
    def num_classes(self) -> int:
        """`side` squared."""
        return self.side**2

    def build(self, context: BuildContext) -> Any:
        """Draw the points; the density is a `GaussianMixture`."""
        from .points import draw_data, grid_means

        means = grid_means(self.side, self.spacing)
        return draw_data(self.type, means, self.std, self.samples, labelled=True)


class Modes(MetricSpec):
    """How many modes of a known mixture the samples cover, and how evenly.

    Values `covered`, `high-quality` and `kl` (nats), as Lin et al. 2018 (PacGAN,
    arXiv:1712.04086, section 4) define them; see `ganzoo_data.modes.ModeCount`. It needs data
    that provide `modes`, which promises a density with `means` `(K, D)` and `std`.
    """

    type: ClassVar[str] = "modes"
    needs: ClassVar[frozenset[str]] = frozenset({"data.modes"})
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {
        "covered": "higher",
        "high-quality": "higher",
        "kl": "lower",
    }
    bounds: ClassVar[Mapping[str, tuple[float | None, float | None]]] = {
        "covered": (0, None),
        "high-quality": (0, 1),
        "kl": (0, None),
    }
    labels: ClassVar[Mapping[str, str]] = {
        "covered": "Modes covered",
        "high-quality": "High-quality samples",
        "kl": "KL of mode shares",
    }
    collapse: ClassVar[Mapping[str, float]] = {"covered": 1.25}

    def build(self, context: BuildContext) -> Metric:
        """A count around the means of the built data's density."""
        from .modes import ModeCount

        density = context.data.density
        return ModeCount(means=density.means, std=density.std)


@hookimpl
def ganzoo_datasets() -> Sequence[type[DatasetSpec]]:
    """The data sets of this plugin."""
    pictures: list[type[DatasetSpec]] = [Digits, Mnist, FashionMnist, Cifar10, CelebA]
    return [*pictures, ImageFolder, HuggingFace, Gaussian1D, Ring, Grid]


@hookimpl
def ganzoo_metrics() -> Sequence[type[MetricSpec]]:
    """The metric of this plugin."""
    return [Modes]
