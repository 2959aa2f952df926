"""What components say of a recipe, and what the recipe as a whole has wrong or unwise about it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from ganzoo.errors import describe
from ganzoo.folders import data_root
from ganzoo.recipe.keys import toml_value
from ganzoo.recipe.lines import Path
from ganzoo.recipe.model import ARRAYS, SLOTS, Component
from ganzoo.recipe.settings import OPTIMIZERS
from ganzoo.recipe.source import Source
from ganzoo.remarks import Remark
from ganzoo.specs import NETWORKS

Place = tuple[Path, Component[Any]]


class Surroundings:
    """What `ganzoo.remarks.Surroundings` promises, of the parts of a recipe."""

    def __init__(self, places: list[Place], parts: Mapping[str, Any]) -> None:
        self._places = places
        self.iterations: int = parts["train"].iterations
        self.batch_size: int = parts["train"].batch_size // parts["train"].accumulate
        self.sample_shape: tuple[int, ...] = parts["data"].spec.sample_shape

    @property
    def data_root(self) -> pathlib.Path:
        return data_root()

    def trait(self, word: str) -> str | None:
        table, _, trait = word.partition(".")
        return next(self.due_to(trait, [table]), None)

    def due_to(self, trait: str, tables: Collection[str]) -> Iterator[str]:
        """The keys, in these tables and arrays, to which a trait is due."""
        for path, component in self._places:
            if path[0] in tables and (key := component.spec.traits.get(trait)):
                yield ".".join(map(str, (*path, key)))


def remarks(
    parts: Mapping[str, Any], source: Source, report: Callable[[Path, Remark], None]
) -> None:
    """Report all that is to be said of the parts, made from `source`, of a valid recipe."""
    places: list[Place] = [((slot,), parts[slot]) for slot in SLOTS if parts[slot] is not None]
    places += [(("networks", name), each) for name, each in parts["further_networks"].items()]
    places += [
        ((array, index), each) for array in ARRAYS for index, each in enumerate(parts[array])
    ]
    train = parts["train"]
    surroundings = Surroundings(places, parts)
    for path, component in places:
        for remark in _checked(component, surroundings):
            report((*path, *remark.key.split(".")), remark)
    whole = [*_training(parts), *_periods(places, train.iterations), *_measured(parts)]
    whole += _dropped(source, dict(places))
    if train.accumulate > 1:
        whole += _accumulated(surroundings)
    for path, remark in whole:
        report(path, remark)


def _checked(component: Component[Any], surroundings: Surroundings) -> list[Remark]:
    """What a component says; a mistake of its own is its plugin's, and is told as such."""
    try:
        remarks = list(component.spec.check(surroundings))
        if strange := next((each for each in remarks if not isinstance(each, Remark)), None):
            raise TypeError(f"{strange!r} is no Remark")
    except Exception as error:
        message = (
            f"{component.spec.kind} '{component.name}' ({component.plugin.label}) fails when it "
            f"checks the recipe: {describe(error)}"
        )
        return [Remark(message, fatal=True)]
    return remarks


def _training(parts: Mapping[str, Any]) -> Iterator[tuple[Path, Remark]]:
    """Whether the phases that are run train what the loss would train."""
    loss, schedule = parts["loss"], parts["schedule"]
    run = schedule.spec.runs
    trained = frozenset[str]().union(*(loss.spec.trains(phase) for phase in run))
    if not trained:
        message = f"schedule '{schedule.name}' runs no phase that trains anything"
        yield ("schedule", "type"), Remark(message, fatal=True)
        return
    for name in (*NETWORKS, *loss.spec.networks):
        phases = [phase for phase in loss.spec.phases if name in loss.spec.trains(phase)]
        network = parts["further_networks"].get(name) or parts.get(name)
        # A generator that needs the discriminator changes with it.
        moved = network is not None and {
            need.partition(".")[0] for need in network.spec.needs
        } & set(trained)
        if phases and network is not None and name not in trained and not moved:
            message = (
                f"schedule '{schedule.name}' never runs {' or '.join(map(repr, phases))}: the "
                f"{name} stays as it is at the start"
            )
            yield ("schedule", "type"), Remark(message)


def _periods(places: list[Place], iterations: int) -> Iterator[tuple[Path, Remark]]:
    """Components that are due so rarely that the run is over before."""
    for path, component in places:
        every = getattr(component.spec, "every", None)
        if component.spec.kind in ("probe", "regularizer") and every and every > iterations:
            often = "once" if component.spec.kind == "regularizer" else "never"
            message = (
                f"{component.spec.kind} '{component.name}' is due every {every} iterations: "
                f"{often} in a run of {iterations}"
            )
            yield (*path, "every"), Remark(message)


def _accumulated(surroundings: Surroundings) -> Iterator[tuple[Path, Remark]]:
    """What of a batch that is computed in parts is not what it would be of the whole."""
    tables = (*NETWORKS, "networks", "loss", "regularizers", "augmentations")
    if keys := list(surroundings.due_to("batch-statistics", tables)):
        message = (
            f"{', '.join(keys)}: what depends on the batch as a whole depends on each part of "
            f"{surroundings.batch_size} samples"
        )
        yield ("train", "accumulate"), Remark(message)


def _measured(parts: Mapping[str, Any]) -> Iterator[tuple[Path, Remark]]:
    """Metrics for which too few samples are generated."""
    count = parts["evaluate"].samples
    for index, metric in enumerate(parts["metrics"]):
        if count < (least := metric.spec.least_samples):
            message = f"it needs {least} samples and is left out: evaluate.samples = {count}"
            yield ("metrics", index, "type"), Remark(message)


def _dropped(
    source: Source, components: Mapping[Path, Component[Any]]
) -> Iterator[tuple[Path, Remark]]:
    """Keys that were inherited and went with another type, though the new one has them too."""
    for path, keys in source.dropped.items():
        table = source.value(path)
        spec: type[BaseModel] | None = None
        if path[0] == "optimizer":
            spec = OPTIMIZERS[table["type"]]
        elif path in components:
            spec = type(components[path].spec)
        fields = {} if spec is None else spec.model_fields
        again = [
            f"{key} = {toml_value(keys[key])}"
            for key in fields
            if key in keys.keys() - table and keys[key] != to_jsonable_python(fields[key].default)
        ]
        if again:
            message = f"another type than '{keys['type']}' does not inherit its {', '.join(again)}"
            yield (*path, "type"), Remark(message, hint="write it again where it is meant")
