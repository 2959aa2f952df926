"""What happens inside a computation: whether it waits for the device, and what it draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo.testing.checks import Skip

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


class _Methods(TorchFunctionMode):
    """Refuses the methods that hand numbers to the host without any operation."""

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
        return func(*args, **(kwargs or {}))


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
    with _Methods(), _Operations():  # type: ignore[no-untyped-call]
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


class Noise(TorchDispatchMode):
    """Notes what a computation draws, or has it draw what an earlier one drew.

    The earlier one may have had a batch that this one has several times: then its draws are
    repeated as its samples are. Raises `Skip` where a draw does not fit.
    """

    def __init__(self, earlier: Noise | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn: list[list[Tensor]] = []
        self._earlier = None if earlier is None else list(earlier.drawn)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            drawn = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            if self._earlier is not None:
                if not self._earlier:
                    raise Skip("it draws more often for a batch that is repeated")
                for values, before in zip(drawn, self._earlier.pop(0), strict=True):
                    values.copy_(_repeated(before, values.shape))
            self.drawn.append([values.clone() for values in drawn])
        return result


def _repeated(values: Tensor, shape: torch.Size) -> Tensor:
    """Values repeated along the one axis that is longer in `shape`."""
    if values.dim() == len(shape):
        longer = [axis for axis in range(len(shape)) if values.shape[axis] != shape[axis]]
        if not longer:
            return values
        times, rest = divmod(shape[longer[0]], values.shape[longer[0]])
        if len(longer) == 1 and not rest:
            return torch.cat([values] * times, dim=longer[0])
    raise Skip(
        f"it draws noise of shape {tuple(values.shape)} for a batch and of shape {tuple(shape)} "
        "for the same batch repeated"
    )


def said(error: BaseException) -> str:
    """`KeyError: 'x' (file.py:12)`: an error in one line, with the place in the plugin."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place(error)}"


def place(error: BaseException) -> str:
    """` (file.py:12)`: the last line outside of torch and the kit that an error came through."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    found = ""
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith((*ours, "<")):
            found = f" ({Path(file).name}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return found
