"""Computing on another device than the CPU, on a machine that may have none.

The meta device stands in for it: its tensors have shapes but no values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo.testing.checks import Skip, Wrong
from ganzoo.testing.effects import one_line

META = torch.device("meta")
aten: Any = torch.ops.aten
BETWEEN = (aten.copy_, aten._to_copy, aten.index, aten.index_put, aten.index_put_)
"""Operations that real devices take tensors of both for."""


class OneDevice(TorchDispatchMode):
    """Refuses what real devices refuse, and the meta device mostly does not: an operation on
    tensors of two devices. A tensor without dimensions may be on the CPU, as a number may."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        on_cpu = [each for each in tensors if each.device != META and each.dim()]
        moved = any(each.device == META for each in tensors)
        if on_cpu and moved and function.overloadpacket not in BETWEEN:
            shape = tuple(on_cpu[0].shape)
            raise RuntimeError(
                f"{function.overloadpacket.__name__} takes a tensor {shape} on the CPU and "
                "another that is not"
            )
        return function(*args, **(kwargs or {}))


@contextmanager
def other_device() -> Iterator[None]:
    """Let the meta device behave as a real one where the difference shows."""
    swapping = torch.__future__.get_swap_module_params_on_conversion()
    enter: Any = torch.autocast.__init__

    def autocast(self: Any, device_type: str, *others: Any, **named: Any) -> None:
        enter(self, "cpu" if device_type == "meta" else device_type, *others, **named)

    # Between real devices a parameter stays the same object.
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        # Code that switches autocast off names the device that it is on.
        with patch.object(torch.autocast, "__init__", autocast), OneDevice():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swapping)


def device_problem(error: Exception, holder: object) -> Exception:
    """What to raise where something fails on another device; `holder` keeps its tensors."""
    unknown = isinstance(error, NotImplementedError) and "copy out of meta" not in str(error)
    if unknown and not tensors_on_cpu(holder):
        return Skip(f"torch cannot try it without a GPU: {one_line(error)}")
    return Wrong(f"on another device than the CPU it fails: {one_line(error)}; {advice(holder)}")


def advice(holder: object) -> str:
    """What to do about tensors that are not where they should be."""
    names = ", ".join(f"`{name}`" for name in tensors_on_cpu(holder))
    if not names:
        return "make tensors on the device of what comes in: `device=x.device`"
    if isinstance(holder, nn.Module):
        return (
            f"{names} stayed on the CPU: keep a tensor by `register_buffer`, and modules in "
            "`nn.ModuleList`"
        )
    return f"{names} stayed on the CPU: make it of plain numbers, on the device of what comes in"


def tensors_on_cpu(holder: object) -> list[str]:
    """Names of the attributes that hold tensors on the CPU."""
    if isinstance(holder, nn.Module):
        own = ("_parameters", "_buffers", "_modules")
        return [
            f"{place}.{key}" if place else key
            for place, module in holder.named_modules()
            for key, value in vars(module).items()
            if key not in own and _on_cpu(value)
        ]
    return [key for key, value in getattr(holder, "__dict__", {}).items() if _on_cpu(value)]


def _on_cpu(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.device != META and value.dim() > 0
    if isinstance(value, nn.Module):
        return any(each.device != META for each in (*value.parameters(), *value.buffers()))
    if isinstance(value, Mapping):
        return any(map(_on_cpu, value.values()))
    return isinstance(value, list | tuple) and any(map(_on_cpu, value))
