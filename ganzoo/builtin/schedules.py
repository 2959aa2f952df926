"""The schedules of the core. A schedule is plain arithmetic on the iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from ganzoo.api import BuildContext, Remark, Schedule, ScheduleSpec, Surroundings, hookimpl

Groups = Sequence[Sequence[str]]

DISCRIMINATOR = ("discriminator",)
GENERATOR = ("generator",)
MANY = 50
"""Steps of D for one of G beyond which a schedule says that this is unwise."""
NOTHING: Mapping[str, float] = {}

MOST_STEPS = 10_000
"""Steps of one network in an iteration."""


@dataclass(frozen=True)
class RuleSchedule:
    """A schedule made of a rule: from the iteration and the statistics to the groups."""

    rule: Callable[[int, Mapping[str, float]], Groups]

    def phases(self, iteration: int, statistics: Mapping[str, float] = NOTHING) -> Groups:
        """Groups of phases of one iteration, in order."""
        return self.rule(iteration, statistics)


class AlternatingSchedule(ScheduleSpec):
    """k discriminator steps, then m generator steps, each on a fresh batch."""

    type: ClassVar[str] = "alternating"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

    discriminator_steps: PositiveInt = Field(
        1, le=MOST_STEPS, description="k, steps of D in an iteration"
    )
    generator_steps: PositiveInt = Field(
        1, le=MOST_STEPS, description="m, steps of G in an iteration"
    )
    first: Literal["discriminator", "generator"] = Field(
        "discriminator", description="which of the two goes first"
    )

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        if self.discriminator_steps > MANY * self.generator_steps:
            message = f"more than {MANY} steps of D for each of G: G hardly moves"
            yield Remark(message, key="discriminator_steps", hint="1 to 5 are usual")

    def groups(self, discriminator_steps: int) -> Groups:
        """The iteration's groups with `discriminator_steps` steps of D."""
        discriminator = [DISCRIMINATOR] * discriminator_steps
        generator = [GENERATOR] * self.generator_steps
        if self.first == "generator":
            return (*generator, *discriminator)
        return (*discriminator, *generator)

    def build(self, context: BuildContext) -> Schedule:
        groups = self.groups(self.discriminator_steps)
        return RuleSchedule(lambda *_: groups)


class WarmUpSchedule(AlternatingSchedule):
    """Alternating, with more discriminator steps at the start of the run."""

    type: ClassVar[str] = "warm-up"

    warm_up_iterations: NonNegativeInt = Field(
        25, description="iterations with more steps of D, at the start"
    )
    warm_up_discriminator_steps: PositiveInt = Field(
        100, le=MOST_STEPS, description="steps of D in each of those iterations"
    )

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        yield from super().check(recipe)
        many = self.warm_up_discriminator_steps > MANY * self.generator_steps
        if many and self.warm_up_iterations >= recipe.iterations:
            message = f"the warm-up of {self.warm_up_iterations} iterations is the whole run"
            yield Remark(message, key="warm_up_iterations")

    def build(self, context: BuildContext) -> Schedule:
        early = self.groups(self.warm_up_discriminator_steps)
        late = self.groups(self.discriminator_steps)
        return RuleSchedule(
            lambda iteration, _: early if iteration < self.warm_up_iterations else late
        )


class AnnealedSchedule(AlternatingSchedule):
    """Alternating, with a number of discriminator steps that changes steadily over the run.

    The first `annealed` share of the run is cut into equal stretches: k is
    `initial_discriminator_steps` in the first, one nearer to `discriminator_steps` in each
    further one, and stays there after the last.
    """

    type: ClassVar[str] = "annealed"

    initial_discriminator_steps: PositiveInt = Field(5, le=MOST_STEPS, description="k at the start")
    annealed: float = Field(
        0.5, gt=0, le=1, description="share of the run that is cut into stretches"
    )

    def build(self, context: BuildContext) -> Schedule:
        first, last = self.initial_discriminator_steps, self.discriminator_steps
        way, sign = abs(last - first), 1 if last > first else -1
        end = self.annealed * context.iterations

        def rule(iteration: int, _: Mapping[str, float]) -> Groups:
            return self.groups(first + sign * min(int((way + 1) * iteration / end), way))

        return RuleSchedule(rule)


