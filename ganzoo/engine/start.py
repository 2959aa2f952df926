"""The weights of another run that a run starts from.

They lie in the run's own folder from its first moment, so that it can be begun again after a kill,
whatever became of the other run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ganzoo.digests import BrokenFile, read_tensors, write_tensors
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.errors import RunError, UserError
from ganzoo.runs import Parent, RunFolder

SHOWN = 3
"""Tensors that a message names."""

Start = Callable[[Mapping[str, nn.Module]], None]
"""Puts weights into the parts of a run, before anything is made of them."""


def write_start(folder: RunFolder, tensors: Mapping[str, Tensor], parent: Parent) -> None:
    """Put weights, keys as `<network>.<weight>`, into the folder of a run that is to start."""
    notes = {key: str(value) for key, value in parent.items()}
    own = {name: each.contiguous() for name, each in tensors.items()}
    write_tensors(folder.start, own, {"file": "start", **notes})


def read_start(folder: RunFolder) -> tuple[dict[str, Tensor], Parent] | None:
    """The weights and whose they are; None of a run that starts from its seed alone.

    Raises `RunError` for a damaged file.
    """
    hint = f"put it back from a copy, or `ganzoo run {folder.recipe} --from RUN` begins anew"
    try:
        tensors, notes = read_tensors(folder.start)
        parent: Parent = {
            "path": notes["path"],
            "fingerprint": notes["fingerprint"],
            "iteration": int(notes["iteration"]),
        }
    except FileNotFoundError:
        return None
    except BrokenFile as error:
        raise BrokenFile(error.path, error.reason, hint=hint) from error
    except (KeyError, ValueError) as error:
        raise RunError(f"{folder.start} holds no weights to start from", hint=hint) from error
    return tensors, parent


def shared_start(
    folder: RunFolder, group: ProcessGroup, warn: Callable[[str], None]
) -> Start | None:
    """What puts the weights of its folder into a run, on every process; None where there are none.

    `warn` is told what keeps its initial values.
    """
    # Only the first process knows the folder of a new run.
    found = group.gather(read_start(folder) if group.first else None)[0]
    return None if found is None else partial(_take, found, warn)


@torch.no_grad()
def _take(
    found: tuple[Mapping[str, Tensor], Parent],
    warn: Callable[[str], None],
    modules: Mapping[str, nn.Module],
) -> None:
    """Take every tensor of the same network, name, shape and type. Raises `UserError` where no
    weight is taken."""
    tensors, parent = found
    left, weights = [], 0
    for name, module in modules.items():
        trained = dict(module.named_parameters())
        for key, own in module.state_dict().items():
            other = tensors.get(f"{name}.{key}")
            if other is None or (other.shape, other.dtype) != (own.shape, own.dtype):
                left.append(f"{name}.{key}")
            else:
                own.copy_(other)
                weights += key in trained
    whose = f"{Path(parent['path'])} after iteration {parent['iteration']}"
    if not weights:
        raise UserError(
            f"nothing of {whose} fits the recipe: it is a run of other shapes",
            hint="weights of the same network, name and shape are taken",
        )
    if left:
        shown = ", ".join(left[:SHOWN]) + (", ..." if len(left) > SHOWN else "")
        keep = "tensor keeps its initial values" if len(left) == 1 else "tensors keep theirs"
        warn(f"{len(left)} {keep}, as {whose} has none of that name and shape: {shown}")
