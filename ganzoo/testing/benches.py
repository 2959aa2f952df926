"""The benches on which a component is checked: for which samples, with and without labels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from ganzoo import specs
from ganzoo.errors import UserError, describe
from ganzoo.specs import NETWORKS, ComponentSpec
from ganzoo.testing.bench import LATENT_DIM, Bench, Shape
from ganzoo.testing.checks import Skip, Subject, Wrong

IMAGES: Sequence[Shape] = ((1, 8, 8), (3, 16, 16), (1, 28, 28))
LARGER: Sequence[Shape] = ((3, 32, 32), (3, 64, 64), (3, 128, 128))
"""Images for components that refuse those above; the first that is taken is enough."""
POINTS: Sequence[Shape] = ((2,), (1,), (5,))
THOROUGH = frozenset({*NETWORKS, "loss", "regularizer", "augmentation"})
"""Kinds of components that are built for samples of every shape."""


def make_spec(subject: Subject) -> ComponentSpec:
    """The subject's declaration with its example's keys; raises `Wrong` where they are refused.
    A data set with a key `download` is not to do so."""
    assert subject.declared is not None
    keys = dict(subject.example)
    try:
        spec = subject.declared.model_validate_json(json.dumps(keys))
    except ValidationError as error:
        first = error.errors()[0]
        what = f"the example {keys} is" if keys else "its defaults are"
        key, where = ".".join(map(str, first["loc"])), "`examples` of the class" if keys else "them"
        problem = f"{what} refused: {key or 'the table'}: {first['msg']}"
        raise Wrong(f"{problem}; correct {where}") from error
    if spec.kind == "dataset" and isinstance(getattr(spec, "download", None), bool):
        return spec.model_copy(update={"download": False})
    return spec


def every_shape(subject: Subject) -> list[Bench]:
    """A fresh bench for each sample shape that the component may be given and does not refuse.

    A component refuses a shape by a `UserError` when it is built. Raises `Wrong` where it
    refuses all. Of components that most shapes make no difference to, the first is enough.
    """
    return [replace(bench) for bench in _benches(subject)]


def first(subject: Subject) -> list[Bench]:
    """The first of them; raises `Skip` where the component cannot be built."""
    with built():
        return every_shape(subject)[:1]


@contextmanager
def built() -> Iterator[None]:
    """Raise `Skip` where a component cannot be built in it, for which there is a check."""
    try:
        yield
    except Skip:
        raise
    except Exception as error:
        raise Skip("it cannot be built; see the check `builds`") from error


def smallest(subject: Subject) -> list[Bench]:
    """The first of images and the first of points."""
    benches = {len(bench.sample_shape): bench for bench in reversed(every_shape(subject))}
    return list(reversed(benches.values()))


def variants(subject: Subject) -> Iterator[Bench]:
    """The same, and the first of them with labels and with a discriminator that packs samples."""
    plain = smallest(subject)
    yield from plain
    yield from conditional(subject, needed=False)
    if plain[0].recipe.discriminator is not None and subject.kind not in NETWORKS:
        yield replace(plain[0], pack=2)


def conditional(subject: Subject, *, needed: bool = True) -> Iterator[Bench]:
    """The first bench with labels, where all networks can have them."""
    bench = every_shape(subject)[0]
    networks = [getattr(bench.recipe, name) for name in NETWORKS]
    able = [each.spec for each in networks if each] + [bench.spec] * (subject.kind in NETWORKS)
    if bench.recipe.data.spec.num_classes and all("classes" in spec.provides for spec in able):
        yield replace(bench, conditional=True)
    elif needed:
        raise Skip("it does not provide 'classes'")


def shapes_and_labels(subject: Subject) -> Iterator[Bench]:
    """A bench of every shape, and the first of them with labels."""
    yield from every_shape(subject)
    yield from conditional(subject, needed=False)


def phases(benches: Iterable[Bench], **changes: Any) -> Iterator[Bench]:
    """Benches of each phase of a loss, or of a regularizer's own, with some fields changed."""
    for bench in benches:
        names = bench.spec.phases if isinstance(bench.spec, specs.LossSpec) else [""]
        if isinstance(bench.spec, specs.RegularizerSpec):
            names = [bench.spec.phase]
        yield from (replace(bench, phase=name, **changes) for name in names)


def steps(subject: Subject) -> Iterator[Bench]:
    """The smallest benches in each phase."""
    return phases(smallest(subject))


def steps_of_variants(subject: Subject) -> Iterator[Bench]:
    """The same, also with labels and in packs."""
    return phases(variants(subject))


@lru_cache(maxsize=64)
def _benches(subject: Subject) -> Sequence[Bench]:
    spec = make_spec(subject)
    benches: dict[Shape, Bench] = {}
    refusals, failures = [], {}
    for shape in _shapes(spec):
        if benches and (shape in LARGER or spec.kind not in THOROUGH):
            continue
        try:
            bench = _bench(spec, shape)
            benches.setdefault(bench.sample_shape, bench)
        except UserError as error:
            refusals.append(error)
        except (Wrong, Skip):
            raise
        except Exception as error:
            failures[shape] = error
    for shape, failure in failures.items():
        if not benches:
            raise failure
        problem = f"cannot be built for samples of shape {shape}: {describe(failure)}"
        remedy = "raise UserError in `build` for what it does not make"
        raise Wrong(f"{problem}; {remedy}") from failure
    if not benches:
        problem = f"refuses samples of every shape that was tried: {refusals[0].message}"
        raise Wrong(f"{problem}; declare in `needs` what the data must be able to do")
    return list(benches.values())


def _shapes(spec: ComponentSpec) -> Sequence[Shape]:
    if spec.kind == "dataset":
        return POINTS[:1]  # it has a shape of its own
    images = () if spec.needs & {"data.points", "data.density"} else (*IMAGES, *LARGER)
    return (*images, *(() if "data.images" in spec.needs else POINTS))


def _bench(spec: ComponentSpec, shape: Shape) -> Bench:
    """A bench of a shape on which the component was built; raises the `UserError` of the first
    length of latents where all are refused."""
    refusals = []
    # Some generators start from noise in the shape of a sample, some from one value more.
    for latent_dim in (LATENT_DIM, math.prod(shape), math.prod(shape) + 1):
        bench = Bench(spec, shape, latent_dim, conditional="condition" in spec.needs)
        # Data that others provide have a shape of their own.
        bench = replace(bench, sample_shape=bench.recipe.data.spec.sample_shape)
        try:
            component = bench.build()
            if spec.kind == "metric" and not bench.measure(bench.reading(), metric=component):
                raise UserError("compute() gives no value")
            return bench
        except UserError as error:
            refusals.append(error)
    raise refusals[0]
