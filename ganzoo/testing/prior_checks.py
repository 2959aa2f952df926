"""Checks of priors and of feature extractors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ganzoo.specs import PriorSpec
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first, smallest
from ganzoo.testing.checks import Wrong, check
from ganzoo.testing.effects import one_line, streams_at
from ganzoo.testing.tensors import largest_difference, not_finite

CODES = 40


def _fitted(bench: Bench, *, shift: float = 0.0, seed: int = 0) -> Any:
    """The prior, fitted to codes around `shift` if it is one that is fitted."""
    prior = bench.build(seed)
    if bench.spec.fitted:  # type: ignore[attr-defined]
        stream = torch.Generator().manual_seed(1)
        prior.fit(torch.randn(CODES, bench.latent_dim, generator=stream) + shift)
    return prior


def _sample(prior: Any, count: int = 8, seed: int = 0) -> Any:
    return prior.sample(count, torch.Generator().manual_seed(seed))


@check("prior", on=first)
def prior_samples(bench: Bench) -> None:
    """The generator is sampled with them; latents of another shape stop it, those that are not
    finite make empty pictures."""
    prior = _fitted(bench)
    for count in (1, 3):
        z, shape = _sample(prior, count), (count, bench.latent_dim)
        if not isinstance(z, Tensor) or tuple(z.shape) != shape or z.dtype != torch.float32:
            shown = f"{z.dtype} {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
            raise Wrong(f"sample({count}, generator) gives {shown}; give float32 {shape}")
        if not_finite(z):
            raise Wrong("gives latents that are not finite")


@check("prior", on=first)
def prior_seed(bench: Bench) -> None:
    """The seed of a run, or of whoever samples it, fixes the samples."""
    prior = _fitted(bench)
    samples = []
    for stream in (1, 2):
        with streams_at(stream) as moved:
            samples.append(_sample(prior))
            if name := moved():
                raise Wrong(f"sample() draws from {name}; draw from the generator that it is given")
    if not torch.equal(*samples):
        raise Wrong("gives other latents for the same generator; keep nothing from call to call")
    if torch.equal(samples[0], _sample(prior, seed=1)):
        raise Wrong("gives the same latents for another generator; draw from the one that is given")


@check("prior", on=first)
def prior_fit(bench: Bench) -> None:
    """A prior that says it is fitted, and is not, is sampled from where no code lies."""
    assert isinstance(bench.spec, PriorSpec)
    near, far = (_sample(_fitted(bench, shift=shift)) for shift in (0.0, 3.0))
    if bench.spec.fitted and torch.equal(near, far):
        raise Wrong("gives the same latents whatever it is fitted to; write fitted = False")
    if not bench.spec.fitted:
        prior = bench.build()
        prior.fit(torch.ones(CODES, bench.latent_dim) + torch.eye(CODES, bench.latent_dim))
        if not torch.equal(near, _sample(prior)):
            raise Wrong("is changed by fit(), which is never called; write fitted = True")


@check("prior", on=first)
def prior_state(bench: Bench) -> None:
    """A fitted prior is kept as safetensors, and read when the run is sampled."""
    prior = _fitted(bench, shift=1.0)
    state = prior.state_dict() if hasattr(prior, "state_dict") else None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise Wrong("has no state dict of tensors by name; make it a torch.nn.Module with buffers")
    other = bench.build(1)
    try:
        file = safetensors.torch.save({key: value.contiguous() for key, value in state.items()})
        other.load_state_dict(safetensors.torch.load(file))
    except Exception as error:
        raise Wrong(
            f"its state cannot be kept as safetensors and loaded again: {one_line(error)}; "
            "register the same buffers in every build, with the same shapes"
        ) from error
    if not torch.equal(_sample(prior), _sample(other)):
        raise Wrong("gives other latents after its state was loaded; keep all of it in buffers")


@check("extractor", on=smallest)
def extractor_outputs(bench: Bench) -> None:
    """Distances are taken in the features, and scores in the probabilities of the classes."""
    network = bench.component.eval()
    if not str(getattr(network, "note", "")).strip():
        raise Wrong("has no `note`; say in a text what a reader of the values has to know")
    widths = set()
    for count in (1, 3):
        output = network(bench.batch(count).x)
        if not (isinstance(output, tuple) and len(output) == 2):
            raise Wrong(
                f"gives {type(output).__name__}; return the pair of features (N, F) and logits "
                "(N, K), or None for the logits"
            )
        for values, name in zip(output, ("features", "logits"), strict=True):
            if values is None and name == "logits":
                continue
            if not isinstance(values, Tensor) or values.dim() != 2 or len(values) != count:
                shown = tuple(values.shape) if isinstance(values, Tensor) else values
                raise Wrong(f"gives {name} {shown} for {count} samples; give ({count}, ...)")
            if not_finite(values):
                raise Wrong(f"gives {name} that are not finite {bench.here}")
        widths.add(output[0].shape[1])
    if len(widths) > 1:
        raise Wrong("the number of features depends on the number of samples")


@check("extractor", on=smallest)
def fixed_features(bench: Bench) -> None:
    """Distances can be compared only in features of the same network, for every seed."""
    x, features = bench.batch().x, []
    for seed in (0, 1):
        network: nn.Module = bench.build(seed).eval()
        with streams_at(seed), torch.no_grad():
            features += [network(x)[0], network(x)[0]]
    for one, other in ((features[0], features[1]), (features[0], features[2])):
        if largest_difference([one], [other]):
            raise Wrong(
                "gives other features for the same samples; draw nothing, and weights from "
                "generators with a fixed seed"
            )
