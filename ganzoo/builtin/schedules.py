"""The schedules of the core. A schedule is plain arithmetic on the iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from ganzoo.api import BuildContext, LearningRateCourse, Schedule, ScheduleSpec, hookimpl

Groups = Sequence[Sequence[str]]

DISCRIMINATOR = ("discriminator",)
GENERATOR = ("generator",)
NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True)
class Course:
    """A schedule made of a rule for the phases and a course of the learning rate."""

    rule: Callable[[int, Mapping[str, float]], Groups]
    learning_rate: LearningRateCourse
    iterations: int

    def phases(self, iteration: int, statistics: Mapping[str, float] = NOTHING) -> Groups:
        """Groups of phases of one iteration, in order."""
        return self.rule(iteration, statistics)

    def lr_factor(self, phase: str, iteration: int) -> float:
        """See `LearningRateCourse.factor`; the same for all phases."""
        return self.learning_rate.factor(iteration, self.iterations)


class AlternatingSchedule(ScheduleSpec):
    """k discriminator steps, then m generator steps, each on a fresh batch."""

    type: ClassVar[str] = "alternating"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

    discriminator_steps: PositiveInt = Field(1, description="k, steps of D in an iteration")
    generator_steps: PositiveInt = Field(1, description="m, steps of G in an iteration")
    first: Literal["discriminator", "generator"] = Field(
        "discriminator", description="which of the two goes first"
    )

    def groups(self, discriminator_steps: int) -> Groups:
        """The iteration's groups with `discriminator_steps` steps of D."""
        discriminator = [DISCRIMINATOR] * discriminator_steps
        generator = [GENERATOR] * self.generator_steps
        if self.first == "generator":
            return (*generator, *discriminator)
        return (*discriminator, *generator)

    def build(self, context: BuildContext) -> Schedule:
        groups = self.groups(self.discriminator_steps)
        return Course(lambda *_: groups, self.learning_rate, context.iterations)


class WarmUpSchedule(AlternatingSchedule):
    """Alternating, with more discriminator steps at the start of the run."""

    type: ClassVar[str] = "warm-up"

    warm_up_iterations: NonNegativeInt = Field(
        25, description="iterations with more steps of D, at the start"
    )
    warm_up_discriminator_steps: PositiveInt = Field(
        100, description="steps of D in each of those iterations"
    )

    def build(self, context: BuildContext) -> Schedule:
        early = self.groups(self.warm_up_discriminator_steps)
        late = self.groups(self.discriminator_steps)
        return Course(
            lambda iteration, _: early if iteration < self.warm_up_iterations else late,
            self.learning_rate,
            context.iterations,
        )


class AnnealedSchedule(AlternatingSchedule):
    """Alternating, with a number of discriminator steps that changes steadily over the run.

    The first `annealed` share of the run is cut into equal stretches: k is
    `initial_discriminator_steps` in the first, one nearer to `discriminator_steps` in each
    further one, and stays there after the last.
    """

    type: ClassVar[str] = "annealed"

    initial_discriminator_steps: PositiveInt = Field(5, description="k at the start")
    annealed: float = Field(
        0.5, gt=0, le=1, description="share of the run that is cut into stretches"
    )

    def build(self, context: BuildContext) -> Schedule:
        first, last = self.initial_discriminator_steps, self.discriminator_steps
        way, sign = abs(last - first), 1 if last > first else -1
        end = self.annealed * context.iterations

        def rule(iteration: int, _: Mapping[str, float]) -> Groups:
            return self.groups(first + sign * min(int((way + 1) * iteration / end), way))

        return Course(rule, self.learning_rate, context.iterations)


class AdaptiveSchedule(AlternatingSchedule):
    """Alternating, but the discriminator rests while it wins by too much.

    D has won by D(x) - D(G(z)), the gap between the mean probabilities that it gives to real
    and to generated samples: 0 where it cannot tell them apart, 1 where it is always right.
    After a stretch of `every` iterations with a gap above `margin`, D steps in the first
    iteration of the next stretch only, to be looked at again.
    """

    type: ClassVar[str] = "adaptive"
    needs: ClassVar[frozenset[str]] = frozenset({"loss.probabilities"})

    margin: float = Field(0.5, ge=0, lt=1, description="gap D(x) - D(G(z)) above which D rests")
    every: int = Field(10, ge=2, description="iterations between two looks at the gap")

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

        return Course(rule, self.learning_rate, context.iterations)


class SimultaneousSchedule(ScheduleSpec):
    """D and G step together from the same point, on the same batch.

    Both gradients are taken before either network moves: simultaneous gradient descent
    (Mescheder et al. 2017, arXiv:1705.10461).
    """

    type: ClassVar[str] = "simultaneous"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

    def build(self, context: BuildContext) -> Schedule:
        groups = ((*DISCRIMINATOR, *GENERATOR),)
        return Course(lambda *_: groups, self.learning_rate, context.iterations)


class JointSchedule(ScheduleSpec):
    """One phase that trains all networks together, for losses with a single objective."""

    type: ClassVar[str] = "joint"
    runs: ClassVar[frozenset[str]] = frozenset({"joint"})

    def build(self, context: BuildContext) -> Schedule:
        return Course(lambda *_: (("joint",),), self.learning_rate, context.iterations)


class DiscriminatorOnlySchedule(ScheduleSpec):
    """Only the discriminator is trained, for generators that have nothing to train."""

    type: ClassVar[str] = "discriminator-only"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator"})

    def build(self, context: BuildContext) -> Schedule:
        groups = (DISCRIMINATOR,)
        return Course(lambda *_: groups, self.learning_rate, context.iterations)


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
    ]
