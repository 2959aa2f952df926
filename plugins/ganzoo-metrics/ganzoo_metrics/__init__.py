"""Metrics that compare generative models.

This file holds the declarations; each `build` imports the implementation. Shapes: N samples, F
features, K classes. If a generated sample is not finite, the values that depend on generated
samples are NaN. Every metric raises `UserError` if it is given fewer samples than it needs. No
metric uses torch's global random stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from ganzoo.api import BuildContext, Metric, MetricSpec, hookimpl

GANZOO_API_VERSION = 1

Way = Literal["higher", "lower"]
Bounds = Mapping[str, tuple[float | None, float | None]]
Labels = Mapping[str, str]


class FrechetDistance(MetricSpec):
    """Frechet distance of two Gaussians, fitted to the features of generated and real samples.

    `fid` is ||m1 - m2||^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), with means m1, m2 and unbiased
    covariances S1, S2 of features `(N, F)`, in float64: Heusel et al. 2017 (arXiv:1706.08500),
    equation 6. It is 0 for equal samples, and its unit is that of a squared feature. Fewer
    samples give higher values, so compare only values of equally many samples. With F samples
    or fewer a covariance is singular; the value is still exact, but covers only the directions
    in which the samples vary. `floor` is the distance between held-out samples and as many
    training samples as were generated, a fixed random choice: about what a generator as good as
    the training set would reach. Without held-out samples it is left out.
    """

    type: ClassVar[str] = "fid"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    needs: ClassVar[frozenset[str]] = frozenset({"data"})
    better: ClassVar[Mapping[str, Way]] = {"fid": "lower"}
    bounds: ClassVar[Bounds] = {"fid": (0, None)}
    labels: ClassVar[Labels] = {"fid": "FID", "floor": "FID of training samples"}
    collapse: ClassVar[Mapping[str, float]] = {"fid": 2.0}

    @property
    def least_samples(self) -> int:
        """2."""
        return 2

    def build(self, context: BuildContext) -> Metric:
        """Asks for the features of the training set only if the data hold samples out."""
        from .distances import FrechetDistance

        floored = context.data.held_out is not None
        training = context.features.training.features if floored else None
        return FrechetDistance(self.type, training=training)


class KernelDistance(MetricSpec):
    """Squared maximum mean discrepancy of generated and real features, a mean over subsets.

    With the kernel (x.y / F + 1)^3 on features `(N, F)`, in float64: Binkowski et al. 2018
    (arXiv:1801.01401), section 4. The estimate is unbiased: equal distributions give 0 on average
    for any number of samples, so a single value may be negative. `kid` is the mean over random
    subsets, drawn with a fixed seed, and `spread` the standard deviation over them. If the
    samples come in another order, the subsets differ, and `kid` changes by about
    spread / sqrt(subsets).
    """

    type: ClassVar[str] = "kid"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"kid": "lower"}
    labels: ClassVar[Labels] = {"kid": "KID", "spread": "KID, spread over subsets"}

    subsets: PositiveInt = Field(
        100, description="number of random subsets that the mean is taken over"
    )
    subset_size: int = Field(
        1000,
        ge=2,
        description="samples of each side in a subset, at most as many as there are",
    )

    @property
    def least_samples(self) -> int:
        """2."""
        return 2

    def build(self, context: BuildContext) -> Metric:
        from .distances import KernelDistance

        return KernelDistance(self.type, subsets=self.subsets, subset_size=self.subset_size)


class InceptionScore(MetricSpec):
    """How confident the classes of samples are, and how evenly spread over the classes: 1 to K.

    exp E KL(p(y|x) || p(y)) of the extractor's probabilities `(N, K)`, in float64: Salimans et
    al. 2016 (arXiv:1606.03498), section 4. `score` is that of the generated samples, `real`
    that of the real samples. The classes are those of the extractor: only with Inception-v3 are
    they ImageNet's and the value comparable with published ones. Published scores are
    usually means over ten splits of the samples; this one is taken over all samples at once.
    Diversity within a class has no influence.
    """

    type: ClassVar[str] = "inception-score"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    better: ClassVar[Mapping[str, Way]] = {"score": "higher"}
    bounds: ClassVar[Bounds] = {"score": (1, None), "real": (1, None)}
    labels: ClassVar[Labels] = {
        "score": "Inception score",
        "real": "Inception score of real samples",
    }

    def build(self, context: BuildContext) -> Metric:
        from .classes import InceptionScore

        return InceptionScore(self.type)


class PrecisionRecall(MetricSpec):
    """Share of generated samples within the manifold of real samples, and the other way round.

    A manifold is the union of closed balls around samples, with the distance to the k-th
    nearest neighbour on the same side as radius; distances are Euclidean in features `(N, F)`.
    `precision`, in [0, 1]: share of generated samples within a ball of a real sample. `recall`,
    in [0, 1]: share of real samples within a ball of a generated sample. Kynkaanniemi et al.
    2019 (arXiv:1904.06991), equations 1 and 2. Radii depend on the number of samples, so
    equally many of each side are used, the first ones.
    """

    type: ClassVar[str] = "precision-recall"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"precision": "higher", "recall": "higher"}
    bounds: ClassVar[Bounds] = {"precision": (0, 1), "recall": (0, 1)}
    labels: ClassVar[Labels] = {"precision": "Precision", "recall": "Recall"}
    collapse: ClassVar[Mapping[str, float]] = {"recall": 2.0}

    neighbours: PositiveInt = Field(
        3, description="k: the radius of a ball is the distance to the k-th nearest neighbour"
    )

    @property
    def least_samples(self) -> int:
        """One more than `neighbours`."""
        return self.neighbours + 1

    def build(self, context: BuildContext) -> Metric:
        from .manifolds import PrecisionRecall

        return PrecisionRecall(self.type, neighbours=self.neighbours)


class DensityCoverage(MetricSpec):
    """Number of real balls around a generated sample, and share of real balls that contain one.

    Each real sample has an open ball, with the distance to its k-th nearest real neighbour as
    radius; distances are Euclidean in features `(N, F)`. `density`: mean number of balls that
    contain a generated sample, divided by k; about 1 for the real distribution, and more if the
    samples concentrate where the real ones are dense. `coverage`, in [0, 1]: share of real
    samples whose ball contains a generated sample; about 1 - 2^-k for the real distribution.
    Naeem et al. 2020 (arXiv:2002.09797), section 3. Equally many samples of each side are used,
    the first ones.
    """

    type: ClassVar[str] = "density-coverage"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"density": "higher", "coverage": "higher"}
    bounds: ClassVar[Bounds] = {"density": (0, None), "coverage": (0, 1)}
    labels: ClassVar[Labels] = {"density": "Density", "coverage": "Coverage"}
    collapse: ClassVar[Mapping[str, float]] = {"coverage": 2.0}

    neighbours: PositiveInt = Field(
        5, description="k: the radius of a ball is the distance to the k-th nearest neighbour"
    )

    @property
    def least_samples(self) -> int:
        """One more than `neighbours`."""
        return self.neighbours + 1

    def build(self, context: BuildContext) -> Metric:
        from .manifolds import DensityCoverage

        return DensityCoverage(self.type, neighbours=self.neighbours)


class Classes(MetricSpec):
    """Number of classes still generated, and divergence of their shares from the real shares.

    A sample's class is the most probable one by the extractor's probabilities `(N, K)`. `covered`:
    number of real classes whose generated share is at least a tenth of the real one. `kl`:
    KL(g || r) in nats, of the generated shares g and the real shares r; 0 if they are equal. To
    keep it finite for classes without a real sample, one real sample is added, spread over the
    classes as g is; so `kl` is at most log(M + 1) for M real samples.
    """

    type: ClassVar[str] = "classes"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    better: ClassVar[Mapping[str, Way]] = {"covered": "higher", "kl": "lower"}
    bounds: ClassVar[Bounds] = {"covered": (0, None), "kl": (0, None)}
    labels: ClassVar[Labels] = {"covered": "Classes covered", "kl": "KL of class shares"}
    collapse: ClassVar[Mapping[str, float]] = {"covered": 1.25}

    def build(self, context: BuildContext) -> Metric:
        from .classes import Classes

        return Classes(self.type)


class ClassAccuracy(MetricSpec):
    """Share of samples that a classifier finds to be of the class that was requested.

    A sample's class is the most probable one by the extractor's probabilities `(N, K)`.
    `class-accuracy`: share of all samples; `worst`: the least share of a class; `class-7`: share
    of the samples of class 7, and so on. For class-conditional recipes. An imperfect classifier
    bounds the values: its accuracy on real samples is in the extractor's note. The values are
    left out where the extractor's number of classes is not that of the data: its classes are
    then others.
    """

    type: ClassVar[str] = "class-accuracy"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    needs: ClassVar[frozenset[str]] = frozenset({"condition"})
    better: ClassVar[Mapping[str, Way]] = {"class-accuracy": "higher", "worst": "higher"}
    bounds: ClassVar[Bounds] = {"class-accuracy": (0, 1), "worst": (0, 1)}
    labels: ClassVar[Labels] = {
        "class-accuracy": "Class accuracy",
        "worst": "Class accuracy, worst class",
    }

    def build(self, context: BuildContext) -> Metric:
        from .conditional import ClassAccuracy

        return ClassAccuracy(self.type, num_classes=context.num_classes)


class ClassFrechetDistance(MetricSpec):
    """Frechet distance between generated and real samples of the same class, over all classes.

    As `fid`, on features `(N, F)` with labels; the intra FID of Miyato and Koyama 2018
    (arXiv:1802.05637), section 4. `class-fid`: mean over the classes; `worst`: the largest of a
    class; `classes`: number of classes that were compared. A class with fewer than two real or
    generated samples is left out, which a generator cannot bring about: the labels are drawn for
    it. Classes have few samples each, and fewer samples give higher values, so compare them with
    `floor`: the mean distance between held-out samples and as many training samples of the class
    as were generated. Without held-out samples it is left out. For class-conditional recipes.
    """

    type: ClassVar[str] = "class-fid"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    needs: ClassVar[frozenset[str]] = frozenset({"condition", "data"})
    better: ClassVar[Mapping[str, Way]] = {"class-fid": "lower", "worst": "lower"}
    bounds: ClassVar[Bounds] = {"class-fid": (0, None), "worst": (0, None)}
    labels: ClassVar[Labels] = {
        "class-fid": "FID by class",
        "worst": "FID by class, worst class",
        "classes": "Classes compared",
        "floor": "FID by class of training samples",
    }

    @property
    def least_samples(self) -> int:
        """2."""
        return 2

    def build(self, context: BuildContext) -> Metric:
        """Asks for the features of the training set only if the data hold samples out."""
        from .conditional import ClassFrechetDistance

        if context.data.held_out is None:
            return ClassFrechetDistance(self.type)
        training = context.features.training.features
        return ClassFrechetDistance(self.type, training=training, samples=context.data.train)


class Sharpness(MetricSpec):
    """Variance of the Laplacian of an image, a mean over images: high for edges, low for blur.

    Images `(N, C, H, W)` are turned grey by the mean of their channels and scaled to [0, 1]. The
    Laplacian is that of four neighbours, at the pixels that have all four (Pech-Pacheco et al.
    2000, "Diatom autofocusing in brightfield microscopy"). `sharpness` is the mean over
    generated images, `relative` its ratio to that of real images: below 1 is blurred, above 1
    noisy. Neither direction is better. Raises `UserError` for images with a side of less than 3
    pixels.
    """

    type: ClassVar[str] = "sharpness"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})
    labels: ClassVar[Labels] = {
        "sharpness": "Sharpness",
        "relative": "Sharpness relative to real samples",
    }

    def build(self, context: BuildContext) -> Metric:
        from .sharpness import Sharpness

        return Sharpness(self.type, sample_shape=context.sample_shape)


class Nearest(MetricSpec):
    """Distances of generated samples to training samples and to each other.

    Euclidean distances in features `(N, F)`, of the first `samples` generated and real samples,
    to all training samples. `generated`: median distance to the nearest training sample;
    `real`: the same for held-out samples; `ratio`: generated / real, below 1 if generated
    samples are nearer to training samples than held-out ones are. `share`: share of generated
    samples whose distance to the nearest training sample is within the 1 % quantile of that of
    held-out samples; 0.01 is expected, 1 means copies of training samples. `repeated`: the same
    with distances to the nearest other sample of the same side, equally many of each; 0.01 is
    expected, 1 means that every sample comes at least twice. Without held-out samples `real`,
    `ratio` and `share` are left out.
    """

    type: ClassVar[str] = "nearest"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    needs: ClassVar[frozenset[str]] = frozenset({"data"})
    better: ClassVar[Mapping[str, Way]] = {"share": "lower", "repeated": "lower"}
    bounds: ClassVar[Bounds] = {"share": (0, 1), "repeated": (0, 1)}
    labels: ClassVar[Labels] = {
        "generated": "Distance to training samples",
        "real": "Distance of held-out samples",
        "ratio": "Distance relative to held-out samples",
        "share": "Near copies of training samples",
        "repeated": "Repeated samples",
    }

    samples: int = Field(2000, ge=2, description="number of samples of each side that are used")

    @property
    def least_samples(self) -> int:
        """2."""
        return 2

    def build(self, context: BuildContext) -> Metric:
        """Asks for the features of the training set."""
        from .nearest import Nearest

        return Nearest(
            self.type,
            training=context.features.training.features,
            held_out=context.data.held_out is not None,
            samples=self.samples,
        )


class WassersteinDistance(MetricSpec):
    """Wasserstein-1 distance of generated and real points: the cost of optimal transport.

    For points `(N, D)` with Euclidean cost, in units of a coordinate. `exact`: optimal
    transport between the first `samples` points of each side; in one dimension between all
    points, by their quantiles. `sliced`: mean over `directions` random directions, drawn with a
    fixed seed, of the distance between the projections of all points (Rabin et al. 2012,
    "Wasserstein barycenter and its application to texture mixing", with p = 1). Both are 0 only
    for equal samples: two samples of one distribution have a positive distance, smaller for more
    points.
    """

    type: ClassVar[str] = "wasserstein"
    needs: ClassVar[frozenset[str]] = frozenset({"data.points"})
    better: ClassVar[Mapping[str, Way]] = {"sliced": "lower", "exact": "lower"}
    bounds: ClassVar[Bounds] = {"sliced": (0, None), "exact": (0, None)}
    labels: ClassVar[Labels] = {
        "sliced": "Sliced Wasserstein distance",
        "exact": "Wasserstein distance",
    }

    samples: PositiveInt = Field(
        1000, description="number of points of each side in the exact distance"
    )
    directions: PositiveInt = Field(100, description="number of directions of the sliced distance")

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
        ClassAccuracy,
        ClassFrechetDistance,
        Sharpness,
        Nearest,
        WassersteinDistance,
    ]
