"""The figures by which generative models are compared.

Only declarations stand here; each `build` imports the file that does the work. Shapes: N
samples, F features, K classes. In a metric whose generated samples are not all finite, what
depends on them is not a number. Every metric raises `UserError` where it is given fewer samples
than it needs, and none of them touches torch's global random stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from ganzoo.api import BuildContext, Metric, MetricSpec, hookimpl

GANZOO_API_VERSION = 1

Way = Literal["higher", "lower"]
Bounds = Mapping[str, tuple[float | None, float | None]]


class FrechetDistance(MetricSpec):
    """Frechet distance of two Gaussians, fitted to the features of generated and real samples.

    `fid` is ||m - m'||^2 + Tr(C + C' - 2 (C C')^(1/2)), with means m, m' and unbiased
    covariances C, C' of features `(N, F)`, in float64: Heusel et al. 2017 (arXiv:1706.08500),
    equation 6. It is 0 for equal samples and in units of a feature squared. It grows as samples
    get fewer, so compare only figures of equally many. With fewer samples than F + 1 a
    covariance is singular; the figure is finite and right all the same, and says nothing about
    the directions in which nothing was seen. `floor` is the same distance between held-out
    samples and as many training samples as were generated, a fixed random choice: a generator
    as good as the training set would reach about it. It is left out where nothing is held out.
    """

    type: ClassVar[str] = "fid"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    needs: ClassVar[frozenset[str]] = frozenset({"data"})
    better: ClassVar[Mapping[str, Way]] = {"fid": "lower"}
    bounds: ClassVar[Bounds] = {"fid": (0, None)}
    collapse: ClassVar[Mapping[str, float]] = {"fid": 2.0}

    def build(self, context: BuildContext) -> Metric:
        """Compares features; those of the training set are asked for where some are held out."""
        from .distances import FrechetDistance

        floored = context.data.held_out is not None
        training = context.features.training.features if floored else None
        return FrechetDistance(self.type, training=training)


class KernelDistance(MetricSpec):
    """Squared maximum mean discrepancy of generated and real features, a mean over subsets.

    With the kernel (x.y / F + 1)^3 on features `(N, F)`, in float64: Binkowski et al. 2018
    (arXiv:1801.01401), section 4. The estimate is unbiased: equal laws give 0 on average,
    whatever the number of samples, and single figures may fall below it. `kid` is the mean over
    random subsets, always the same draws, and `spread` their standard deviation. In another
    order of the samples the subsets are others, and `kid` differs by about
    spread / sqrt(subsets).
    """

    type: ClassVar[str] = "kid"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"kid": "lower"}

    subsets: PositiveInt = Field(100, description="random subsets over which the mean is taken")
    subset_size: int = Field(
        1000,
        ge=2,
        description="samples of each side in a subset; fewer where there are fewer",
    )

    def build(self, context: BuildContext) -> Metric:
        from .distances import KernelDistance

        return KernelDistance(self.type, subsets=self.subsets, subset_size=self.subset_size)


class InceptionScore(MetricSpec):
    """How surely each sample is of one class, and how evenly the classes are met: 1 to K.

    exp E KL(p(y|x) || p(y)) of the extractor's probabilities `(N, K)`: Salimans et al. 2016
    (arXiv:1606.03498), section 4. `score` is that of the generated samples and `real` that of
    the real ones. The classes are the extractor's own: only with Inception-v3 are they
    ImageNet's, and the figure comparable with published ones, which are moreover means over
    ten parts of the samples where this is one figure over all. Diversity within a class is not
    seen.
    """

    type: ClassVar[str] = "inception-score"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    better: ClassVar[Mapping[str, Way]] = {"score": "higher"}
    bounds: ClassVar[Bounds] = {"score": (1, None), "real": (1, None)}

    def build(self, context: BuildContext) -> Metric:
        from .classes import InceptionScore

        return InceptionScore(self.type)


class PrecisionRecall(MetricSpec):
    """Shares of generated samples within the real ones' manifold, and the other way round.

    A manifold is the union of balls around samples, each as large as the distance to its k-th
    nearest neighbour of the same kind, its border included; distances are Euclidean in features
    `(N, F)`. `precision`, in [0, 1]: generated samples within a real one's ball. `recall`: real
    samples within a generated one's. Kynkaanniemi et al. 2019 (arXiv:1904.06991), equations 1
    and 2. Radii depend on the number of samples, so as many generated as real ones are used:
    the first ones, as many as there are of both.
    """

    type: ClassVar[str] = "precision-recall"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"precision": "higher", "recall": "higher"}
    bounds: ClassVar[Bounds] = {"precision": (0, 1), "recall": (0, 1)}
    collapse: ClassVar[Mapping[str, float]] = {"recall": 2.0}

    neighbours: PositiveInt = Field(
        3, description="a ball reaches as far as this neighbour of its centre"
    )

    def build(self, context: BuildContext) -> Metric:
        from .manifolds import PrecisionRecall

        return PrecisionRecall(self.type, neighbours=self.neighbours)


class DensityCoverage(MetricSpec):
    """How many real balls hold a generated sample, and how many of the balls hold any.

    A ball is around a real sample and ends before its k-th nearest real neighbour; distances
    are Euclidean in features `(N, F)`. `density`: the number of balls that a generated sample
    is in, over k, on average; about 1 for the real law, more where samples crowd around its
    densest parts. `coverage`, in [0, 1]: real samples whose ball holds a generated one; for
    the real law about 1 - 2^-k. Naeem et al. 2020 (arXiv:2002.09797), section 3. As
    many generated as real samples are used: the first ones, as many as there are of both.
    """

    type: ClassVar[str] = "density-coverage"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"density": "higher", "coverage": "higher"}
    bounds: ClassVar[Bounds] = {"density": (0, None), "coverage": (0, 1)}
    collapse: ClassVar[Mapping[str, float]] = {"coverage": 2.0}

    neighbours: PositiveInt = Field(
        5, description="a ball reaches as far as this neighbour of its centre"
    )

    def build(self, context: BuildContext) -> Metric:
        from .manifolds import DensityCoverage

        return DensityCoverage(self.type, neighbours=self.neighbours)


class Classes(MetricSpec):
    """How many of the classes are still generated, and how far their shares are off.

    A sample counts for its most probable class, by the extractor's probabilities `(N, K)`.
    `held`: classes of real samples that generated ones fall in at least a tenth as often.
    `kl`: KL(g || r) in nats, of the generated samples' shares g from the real ones' r, 0 where
    they are equal. For the sake of classes without any real sample one more real sample is
    taken to be there, spread as g is, so that `kl` is at most log(N + 1) for N real samples.
    """

    type: ClassVar[str] = "classes"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    better: ClassVar[Mapping[str, Way]] = {"held": "higher", "kl": "lower"}
    bounds: ClassVar[Bounds] = {"held": (0, None), "kl": (0, None)}
    collapse: ClassVar[Mapping[str, float]] = {"held": 1.25}

    def build(self, context: BuildContext) -> Metric:
        from .classes import Classes

        return Classes(self.type)


class Sharpness(MetricSpec):
    """Variance of an image's Laplacian, a mean over images: edges and noise against blur.

    Of images `(N, C, H, W)`, made grey by the mean of their channels and scaled to [0, 1]; the
    Laplacian is that of the four neighbours, where all of them lie in the image (Pech-Pacheco
    et al. 2000, "Diatom autofocusing in brightfield microscopy"). `sharpness` is that of
    generated images, `relative` is it divided by that of real ones: 1 is the data's own, less
    is blurred, more is noisy. Neither way is better. Raises `UserError` for images with a side
    of less than 3 pixels.
    """

    type: ClassVar[str] = "sharpness"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})

    def build(self, context: BuildContext) -> Metric:
        from .sharpness import Sharpness

        return Sharpness(self.type, sample_shape=context.sample_shape)


class Nearest(MetricSpec):
    """How near generated samples are to training ones: memorisation, and repetition.

    Euclidean distances in features `(N, F)`, of the first `samples` generated and as many real
    samples, to all training samples. `generated`: median distance to the nearest training
    sample; `real`: the same for held-out samples; `ratio`: generated / real, below 1 where
    generated samples are nearer to training samples than held-out ones are. `share`: generated
    samples at most as far from their nearest training sample as the nearest 1 % of held-out
    ones are: 0.01 is expected, 1 where training samples are given back. `repeated`: the same
    with distances to the nearest other sample, generated among generated and real among as
    many real ones: 0.01 is expected, 1 where each sample comes at least twice. Where nothing
    is held out, `real`, `ratio` and `share` are left out.
    """

    type: ClassVar[str] = "nearest"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    needs: ClassVar[frozenset[str]] = frozenset({"data"})
    better: ClassVar[Mapping[str, Way]] = {"share": "lower", "repeated": "lower"}
    bounds: ClassVar[Bounds] = {"share": (0, 1), "repeated": (0, 1)}

    samples: int = Field(2000, ge=2, description="generated samples, and real ones, looked at")

    def build(self, context: BuildContext) -> Metric:
        """Compares features with those of the training set."""
        from .nearest import Nearest

        return Nearest(
            self.type,
            training=context.features.training.features,
            held_out=context.data.held_out is not None,
            samples=self.samples,
        )


class WassersteinDistance(MetricSpec):
    """Wasserstein-1 distance of generated and real points: the cost of moving one to the other.

    Of points `(N, D)` with Euclidean cost, in units of a coordinate. `exact`: the optimal
    transport between the first `samples` points of either side; in one dimension between all
    of them, by their quantiles. `sliced`: the mean of the exact distances of all points'
    projections on `directions` random directions, always the same ones (Rabin et al. 2012,
    "Wasserstein barycenter and its application to texture mixing", with p = 1). Both are 0 for
    equal samples only, so two samples of one law are some distance apart, less as there are
    more of them.
    """

    type: ClassVar[str] = "wasserstein"
    needs: ClassVar[frozenset[str]] = frozenset({"data.points"})
    better: ClassVar[Mapping[str, Way]] = {"sliced": "lower", "exact": "lower"}
    bounds: ClassVar[Bounds] = {"sliced": (0, None), "exact": (0, None)}

    samples: PositiveInt = Field(1000, description="points of either side in the exact distance")
    directions: PositiveInt = Field(100, description="directions of the sliced distance")

    def build(self, context: BuildContext) -> Metric:
        from .transport import WassersteinDistance

        return WassersteinDistance(self.type, samples=self.samples, directions=self.directions)


@hookimpl
def ganzoo_metrics() -> Sequence[type[MetricSpec]]:
    """The metrics of this plugin."""
    return [
        FrechetDistance,
        KernelDistance,
        InceptionScore,
        PrecisionRecall,
        DensityCoverage,
        Classes,
        Sharpness,
        Nearest,
        WassersteinDistance,
    ]
