"""Memory: what is known to be too much is refused before it is asked for, and what turns out to be
too much is told with the key of the recipe that asks for most."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganzoo.errors import RunError, UserError
from ganzoo.recipe import Recipe
from ganzoo.specs import BuildContext, NetworkSpec

WIDE = 10_000
"""Sum of a network's whole numbers beyond which its weights are counted before it is built."""
USUAL = 64
"""What a whole number without a default is compared with."""
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where a container says how much memory it may take, in bytes."""

_SIGNS = (
    *("out of memory", "not enough memory", "can't allocate memory", "alloc_failed"),
    *("storage size calculation overflowed", "integer multiplication overflow"),
    *("invalid buffer size", "array is too big", "unable to allocate"),
)
"""What torch and numpy say where there is not enough, in small letters."""


def total_memory() -> int:
    """Bytes of memory that this machine, or container, has."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        total = min(total, int(LIMIT.read_text()))
    return total


def check_fits(size: int, what: str, hint: str) -> None:
    """Raise `UserError` where `size` bytes are more than there is."""
    if size > (total := total_memory()):
        raise UserError(
            f"{what} would take {gib(size)} of memory, and there are {gib(total)}", hint=hint
        )


def check_network(name: str, spec: NetworkSpec, context: BuildContext) -> None:
    """Raise `UserError` where the weights of a network would not fit into memory.

    Only networks with large numbers in their keys are looked at; they are built without memory.
    One that cannot be built so is not judged.
    """
    numbers = dict(whole_numbers(spec.model_dump(mode="json")))
    if sum(map(sum, numbers.values()), context.latent_dim) <= WIDE:
        return
    try:
        with torch.device("meta"):
            network = spec.build(context)
        size = weights_of(network)
    except UserError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            return  # what is wrong shows when it is built in earnest
        size = 2**63
    key = max(numbers, key=lambda each: max(numbers[each]), default="")
    largest = f"{name}.{key}"
    if not numbers or max(numbers[key]) < context.latent_dim:
        largest = "latent.dim"
    check_fits(size, f"the {name}, with {largest} as it is,", f"make {largest} smaller")


def weights_of(network: nn.Module) -> int:
    """Bytes of the weights and buffers of a network."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(each.numel() * each.element_size() for each in tensors)


def check_training(recipe: Recipe) -> None:
    """Raise `UserError` where one batch would not fit into memory."""
    values = math.prod(recipe.data.spec.sample_shape) + recipe.latent.dim
    count = recipe.train.batch_size
    key = "train.batch_size" if count > recipe.latent.dim else "latent.dim"
    check_fits(4 * values * count, f"a batch of {count} samples", f"make {key} smaller")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | ValueError) and any(sign in text for sign in _SIGNS)


def out_of_memory(recipe: Recipe, doing: str, device: object, key: str | None = None) -> RunError:
    """The error that says which key of the recipe asked for most."""
    key, value = next(pair for pair in demands(recipe) if key in (None, pair[0]))
    parts = ", or train.accumulate greater" if key == "train.batch_size" else ""
    return RunError(
        f"there is not enough memory on {device} {doing}: {key} = {value} asks for most of it",
        hint=f"make {key} smaller{parts}",
    )


def demands(recipe: Recipe) -> list[tuple[str, Any]]:
    """Keys that ask for memory and their values, those most above their defaults first."""
    excesses: list[tuple[float, str, Any]] = []
    for table, names in (("train", ("batch_size",)), ("latent", ("dim",)), ("log", ("samples",))):
        excesses += _excess(table, getattr(recipe, table), names)
    excesses += _excess("evaluate", recipe.evaluate, ("samples",))
    for name, network in recipe.networks.items():
        place = name if name in ("generator", "discriminator", "encoder") else f"networks.{name}"
        excesses += _excess(place, network.spec, tuple(type(network.spec).model_fields))
    excesses.sort(key=lambda each: -each[0])
    return [(key, value) for _, key, value in excesses]


def _excess(table: str, settings: Any, names: tuple[str, ...]) -> Iterator[tuple[float, str, Any]]:
    values, defaults = settings.model_dump(mode="json"), type(settings).model_fields
    for name in names:
        for key, numbers in whole_numbers({name: values[name]}):
            default = defaults[name].get_default(call_default_factory=True)
            usual = max((max(each) for _, each in whole_numbers({name: default})), default=USUAL)
            yield max(numbers) / max(usual, 1), f"{table}.{key}", values[name]


def whole_numbers(table: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """The keys of a table that hold whole numbers above 0, and these."""
    for key, value in table.items():
        values = value if isinstance(value, list | tuple) else [value]
        numbers = [each for each in values if type(each) is int and each > 0]
        if numbers:
            yield key, numbers


def gib(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:.3g} GiB" if size < 2**60 else "more than any machine has"
