"""The same budget for all: a number of iterations, images or seconds, as iterations of a recipe."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ganzoo.errors import UserError
from ganzoo.recipe import Recipe

BUDGET = re.compile(r"(iterations|images|seconds)=([0-9]+(?:_[0-9]+)*)")

IDLE_ITERATIONS = 1000
"""A recipe that has read nothing in so many iterations is taken to read nothing at all."""


@dataclass(frozen=True)
class Budget:
    """What each run may spend."""

    kind: str
    """`iterations`, `images` (real samples read) or `seconds` of training on this machine."""
    amount: int

    def __str__(self) -> str:
        return f"{self.amount:,} {self.kind} each"


def parse_budget(text: str) -> Budget:
    """`iterations=2000`, `images=1_000_000` or `seconds=60`. Raises `UserError` for others."""
    found = BUDGET.fullmatch(text)
    amount = int(found[2]) if found else 0
    if found is None or not amount:
        raise UserError(
            f"'{text}' is no budget", hint="iterations=2000, images=1_000_000 or seconds=60"
        )
    return Budget(found[1], amount)


def iterations_for_images(recipe: Recipe, images: int) -> int:
    """The fewest iterations in which a recipe reads at least `images` real samples.

    A schedule that changes over the run is stretched to the length that is sought. Raises
    `UserError` for a recipe that reads no images.
    """
    few, enough = 0, 1
    while (read := images_read(recipe, enough)) < images:
        if not read and enough > IDLE_ITERATIONS:
            raise UserError(
                f"recipe '{recipe.name}' reads no images: a budget of images never ends it",
                hint="--budget iterations=... does",
            )
        few = enough
        enough = max(enough + 1, math.ceil(enough * images / read) if read else 2 * enough)
    # The guess is right at once where all iterations read alike: begin to search just below it.
    step = 1
    while enough - few > 1:
        middle = max(enough - step, (few + enough) // 2)
        if images_read(recipe, middle) < images:
            few, step = middle, 1
        else:
            enough, step = middle, 2 * step
    return enough


def images_read(recipe: Recipe, iterations: int) -> int:
    """Real samples that a recipe reads if it is `iterations` long.

    A schedule that observes the run is taken to do what it does before it has seen anything.
    """
    from ganzoo.engine.context import build_context

    phases = recipe.loss.spec.phases
    context = build_context(recipe.changed(train={"iterations": iterations}))
    schedule = recipe.schedule.spec.build(context)
    batches = sum(
        any(phases[phase].reads_data for phase in group)
        for iteration in range(iterations)
        for group in schedule.phases(iteration, {})
    )
    return batches * recipe.train.batch_size
