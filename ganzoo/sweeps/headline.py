"""Which metric a sweep ranks its points by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ganzoo.comparison.comparing import Protocol
from ganzoo.comparison.entrants import Entrant
from ganzoo.errors import UserError
from ganzoo.evaluation.document import Direction
from ganzoo.recipe import Component
from ganzoo.specs import MetricSpec


@dataclass(frozen=True)
class Headline:
    """A value of a metric, before it is known in which features it will be computed."""

    component: Component[MetricSpec]
    name: str
    """`fid`, `modes/kl`."""
    better: Direction

    def full_name(self, names: Sequence[str]) -> str | None:
        """Its full name among those of values that were measured, or None."""
        return next((each for each in names if each.partition("[")[0] == self.name), None)


def choose_headline(
    protocol: Protocol, entrants: Sequence[Entrant], wanted: str | None
) -> Headline:
    """The wanted value, or the first one of which it is known which way is better.

    Those of the metrics that the recipe names come first, as for the headline of a run. Raises
    `UserError` where none judges all points, and where the wanted one does not.
    """
    judging = list(_judging(protocol, entrants))
    if not judging:
        raise UserError(
            "no metric judges all points of the sweep",
            hint="name one in [[metrics]]; `ganzoo components metric` lists them",
        )
    if wanted is None:
        return judging[0]
    found = [each for each in judging if wanted in (each.name, each.component.spec.type)]
    if not found:
        names = ", ".join(each.name for each in judging)
        raise UserError(f"'{wanted}' is no metric that judges all points", hint=names)
    return found[0]


def _judging(protocol: Protocol, entrants: Sequence[Entrant]) -> Iterator[Headline]:
    named = [each.spec.type for each in entrants[0].recipe.metrics]
    first = sorted(
        protocol.metrics,
        key=lambda each: named.index(each.spec.type) if each.spec.type in named else len(named),
    )
    for metric in first:
        kind = metric.spec.type
        if not all(entrant.recipe.meets(metric.spec.needs) for entrant in entrants):
            continue
        for value, better in metric.spec.better.items():
            yield Headline(metric, kind if value == kind else f"{kind}/{value}", better)