class AdaptiveSchedule(AlternatingSchedule):
    """Alternating, but the discriminator rests while it wins by too much.

    D has won by D(x) - D(G(z)), the gap between the mean probabilities that it gives to real
    and to generated samples: 0 where it cannot tell them apart, 1 where it is always right.
    After `every` iterations with a mean gap above `margin`, D steps only in the first of the next
    `every` iterations, so that the gap is measured again.
    """

    type: ClassVar[str] = "adaptive"
    needs: ClassVar[frozenset[str]] = frozenset({"loss.probabilities"})

    margin: float = Field(0.5, ge=0, lt=1, description="gap D(x) - D(G(z)) above which D rests")
    every: int = Field(10, ge=2, description="iterations between two measurements of the gap")

    @property
    def observes(self) -> int:
        return self.every

    def build(self, context: BuildContext) -> Schedule:
        both = self.groups(self.discriminator_steps)
        generator = [GENERATOR] * self.generator_steps

        def rule(iteration: int, statistics: Mapping[str, float]) -> Groups:
            real = statistics.get("discriminator/D(x)", 0.0)
            gap = real - statistics.get("discriminator/D(G(z))", 0.0)
            return generator if gap > self.margin and iteration % self.every else both

        return RuleSchedule(rule)


class SimultaneousSchedule(ScheduleSpec):
    """D and G step together from the same point, on the same batch.

    Both gradients are taken before either network moves: simultaneous gradient descent
    (Mescheder et al. 2017, arXiv:1705.10461).
    """

    type: ClassVar[str] = "simultaneous"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

    def build(self, context: BuildContext) -> Schedule:
        groups = ((*DISCRIMINATOR, *GENERATOR),)
        return RuleSchedule(lambda *_: groups)


class JointSchedule(ScheduleSpec):
    """One phase, called `joint`, that trains all networks together: one objective, no game."""

    type: ClassVar[str] = "joint"
    runs: ClassVar[frozenset[str]] = frozenset({"joint"})

    def build(self, context: BuildContext) -> Schedule:
        return RuleSchedule(lambda *_: (("joint",),))


class DiscriminatorOnlySchedule(ScheduleSpec):
    """Only the discriminator is trained, for generators that have nothing to train."""

    type: ClassVar[str] = "discriminator-only"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator"})

    def build(self, context: BuildContext) -> Schedule:
        groups = (DISCRIMINATOR,)
        return RuleSchedule(lambda *_: groups)


class SequenceSchedule(ScheduleSpec):
    """The groups of phases that the recipe names, one after the other in every iteration.

    For losses with phases of their own, such as an adversarial autoencoder's: groups =
    [["reconstruction"], ["critic"], ["deception"]]. Phases of one group share a batch and step
    together.
    """

    type: ClassVar[str] = "sequence"
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({"groups": [["joint"]]},)

    groups: tuple[tuple[str, ...], ...] = Field(
        min_length=1, description="groups of phases, in the order they run"
    )

    @field_validator("groups")
    @classmethod
    def _distinct(cls, groups: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for group in groups:
            if not group or len(set(group)) < len(group):
                raise ValueError("each group names at least one phase, and none twice")
        return groups

    @property
    def runs(self) -> frozenset[str]:
        return frozenset(phase for group in self.groups for phase in group)

    def build(self, context: BuildContext) -> Schedule:
        return RuleSchedule(lambda *_: self.groups)


@hookimpl
def ganzoo_schedules() -> Sequence[type[ScheduleSpec]]:
    """The schedules of the core."""
    return [
        AlternatingSchedule,
        WarmUpSchedule,
        AnnealedSchedule,
        AdaptiveSchedule,
        SimultaneousSchedule,
        JointSchedule,
        DiscriminatorOnlySchedule,
        SequenceSchedule,
    ]
