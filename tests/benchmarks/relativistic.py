"""Is `recipes/mnist-relativistic.toml` at least as good as the loop that people write by hand?

    python tests/benchmarks/relativistic.py [RUN]

Trains a small classifier of digits, then RpGAN + R1 + R2 by a bare loop on networks of the same
widths (8,000 iterations of batch 64, penalties with gamma 1 in every fourth, average 0.999), and
the recipe, or takes a finished run of it. For each: the Frechet distance between Gaussians fitted
to 10,000 samples and to the 10,000 test digits in the classifier's 128 features (Heusel et al.
2017, arXiv:1706.08500, equation 6, in other features), and how many of the ten classes have at
least 1 % of the samples. About 40 minutes on 2 CPU cores; needs MNIST in GANZOO_DATA.
"""

from __future__ import annotations

import copy
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

import ganzoo
from ganzoo.data import Data, Samples, to_unit
from ganzoo.engine.parts import base_context

RECIPE = Path(__file__).parents[2] / "recipes" / "mnist-relativistic.toml"
SAMPLES = 10_000
LATENT = 100
ITERATIONS, BATCH, GAMMA, LAZY, DECAY = 8_000, 64, 1.0, 4, 0.999


class Classifier(nn.Module):
    """Digits `(N, 1, 28, 28)` in [-1, 1] to logits `(N, 10)`, by way of 128 features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def train_classifier(train: Samples, test: Samples, epochs: int = 2) -> Classifier:
    """The network that judges, and its accuracy on stderr."""
    torch.manual_seed(0)
    network = Classifier()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(epochs):
        for indices in torch.randperm(len(train)).split(128):
            loss = cross_entropy(network(to_unit(train.values[indices])), train.labels[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = logits_of(network, to_unit(test.values)).argmax(1) == test.labels
    print(f"classifier: {100 * right.float().mean():.2f} % of test digits right", file=sys.stderr)
    return network.eval()


@torch.no_grad()
def logits_of(network: Classifier, images: Tensor) -> Tensor:
    """Logits `(N, 10)`."""
    return torch.cat([network(part) for part in images.split(500)])


@torch.no_grad()
def moments(network: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `(128,)` and covariance `(128, 128)` of the features, in float64."""
    features = torch.cat([network.features(part) for part in images.split(500)]).double()
    return features.mean(0), features.T.cov()


def frechet(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))."""
    root = torch.linalg.eigvals(a[1] @ b[1]).real.clamp(min=0).sqrt().sum()
    return float((a[0] - b[0]).square().sum() + a[1].trace() + b[1].trace() - 2 * root)


def hand_generator() -> nn.Module:
    """DCGAN's generator for 28x28 with 128, 64 and 32 channels at 4x4, 7x7 and 14x14."""
    return nn.Sequential(
        nn.Unflatten(1, (LATENT, 1, 1)),
        nn.ConvTranspose2d(LATENT, 128, 4), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 2, output_padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def hand_discriminator() -> nn.Module:
    """Its mirror image, without normalisation."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 2), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 1, 4), nn.Flatten(0),
    )  # fmt: skip


def penalty(D: nn.Module, x: Tensor) -> Tensor:
    """gamma / 2 E |grad D(x)|^2."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return GAMMA / 2 * gradient.square().flatten(1).sum(1).mean()


def hand_loop(train: Samples) -> nn.Module:
    """The averaged generator after the last iteration."""
    torch.manual_seed(0)
    G, D = hand_generator(), hand_discriminator()
    average = copy.deepcopy(G)
    optimizers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.0, 0.99)) for net in (D, G)]
    for iteration in range(ITERATIONS):
        real = to_unit(train.values[torch.randint(len(train), (BATCH,))])
        fake = G(torch.randn(BATCH, LATENT)).detach()
        loss = softplus(D(fake) - D(real)).mean()
        if iteration % LAZY == 0:
            loss = loss + LAZY * (penalty(D, real) + penalty(D, fake))
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        real = to_unit(train.values[torch.randint(len(train), (BATCH,))])
        loss = softplus(D(real) - D(G(torch.randn(BATCH, LATENT)))).mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        with torch.no_grad():
            for kept, weight in zip(average.parameters(), G.parameters(), strict=True):
                kept.lerp_(weight, 1 - DECAY)
            for kept, buffer in zip(average.buffers(), G.buffers(), strict=True):
                kept.copy_(buffer)
    return average.eval()


def main() -> None:
    """Print a row for each generator."""
    recipe = ganzoo.load_recipe(RECIPE)
    data: Data = recipe.data.spec.build(base_context(recipe))
    assert isinstance(data.train, Samples)
    assert isinstance(data.held_out, Samples)
    judge = train_classifier(data.train, data.held_out)
    target = moments(judge, to_unit(data.held_out.values))

    def report(name: str, images: Tensor, seconds: float) -> None:
        shares = logits_of(judge, images).argmax(1).bincount(minlength=10) / len(images)
        distance = frechet(moments(judge, images), target)
        classes = int((shares >= 0.01).sum())
        print(f"{name:24} {distance:9.2f} {classes:8} {seconds:8.0f}", flush=True)

    print(f"{'samples':24} {'distance':>9} {'classes':>8} {'seconds':>8}")
    report("training digits", to_unit(data.train.values[:SAMPLES]), 0)
    report("uniform noise", torch.rand(SAMPLES, 1, 28, 28) * 2 - 1, 0)
    run = ganzoo.open_run(sys.argv[1]) if len(sys.argv) > 1 else ganzoo.train(recipe)
    report("mnist-relativistic", run.sample(SAMPLES), run.status["seconds"])
    start = time.perf_counter()
    generator = hand_loop(data.train)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        images = torch.cat([generator(torch.randn(500, LATENT)) for _ in range(SAMPLES // 500)])
    report("loop written by hand", images, seconds)


if __name__ == "__main__":
    main()
