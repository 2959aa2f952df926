"""Modes of torch in which checks compute: with known noise, without waiting, on another device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo.testing.checks import Skip, Wrong
from ganzoo.testing.effects import one_line

META = torch.device("meta")
"""Stands in for another device than the CPU; its tensors have shapes but no values."""

aten: Any = torch.ops.aten
BETWEEN = (aten.copy_, aten._to_copy, aten.index, aten.index_put, aten.index_put_)
"""Operations that real devices take tensors of both for."""
TO_HOST = (Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.cpu)
"""Functions that hand values to the host, most of them without any operation."""
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
COUNTED = "values are counted (`x[mask]`; take `torch.where` or `masked_fill`)"
WAITING: Mapping[str, str] = {
    "_local_scalar_dense": "a number is read (`.item()`, `float()`, `if` on a tensor)",
    "equal": "tensors are compared (`torch.equal`)",
    "nonzero": "places are counted (`nonzero`, `where` with one argument)",
    "_linalg_check_errors": "a factorisation is checked (take its `_ex` form)",
    **dict.fromkeys(INDEXING, COUNTED),
}
"""What the host waits for, by operation; the others that torch tags count values."""
TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Noise(TorchDispatchMode):
    """Records what a computation draws, or has it draw what an earlier one drew.

    The earlier one may have had a batch that this one has several times: then its draws are
    repeated as its samples are. Raises `Skip` where a draw does not fit.
    """

    def __init__(self, earlier: Noise | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn: list[Tensor] = []
        self._earlier = None if earlier is None else iter(earlier.drawn)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            for values in _tensors(result):
                if self._earlier is not None:
                    values.copy_(_repeated(next(self._earlier, None), values.shape))
                self.drawn.append(values.clone())
        return result


def _repeated(values: Tensor | None, shape: torch.Size) -> Tensor:
    """Values repeated along the one axis that is longer in `shape`."""
    if values is None:
        raise Skip("it draws more often for a batch that is repeated")
    if values.dim() == len(shape):
        times = [new // max(old, 1) for new, old in zip(shape, values.shape, strict=True)]
        repeated = values.repeat(times)
        if repeated.shape == shape and sum(each > 1 for each in times) <= 1:
            return repeated
    shapes = f"of shape {tuple(values.shape)} for a batch and of shape {tuple(shape)}"
    raise Skip(f"it draws noise {shapes} for the same batch repeated")


class Waits(Exception):
    """A computation makes the host wait for the device; the message says what for."""


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise `Waits` where the host would wait for the device, were there another than the CPU."""
    with _Functions(), _Operations():  # type: ignore[no-untyped-call]
        yield


class _Functions(TorchFunctionMode):
    """Refuses the functions that hand values to the host."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in TO_HOST:
            raise Waits(f"values are copied to the host (`.{func.__name__}()`)")
        return (_one_hot if func is one_hot else func)(*args, **(kwargs or {}))


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """The function of torch, which reads the labels' range on the CPU even if it is given."""
    if num_classes == -1:
        raise Waits("classes are counted (`one_hot` without `num_classes`)")
    return (tensor[..., None] == torch.arange(num_classes, device=tensor.device)).long()


class _Operations(TorchDispatchMode):
    """Refuses the operations that make the host wait."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        waits = name in WAITING or not TAGS.isdisjoint(func.tags)
        if name in INDEXING:
            waits = _by_mask(*args)
        elif kwargs and "output_size" in kwargs:  # of `repeat_interleave`
            waits = False
        if waits:
            raise Waits(WAITING.get(name, f"values are counted (`{name.strip('_2')}`)"))
        return func(*args, **(kwargs or {}))


def _by_mask(
    tensor: Tensor, indices: Sequence[Any], values: Any = None, accumulate: bool = False, *_: Any
) -> bool:
    """Whether an indexing operation has to count the true places of a mask.

    One value for all of them (`x[mask] = 0.0`) is filled in without counting; torch 2.14 hands it
    to `index_put_` as a 0-d tensor, versions before it to `masked_fill_`.
    """
    single = isinstance(values, Tensor) and values.dim() == 0 and not accumulate
    masks = [each for each in indices if isinstance(each, Tensor) and each.dtype == torch.bool]
    return bool(masks) and not single


@contextmanager
def other_device(holder: object) -> Iterator[None]:
    """Let the meta device behave as a real one where the difference shows.

    Raises `Wrong` where something fails on it, with advice about the tensors that `holder` keeps,
    and `Skip` for what torch can try on a GPU alone.
    """
    enter: Any = torch.autocast.__init__

    def autocast(self: Any, device_type: str, *others: Any, **named: Any) -> None:
        enter(self, "cpu" if device_type == "meta" else device_type, *others, **named)

    # Between real devices a parameter stays the same object.
    same = patch.object(torch.__future__, "_swap_module_params_on_conversion", True)
    try:
        # Code that switches autocast off names the device that it is on.
        with same, patch.object(torch.autocast, "__init__", autocast), _OneDevice():  # type: ignore[no-untyped-call]
            yield
    except (Wrong, Skip):
        raise
    except Exception as error:
        text = one_line(error)
        unknown = isinstance(error, NotImplementedError) and "copy out of meta" not in text
        if unknown and not _kept_on_cpu(holder):
            raise Skip(f"torch cannot try it without a GPU: {text}") from error
        problem = f"on another device than the CPU it fails: {text}"
        raise Wrong(f"{problem}; {advice(holder)}") from error


class _OneDevice(TorchDispatchMode):
    """Refuses what real devices refuse, and the meta device mostly does not: an operation on
    tensors of two devices. A tensor without dimensions may be on the CPU, as a number may."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = _tensors((args, kwargs))
        strange = [tuple(each.shape) for each in tensors if _on_cpu(each)]
        moved = any(each.device == META for each in tensors)
        if strange and moved and func.overloadpacket not in BETWEEN:
            what = f"a tensor {strange[0]} on the CPU and another that is not"
            raise RuntimeError(f"{func.overloadpacket.__name__} takes {what}")
        return func(*args, **(kwargs or {}))


def advice(holder: object) -> str:
    """What to do about tensors that are not where they should be."""
    names = ", ".join(f"`{name}`" for name in _kept_on_cpu(holder))
    if not names:
        return "make tensors on the device of what comes in: `device=x.device`"
    remedy = "make it of plain numbers, on the device of what comes in"
    if isinstance(holder, nn.Module):
        remedy = "keep a tensor by `register_buffer`, and modules in `nn.ModuleList`"
    return f"{names} stayed on the CPU: {remedy}"


def _kept_on_cpu(holder: object) -> list[str]:
    """Names of the attributes that hold tensors on the CPU."""
    modules = holder.named_modules() if isinstance(holder, nn.Module) else [("", holder)]
    return [
        f"{place}.{key}".lstrip(".")
        for place, module in modules
        for key, value in getattr(module, "__dict__", {}).items()
        if key not in ("_parameters", "_buffers", "_modules") and any(map(_on_cpu, _tensors(value)))
    ]


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device != META and tensor.dim() > 0


def _tensors(thing: object) -> list[Tensor]:
    """The tensors in lists, dictionaries and modules."""
    leaves = tree_leaves(thing)
    weights = [each.state_dict() for each in leaves if isinstance(each, nn.Module)]
    return [each for each in (*leaves, *tree_leaves(weights)) if isinstance(each, Tensor)]
