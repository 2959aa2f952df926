"""Autoencoders and generators regressed on codes, as losses for ganzoo, and metrics of them.

Only declarations stand here; each `build` imports the file that does the work. The decoder is
whatever `[generator]` names, the encoder is `[encoder]`; both are trained together in the phase
`joint`. A reconstruction is summed over the values of a sample and averaged over the
batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ganzoo.api import (
    BuildContext,
    Loss,
    LossSpec,
    Metric,
    MetricSpec,
    Phase,
    Remark,
    Surroundings,
    UserError,
    Value,
    hookimpl,
)

GANZOO_API_VERSION = 1

AUTOENCODER: Mapping[str, Phase] = {"joint": Phase(trains=frozenset({"generator", "encoder"}))}
CODES = frozenset({"codes"})

Distance = Literal["l2", "l1", "bernoulli"]
DISTANCE = "l2: squared differences; l1: absolute ones; bernoulli: cross-entropy of pixels, in nats"


class ReconstructionLoss(LossSpec):
    """Autoencoder: G(E(x)) should be x.

    Hinton and Salakhutdinov 2006 (doi:10.1126/science.1127647), without their pretraining. The
    term `reconstruction` is `distance` summed over the values of a sample, mean over the batch;
    with `bernoulli` as in `elbo`. Nothing pulls the codes `(N, latent_dim)` towards the
    distribution of the latents, so G is not trained on latents from that distribution. Raises
    `UserError` for `bernoulli` with points.
    """

    type: ClassVar[str] = "reconstruction"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    provides: ClassVar[frozenset[str]] = CODES
    phases: ClassVar[Mapping[str, Phase]] = AUTOENCODER
    terms: ClassVar[Mapping[str, str]] = {
        "joint/reconstruction": "distance of x and G(E(x)), summed over the values of a sample",
    }

    distance: Distance = Field("l2", description=DISTANCE)

    def build(self, context: BuildContext) -> Loss:
        _check_bernoulli(self.type, "distance", self.distance, context)
        from .autoencoders import Reconstruction
        from .distances import DISTANCES

        return Reconstruction(DISTANCES[self.distance])


class ElboLoss(LossSpec):
    """VAE: minus the evidence lower bound, E -log p(x | z) + beta KL(q(z | x) || p(z)).

    Kingma and Welling 2014 (arXiv:1312.6114), equations 3 and 10: one draw z of the encoder's
    normal q for each x, p(z) the standard normal. `beta` as in Higgins et al. 2017 (beta-VAE),
    a ramp from 0 as in Bowman et al. 2016 (arXiv:1511.06349), `free_bits` as in Kingma et al.
    2016 (arXiv:1606.04934). The term `loss` is minimised. The statistics are its parts without
    beta and free bits, in nats per sample: `reconstruction` E -log p(x | z), `kl`, and `elbo`,
    minus their sum. The `gaussian` reconstruction is minus the logarithm of a density, and may be
    negative; the `bernoulli` one is the cross-entropy of pixels mapped from [-1, 1] to [0, 1],
    not below their own entropy, and no density where pixels are grey (Loaiza-Ganem and Cunningham
    2019, arXiv:1907.06845). Raises `UserError` for uniform latents, and for `bernoulli` with
    points.
    """

    type: ClassVar[str] = "elbo"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder.variance"})
    provides: ClassVar[frozenset[str]] = CODES | {"likelihood"}
    phases: ClassVar[Mapping[str, Phase]] = AUTOENCODER
    terms: ClassVar[Mapping[str, str]] = {
        "joint/loss": "what is minimised: reconstruction + beta kl, with free bits",
        "joint/reconstruction": "E -log p(x | z), in nats per sample",
        "joint/kl": "KL(q(z | x) || p(z)), in nats per sample: 0 where codes say nothing of x",
        "joint/elbo": "minus the sum of both: higher is better",
    }

    likelihood: Literal["bernoulli", "gaussian"] = Field(
        "bernoulli", description="distribution of x given z; bernoulli is for images only"
    )
    std: PositiveFloat = Field(
        0.5, description="gaussian: standard deviation around G(z), in units of the data"
    )
    beta: Value = Field(1.0, ge=0, description="weight of the KL divergence")
    free_bits: NonNegativeFloat = Field(
        0.0,
        description="nats of KL, mean over the batch, up to which a latent dimension costs nothing",
    )

    @property
    def traits(self) -> Mapping[str, str]:
        return {"batch-statistics": "free_bits"} if self.free_bits else {}

    def build(self, context: BuildContext) -> Loss:
        if context.latent_distribution != "normal":
            raise UserError(
                f"loss '{self.type}' compares codes with a standard normal, but"
                f" latent.distribution is '{context.latent_distribution}'",
                hint="write latent.distribution = 'normal', or take the loss 'mmd'",
            )
        _check_bernoulli(self.type, "likelihood", self.likelihood, context)
        from .autoencoders import Elbo
        from .distances import bernoulli, gaussian

        return Elbo(
            bernoulli if self.likelihood == "bernoulli" else gaussian(self.std),
            beta=context.value(self.beta),
            free_bits=self.free_bits,
        )


class MmdLoss(LossSpec):
    """WAE-MMD: an autoencoder whose codes, as a set, should be distributed as the latents are.

    Tolstikhin et al. 2018 (arXiv:1711.01558), algorithm 2. The term `loss` is the statistic
    `reconstruction` plus `weight` times the statistic `mmd`: the unbiased estimate, which may be
    negative, of the squared maximum mean discrepancy between codes and latents. Kernel: inverse
    multiquadratics of seven widths, those of the authors' code. For normal and uniform latents;
    a batch has two samples or more on each device. Raises `UserError` for `bernoulli` with
    points.
    """

    type: ClassVar[str] = "mmd"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    provides: ClassVar[frozenset[str]] = CODES
    phases: ClassVar[Mapping[str, Phase]] = AUTOENCODER
    terms: ClassVar[Mapping[str, str]] = {
        "joint/loss": "what is minimised: reconstruction + weight mmd",
        "joint/reconstruction": "distance of x and G(E(x)), summed over the values of a sample",
        "joint/mmd": "squared discrepancy of codes and latents: about 0 where they are alike",
    }

    distance: Distance = Field("l2", description=DISTANCE)
    weight: Value = Field(10.0, ge=0, description="weight of the discrepancy")

    @property
    def traits(self) -> Mapping[str, str]:
        return {"batch-statistics": "type"}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        if recipe.batch_size == 1:
            message = "the codes of a batch are compared with each other, and it has one sample"
            hint = "make train.batch_size greater, or train.accumulate smaller"
            yield Remark(message, hint=hint, fatal=True)

    def build(self, context: BuildContext) -> Loss:
        _check_bernoulli(self.type, "distance", self.distance, context)
        from .autoencoders import Mmd
        from .discrepancy import kernel_widths
        from .distances import DISTANCES

        widths = kernel_widths(context.latent_dim, context.latent_distribution)
        weight = context.value(self.weight)
        return Mmd(DISTANCES[self.distance], weight=weight, widths=widths)


class PairedCodesLoss(LossSpec):
    """A generator regressed on codes, one for each training sample; no encoder, no game.

    The codes are drawn once from the distribution of the latents and stay fixed, or with
    `learned` are weights of the loss: GLO, Bojanowski et al. 2018 (arXiv:1707.05776). Learned
    codes stay in the paper's ball, here of radius sqrt(latent_dim), where a normal distribution
    has its mass; with uniform latents in their cube [-1, 1]. The term `reconstruction` is
    `distance` summed over the values of a sample, mean over the batch, so that the gradient of a
    code is divided by the batch size. `laplacian` is the paper's distance, for images only.
    Learned codes take memory as weights do: latent_dim numbers for each training sample, and the
    state of the optimizer. Raises `UserError` for `laplacian` with points.
    """

    type: ClassVar[str] = "paired-codes"
    provides: ClassVar[frozenset[str]] = CODES
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}
    terms: ClassVar[Mapping[str, str]] = {
        "joint/reconstruction": "distance of x and the sample of its code, summed over its values",
    }

    learned: bool = Field(
        False, description="train the codes too (GLO), by the optimizer of [optimizer.loss]"
    )
    distance: Literal["l2", "l1", "laplacian"] = Field(
        "l2",
        description="l2: squared differences; l1: absolute ones; "
        "laplacian: absolute ones of each scale of a picture",
    )

    @property
    def has_weights(self) -> bool:
        """Whether the codes are learned."""
        return self.learned

    def build(self, context: BuildContext) -> Loss:
        from .distances import DISTANCES, laplacian_pyramid
        from .paired import PairedCodes

        if self.distance != "laplacian":
            distance = DISTANCES[self.distance]
        elif len(context.sample_shape) == 3:
            distance = laplacian_pyramid
        else:
            raise UserError(
                f"loss '{self.type}' with distance = 'laplacian' compares pictures, but the data"
                f" are of shape {context.sample_shape}",
                hint="loss.distance = 'l1' takes points",
            )
        return PairedCodes(
            count=context.training_samples,
            latent_dim=context.latent_dim,
            distribution=context.latent_distribution,
            learned=self.learned,
            distance=distance,
        )


class LikelihoodMetric(MetricSpec):
    """Log-likelihood of held-out samples under a VAE, bounded from below, in nats per sample.

    For losses that provide `likelihood`. The value `log-likelihood` is the log of the mean weight
    of `importance_samples` draws of q(z | x), mean over x: Burda et al. 2016 (arXiv:1509.00519),
    equation 8. `elbo` is the looser bound that the loss trains, with beta 1 and no free bits;
    `reconstruction`, E -log p(x | z), and `kl` are its two parts. Latents are standard normal
    here whatever `[prior]` is. Training samples are measured where none are held out.

    With `gaussian` the values are of a density of samples in [-1, 1], and may be above 0. With
    `bernoulli` grey pixels have no density; the values are lower bounds, by Hoelder's inequality,
    of the mean log-probability of binarized images, in which each pixel is white with a
    probability equal to its grey level. Values of the two cannot be compared.
    """

    type: ClassVar[str] = "likelihood"
    judges_samples: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"data", "encoder", "loss.likelihood"})
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {
        "log-likelihood": "higher",
        "elbo": "higher",
    }
    labels: ClassVar[Mapping[str, str]] = {
        "log-likelihood": "Log-likelihood",
        "elbo": "ELBO",
        "reconstruction": "ELBO, reconstruction",
        "kl": "ELBO, KL",
    }

    samples: PositiveInt = Field(
        500, description="held-out samples at most, the same ones for every run"
    )
    importance_samples: PositiveInt = Field(
        200, description="draws for each sample; more of them bring the bound closer"
    )

    def build(self, context: BuildContext) -> Metric:
        from .metrics import Likelihood

        return Likelihood(context, samples=self.samples, importance_samples=self.importance_samples)


class ReconstructionErrorMetric(MetricSpec):
    """Mean squared error of the reconstructions of held-out samples.

    For losses that know codes and have an encoder. The error is per value of a sample: of pixels
    in [0, 1], of points in their own units, squared. `training` is the same on as many training
    samples; where it is much lower, the networks overfit. A VAE's code is a draw of q(z | x).
    Both are of training samples where none are held out. Raises `UserError`
    where the codes do not come from the encoder.
    """

    type: ClassVar[str] = "reconstruction-error"
    needs: ClassVar[frozenset[str]] = frozenset({"data", "encoder", "loss.codes"})
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {"reconstruction-error": "lower"}
    bounds: ClassVar[Mapping[str, tuple[float | None, float | None]]] = {
        "reconstruction-error": (0, None)
    }
    judges_samples: ClassVar[bool] = False
    labels: ClassVar[Mapping[str, str]] = {
        "reconstruction-error": "Reconstruction error",
        "training": "Reconstruction error in training",
    }

    samples: PositiveInt = Field(
        10_000, description="held-out samples at most, the same ones for every run"
    )

    def build(self, context: BuildContext) -> Metric:
        from .metrics import ReconstructionError

        return ReconstructionError(context, samples=self.samples)


def _check_bernoulli(loss: str, key: str, value: str, context: BuildContext) -> None:
    """Raise `UserError` for `bernoulli` with data that are no images."""
    if value == "bernoulli" and len(context.sample_shape) != 3:
        other = "gaussian" if key == "likelihood" else "l2"
        raise UserError(
            f"loss '{loss}' with {key} = 'bernoulli' reads pixels as probabilities, but the data"
            f" are of shape {context.sample_shape}",
            hint=f"loss.{key} = '{other}' takes points",
        )


@hookimpl
def ganzoo_losses() -> Sequence[type[LossSpec]]:
    """The losses."""
    return [ReconstructionLoss, ElboLoss, MmdLoss, PairedCodesLoss]


@hookimpl
def ganzoo_metrics() -> Sequence[type[MetricSpec]]:
    """The metrics."""
    return [LikelihoodMetric, ReconstructionErrorMetric]
