"""A budget that is the same for all runs: iterations, images or seconds, as iterations of each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

from ganzoo.errors import UserError
from ganzoo.recipe import Recipe

BUDGET = re.compile(r"(iterations|images|seconds)=([0-9]+(?:_[0-9]+)*)")

Kind = Literal["iterations", "images", "seconds"]

IDLE_ITERATIONS = 1000
"""A recipe that has read no images in so many iterations is taken never to read any."""


LARGEST = 1_000_000_000
"""The longest run that a recipe may ask for, in iterations."""


@dataclass(frozen=True)
class Budget:
    """What each run may spend."""

    kind: Kind
    """`iterations`, `images` (real samples read) or `seconds` of training on this machine."""
    amount: int

    @property
    def option(self) -> str:
        """As `--budget` takes it: `images=1000000`."""
        return f"{self.kind}={self.amount}"

    def __str__(self) -> str:
        return f"{self.amount:,} {self.kind} each"


def parse_budget(text: str) -> Budget:
    """`iterations=2000`, `images=1_000_000` or `seconds=60`. Raises `UserError` for others."""
    match = BUDGET.fullmatch(text)
    digits = match[2].replace("_", "").lstrip("0") if match else ""
    if len(digits) > len(str(LARGEST)) or int(digits or 0) > LARGEST:
        raise UserError(f"the budget is larger than {LARGEST:_}", hint="train for less")
    amount = int(digits or 0)
    if match is None or not amount:
        raise UserError(
            f"'{text}' is no budget", hint="iterations=2000, images=1_000_000 or seconds=60"
        )
    return Budget(cast(Kind, match[1]), amount)


def iterations_for_images(recipe: Recipe, images: int) -> int:
    """The fewest iterations in which a recipe reads at least `images` real samples.

    A schedule that changes over the run changes over that many iterations. Raises `UserError` for
    a recipe that reads no images.
    """
    few, enough = 0, 1
    while (read := images_read(recipe, enough)) < images:
        if not read and enough > IDLE_ITERATIONS:
            raise UserError(
                f"recipe '{recipe.name}' reads no images, so it cannot have a budget of images",
                hint="--budget iterations=... works",
            )
        few = enough
        enough = max(enough + 1, math.ceil(enough * images / read) if read else 2 * enough)
    # Where all iterations read the same, `enough` is the result: the search starts just below it.
    step = 1
    while enough - few > 1:
        middle = max(enough - step, (few + enough) // 2)
        if images_read(recipe, middle) < images:
            few, step = middle, 1
        else:
            enough, step = middle, 2 * step
    return enough


def images_read(recipe: Recipe, iterations: int) -> int:
    """Real samples that a recipe reads in a run of `iterations`.

    A schedule that observes statistics is evaluated without any.
    """
    from ganzoo.engine.parts import base_context

    phases = recipe.loss.spec.phases
    context = base_context(recipe.changed(train={"iterations": iterations}))
    schedule = recipe.schedule.spec.build(context)
    batches = sum(
        any(phases[phase].reads_data for phase in group)
        for iteration in range(iterations)
        for group in schedule.phases(iteration, {})
    )
    return batches * recipe.train.batch_size
