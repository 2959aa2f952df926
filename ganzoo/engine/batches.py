"""The batches of a run: real samples, latents and classes, in buffers that stay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo.data import Data, DataDescription
from ganzoo.engine.loader import BatchLoader
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.random import fill_latents, generator_for, load_stream, stream_state
from ganzoo.engine.step import Batch
from ganzoo.recipe import Recipe


class Batches:
    """Refills one `Batch` in place; of several processes, each has its share of it."""

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        description: DataDescription,
        device: torch.device,
        group: ProcessGroup,
        memory_format: torch.memory_format,
    ) -> None:
        size, seed = recipe.train.batch_size, recipe.train.seed
        spec = recipe.data.spec
        self._latent, self._seed = recipe.latent, seed
        self.loader = BatchLoader(
            data.train,
            spec.sample_shape,
            size,
            seed=seed,
            device=device,
            rank=group.rank,
            world_size=group.size,
            labelled=spec.num_classes is not None,
            mirror=data.mirror,
            memory_format=memory_format,
        )
        # All processes draw for the whole batch and use their share.
        share = slice(group.rank * size // group.size, (group.rank + 1) * size // group.size)
        self._streams = {"latents": generator_for(seed, "latents", device=device)}
        self._latents = torch.zeros(size, recipe.latent.dim, device=device)
        self._labels: Tensor | None = None
        if recipe.condition is not None:
            self._streams["labels"] = generator_for(seed, "labels", device=device)
            self._labels = torch.zeros(size, dtype=torch.int64, device=device)
            self._shares = torch.tensor(description.class_shares, device=device)
        self.batch = Batch(
            x=self.loader.x,
            z=self._latents[share],
            labels=self.loader.labels,
            fake_labels=None if self._labels is None else self._labels[share],
            indices=self.loader.indices,
            iteration=torch.zeros((), device=device),
        )
        self.read = 0
        """Batches of real samples read so far."""

    def next(self, iteration: int, *, real: bool) -> Batch:
        """Fresh latents and classes of fakes, and fresh real samples where they are wanted."""
        self.batch.iteration.fill_(iteration)
        fill_latents(self._latent, self._latents, self._streams["latents"])
        if self._labels is not None:
            torch.multinomial(
                self._shares,
                len(self._labels),
                replacement=True,
                generator=self._streams["labels"],
                out=self._labels,
            )
        if real:
            self.loader.fill(self.read)
            self.read += 1
        return self.batch

    def state_dict(self) -> dict[str, Any]:
        """The states of the streams, and how many batches were read."""
        streams = {name: stream_state(stream) for name, stream in self._streams.items()}
        return {"read": self.read, "streams": streams}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.read = state["read"]
        for name, stream in self._streams.items():
            load_stream(stream, state["streams"][name], self._seed, name, "from", self.read)
