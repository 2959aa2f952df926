"""What a computation draws, so that another one can draw the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo.testing.checks import Skip


class Noise(TorchDispatchMode):
    """Records what a computation draws, or has it draw what an earlier one drew.

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
