"""Our networks and losses pass with other settings than their defaults, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ganzoo.testing import CHECKS, Case, Skip
from ganzoo.testing.checks import Subject
from ganzoo.testing.collection import find_plugin

FILES = ("network_checks", "loss_checks", "state_checks")
"""Where the checks are that depend on settings."""

UNLABELLED = "it does not provide 'classes'"

SETTINGS: list[tuple[str, str, dict[str, Any]]] = [
    ("ganzoo_mlp", "generator/mlp", {"hidden": [16], "normalization": "batch", "dropout": 0.3}),
    ("ganzoo_mlp", "discriminator/mlp", {"hidden": [16], "normalization": "batch", "dropout": 0.3}),
    ("ganzoo_mlp", "encoder/mlp", {"hidden": [16], "normalization": "layer", "activation": "tanh"}),
    ("ganzoo_dcgan", "generator/dcgan", {"base_channels": 8, "spectral_norm": True}),
    (
        "ganzoo_dcgan",
        "discriminator/dcgan",
        {"base_channels": 8, "minibatch_std": True, "dropout": 0.2},
    ),
    ("ganzoo_dcgan", "encoder/dcgan", {"base_channels": 8, "normalization": "instance"}),
    ("ganzoo_argmax", "generator/argmax", {"start": "noise"}),
    ("ganzoo_mixture", "generator/mixture", {"covariance": "diagonal", "initialization": "random"}),
    *[
        ("ganzoo_losses", "loss/f-divergence", {"divergence": name, "generator": "saturating"})
        for name in ("kl", "reverse-kl", "pearson-chi2", "squared-hellinger", "total-variation")
    ],
    ("ganzoo_losses", "loss/wasserstein", {"clip": 0.0}),
    ("ganzoo_losses", "regularizer/r1", {"gamma": {"from": 1.0, "to": 0.1}, "every": 4}),
    ("ganzoo_losses", "regularizer/gradient-penalty", {"one_sided": True}),
    ("ganzoo_losses", "regularizer/dragan", {"target": 0.0}),
    ("ganzoo_losses", "regularizer/consistency", {"flip": True, "fake_weight": 0.0}),
    ("ganzoo_autoencoder", "loss/reconstruction", {"distance": "bernoulli"}),
    ("ganzoo_autoencoder", "loss/elbo", {"likelihood": "gaussian", "free_bits": 0.1}),
    ("ganzoo_autoencoder", "loss/mmd", {"distance": "l1", "weight": 100.0}),
    ("ganzoo_autoencoder", "loss/paired-codes", {"learned": True, "distance": "laplacian"}),
]


@pytest.mark.parametrize(("module", "name", "settings"), SETTINGS, ids=str)
def test_ours_pass_with_other_settings(module: str, name: str, settings: Mapping[str, Any]) -> None:
    plugin = find_plugin(module)
    offered = {f"{kind}/{declared.type}": declared for kind, declared in plugin.components}
    tried, skips = 0, []
    for check in CHECKS.values():
        file = check.function.__module__.rpartition(".")[2]
        if file in FILES and offered[name].kind in check.kinds:
            tried += 1
            try:
                Case(check, Subject(plugin, offered[name], settings))()
            except Skip as reason:
                skips.append(str(reason))
    assert tried >= 6
    reasons = {"generator/argmax": ["it has no weights to train", UNLABELLED]}
    reasons["generator/mixture"] = [UNLABELLED]
    assert skips == reasons.get(name, [])
