"""What people call things elsewhere, and what they are called here."""

from __future__ import annotations

from collections.abc import Mapping

NETWORKS: Mapping[str, str] = {
    **dict.fromkeys(("conv", "cnn", "convolutional"), "dcgan"),
    **dict.fromkeys(("fc", "linear", "dense", "perceptron"), "mlp"),
}

TYPES: Mapping[str, Mapping[str, str]] = {
    "loss": {
        **dict.fromkeys(("bce", "gan", "nsgan", "logistic"), "non-saturating"),
        **dict.fromkeys(("vanilla", "mmgan", "saturating"), "minimax"),
        **dict.fromkeys(("wgan", "wgan-gp", "earth-mover"), "wasserstein"),
        **dict.fromkeys(("lsgan", "ls"), "least-squares"),
        **dict.fromkeys(("rpgan", "rsgan", "r3gan"), "relativistic"),
        **dict.fromkeys(("vae", "beta-vae"), "elbo"),
        **dict.fromkeys(("ae", "autoencoder", "mse", "l2"), "reconstruction"),
        **dict.fromkeys(("wae", "wae-mmd", "info-vae"), "mmd"),
        **dict.fromkeys(("glo", "auto-decoder"), "paired-codes"),
        **dict.fromkeys(("nll", "mle", "maximum-likelihood"), "likelihood"),
        **dict.fromkeys(("fgan", "f-gan"), "f-divergence"),
    },
    "regularizer": dict.fromkeys(("gp", "wgan-gp"), "gradient-penalty")
    | {"cr": "consistency", "bcr": "consistency"},
    "augmentation": dict.fromkeys(("diffaug", "diffaugment", "diffaugmentation"), "diff-augment"),
    "dataset": {
        "cifar": "cifar10",
        "cifar-10": "cifar10",
        "fashionmnist": "fashion-mnist",
        "fmnist": "fashion-mnist",
        **dict.fromkeys(("folder", "imagefolder", "images", "pictures"), "image-folder"),
        **dict.fromkeys(("25gaussians", "gaussians"), "grid"),
        "8gaussians": "ring",
    },
    "generator": NETWORKS,
    "discriminator": NETWORKS,
    "encoder": NETWORKS,
    "metric": {"is": "inception-score", "prdc": "density-coverage"},
    "prior": dict.fromkeys(("gmm", "gaussian-mixture"), "mixture") | {"gaussian": "normal"},
}
"""Types of components by kind, then by the names that papers and other libraries give them."""

KEYS: Mapping[str, str] = {
    **dict.fromkeys(("lr", "learning_rate"), "optimizer.lr"),
    "epochs": "train.iterations, which counts batches",
    **dict.fromkeys(("steps", "n_steps", "num_steps", "max_steps", "n_iter"), "train.iterations"),
    **dict.fromkeys(("batch", "batchsize", "bs"), "train.batch_size"),
    "seed": "train.seed",
    **dict.fromkeys(("device", "gpu"), "engine.device"),
    "precision": "engine.precision",
    "amp": "engine.precision=bfloat16",
    **dict.fromkeys(("latent_dim", "z_dim", "nz", "noise_dim"), "latent.dim"),
    **dict.fromkeys(("dataset", "data_set"), "data"),
    **dict.fromkeys(("n_critic", "d_steps", "disc_steps"), "schedule.discriminator_steps"),
    "momentum": "optimizer.betas, the first of them for adam",
    **dict.fromkeys(("beta1", "beta2"), "optimizer.betas=[0.5, 0.999]"),
    "decay": "ema.decay, or optimizer.weight_decay",
    "iterations": "train.iterations",
    "batch_size": "train.batch_size",
}
"""Keys of a recipe by what people try."""

KINDS: Mapping[str, str] = {
    "losses": "loss",
    **dict.fromkeys(("data", "datasets", "data set"), "dataset"),
    "augment": "augmentation",
    **dict.fromkeys(("penalty", "regularization"), "regularizer"),
    **dict.fromkeys(("critic", "d"), "discriminator"),
    "g": "generator",
    "decoder": "generator",
    "features": "extractor",
    "logger": "listener",
}
"""Kinds of components by what people ask for."""


def usual_type(kind: str, name: str) -> str | None:
    """The type of a component that somebody means by another name."""
    return TYPES.get(kind, {}).get(name.lower().replace("_", "-"))


def usual_key(name: str) -> str | None:
    """Where a recipe has the key that somebody means by another name."""
    return KEYS.get(name.lower().replace("-", "_"))


def usual_kind(name: str) -> str | None:
    """The kind of component that somebody means by another name."""
    return KINDS.get(name.lower())
