"""Whether a computation makes the host wait for the device, seen on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Operation = Callable[..., Any]

WAITING: Mapping[str, str] = {
    "_local_scalar_dense": "a number is read (`.item()`, `float()`, `if` on a tensor)",
    "nonzero": "places are counted (`nonzero`, `where` with one argument)",
    "masked_select": "values are counted (`masked_select`)",
    "_unique": "values are counted (`unique`)",
    "unique_dim": "values are counted (`unique`)",
    "unique_consecutive": "values are counted (`unique_consecutive`)",
    "equal": "tensors are compared (`torch.equal`)",
    "_linalg_check_errors": "a factorisation is checked (take its `_ex` form)",
}
"""Operations for which the host waits for the device, by the first part of their names."""


class Waits(Exception):
    """A computation waits for the device; the message says what for."""


class _Functions(TorchFunctionMode):
    """Refuses the functions that hand numbers to the host without any operation."""

    refused: Mapping[Any, str] = {
        Tensor.tolist: "tolist",
        Tensor.numpy: "numpy",
        Tensor.__array__: "numpy",
        Tensor.cpu: "cpu",
    }

    def __torch_function__(
        self,
        func: Operation,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in self.refused:
            raise Waits(f"values are copied to the host (`.{self.refused[func]}()`)")
        if func is one_hot:
            return _one_hot(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """The function of torch, which reads the labels' range on the CPU even if it is given."""
    if num_classes == -1:
        raise Waits("classes are counted (`one_hot` without `num_classes`)")
    return (tensor[..., None] == torch.arange(num_classes, device=tensor.device)).long()


class _Operations(TorchDispatchMode):
    """Refuses the operations that make the host wait."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        for start, what in WAITING.items():
            if name == start or name.startswith(f"{start}2") or name == f"{start}_":
                raise Waits(what)
        if name.startswith(("index", "_index_put_impl_")) and _by_mask(args):
            raise Waits("values are counted (`x[mask]`; take `torch.where` or `masked_fill`)")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise `Waits` where the host would wait for the device, were there another than the CPU."""
    with _Functions(), _Operations():  # type: ignore[no-untyped-call]
        yield


def _by_mask(args: Sequence[Any]) -> bool:
    """Whether an indexing operation has to count the true places of a mask.

    One value for all of them (`x[mask] = 0.0`) is filled in without counting; torch 2.14 hands it
    to `index_put_` as a 0-d tensor, versions before it to `masked_fill_`.
    """
    if len(args) < 2 or not isinstance(args[1], Sequence):
        return False
    single = len(args) > 2 and isinstance(args[2], Tensor) and args[2].dim() == 0
    accumulates = len(args) > 3 and bool(args[3])
    masks = [each for each in args[1] if isinstance(each, Tensor) and each.dtype == torch.bool]
    return bool(masks) and (accumulates or not single)
