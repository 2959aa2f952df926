"""Pieces for networks that are called with classes; plugins may build theirs from them.

Shapes: N samples, F features, labels int64 `(N,)`.
"""

from __future__ import annotations

from torch import Tensor, nn

EMBEDDING_DIM = 32
"""Length of the vector of a class that is joined to other inputs."""


def embedding(num_classes: int | None) -> nn.Embedding | None:
    """A learned vector of each class, N(0, 1) at first; None for a network without classes.

    To be joined to latents (Mirza and Osindero 2014, arXiv:1411.1784) or to features.
    """
    return None if num_classes is None else nn.Embedding(num_classes, EMBEDDING_DIM)


def last_inputs(layers: nn.Sequential, x: Tensor) -> Tensor:
    """What the last of some layers reads: the features of x."""
    *hidden, _ = layers  # a slice would be a new module
    for layer in hidden:
        x = layer(x)
    return x


class Projection(nn.Embedding):
    """A learned vector of each class, to be multiplied with features.

    The second term of a projection discriminator's logit, psi(phi(x)) + <embed(y), phi(x)>: Miyato
    and Koyama 2018 (arXiv:1802.05637), equation 3.
    """

    def reset_parameters(self) -> None:
        """Start as the weights of a layer with one output do."""
        bound = self.embedding_dim**-0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """<embed(y), phi(x)> `(N,)` of features `(N, F)`, or maps `(N, C, H, W)`, and labels."""
        product: Tensor = super().forward(labels) * features.flatten(1)
        return product.sum(dim=1)
