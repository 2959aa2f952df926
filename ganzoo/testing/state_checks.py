"""What of a component changes in the course of a run, and whether a resumed run knows it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganzoo.engine.random import seeded
from ganzoo.specs import ScheduleSpec
from ganzoo.testing.bench import CPU, Bench
from ganzoo.testing.benches import first, phases
from ganzoo.testing.checks import Wrong, check
from ganzoo.testing.schedule_checks import groups_of

STEPS = 4
"""Steps before the state is saved, and after it."""
PLAIN = (bool, int, float, complex, str, bytes, set, frozenset, PurePath, type(None))
GROUP = ("discriminator", "generator")


def difference(one: Any, other: Any) -> str | None:
    """Where two values differ, as a path of attributes and keys, or None where they are alike.

    Functions and other things without attributes are taken to be alike.
    """
    first, second = dict(_leaves(one)), dict(_leaves(other))
    places = [*first, *(second.keys() - first.keys())]
    return next((place for place in places if not _alike(first, second, place)), None)


def _leaves(thing: Any, place: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The plain values and tensors in an object by their paths, and what keys each part has; of a
    module its weights, buffers and parts, but no hooks."""
    if isinstance(thing, torch.Generator):
        thing = thing.get_state()
    if isinstance(thing, (*PLAIN, Tensor, np.ndarray)):
        yield place, thing
    elif id(thing) not in above:
        inner: dict[Any, Any] = dict(getattr(thing, "__dict__", {}))
        if isinstance(thing, Mapping | list | tuple):
            inner = dict(thing if isinstance(thing, Mapping) else enumerate(thing))
        if isinstance(thing, nn.Module):
            own = {name: value for name, value in inner.items() if not name.startswith("_")}
            inner = own | inner["_parameters"] | inner["_buffers"] | inner["_modules"]
        for key, value in inner.items():
            yield from _leaves(value, f"{place}.{key}".lstrip("."), (*above, id(thing)))
        yield place, f"{type(thing).__qualname__} {list(map(str, inner))}"


def _alike(first: Mapping[str, Any], second: Mapping[str, Any], place: str) -> bool:
    one, other = first.get(place), second.get(place)
    if isinstance(one, Tensor | np.ndarray) and isinstance(other, Tensor | np.ndarray):
        one, other = torch.as_tensor(one), torch.as_tensor(other)
        if is_lazy(one) or is_lazy(other):
            return is_lazy(one) and is_lazy(other)
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return type(one) is type(other) and bool(one == other or one != one)


@check("loss", "regularizer", "augmentation", "schedule", "prior", "probe", on=first)
def state_round_trip(bench: Bench) -> None:
    """A resumed run builds its components anew: what has changed in them since the start is lost
    unless their state dict holds it."""
    used, fresh, steps = bench.build(), bench.build(), list(phases([bench]))
    for number in range(STEPS):
        _use(steps, used, number)
    place = difference(fresh, used) or "what it keeps"
    _load(fresh, used, place)
    for number in range(STEPS, 2 * STEPS):
        expected, output = (_use(steps, each, number) for each in (used, fresh))
        if difference(expected, output) is None:
            continue
        if not hasattr(used, "state_dict"):
            raise Wrong(
                f"`{place}` changes with its calls, and a resumed run would begin anew with it; "
                "make it a torch.nn.Module that keeps it by `register_buffer`, or give it "
                "`state_dict` and `load_state_dict`"
            )
        raise Wrong(
            f"`{difference(fresh, used) or place}` changes with its calls, and is not what it was "
            "after the state dict was loaded; keep it by `register_buffer`, or put it into "
            "`state_dict`"
        )


def _load(fresh: Any, used: Any, place: str) -> None:
    """Put the state of a component into another one, as a checkpoint would."""
    if not hasattr(used, "state_dict"):
        return
    file = io.BytesIO()
    try:
        torch.save(used.state_dict(), file)
        file.seek(0)
        fresh.load_state_dict(torch.load(file, weights_only=True))
    except Exception as error:
        raise Wrong(
            f"its state dict cannot be saved and loaded again: {' '.join(str(error).split())}; "
            f"keep `{place}` in tensors and plain data, of the same shape in every build"
        ) from error


def _use(benches: list[Bench], component: Any, number: int) -> Any:
    """What a component gives in one step of a run, or in one of each phase, and then observes."""
    bench, steps = benches[0], []
    with seeded(number, "noise", device=CPU):
        if isinstance(bench.spec, ScheduleSpec):
            places = range(number * 5, number * 5 + 5)
            return [groups_of(component, bench.spec, place) for place in places]
        if bench.spec.kind == "prior":
            component.fit(torch.randn(40, bench.latent_dim) * (1 + number))
            return component.sample(8, torch.Generator().manual_seed(number))
        steps = [each.step(each.batch(seed=number)) for each in benches]
        if bench.spec.kind == "probe":
            component.before(GROUP, steps[0])
            component.after(GROUP, steps[0])
            return dict(component.compute())
        if bench.spec.kind == "augmentation":
            output = component(steps[0].x, component.draw(steps[0].x))
        else:
            output = [dict(component.compute(step)) for step in steps]
    with torch.no_grad():
        for step in steps if hasattr(component, "observe") else ():
            component.observe(step)
    return output
