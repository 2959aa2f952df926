"""Lets Optuna choose the points of a sweep, and stop those that fall behind.

A run is trained for its whole length from the start, and pauses at its snapshots: what changes over
the run changes as it does in any other, and a run that goes on is, to the byte, one that never
paused. At each pause the headline is measured and the pruner asked.

The study is an SQLite file beside the report. The sampler's seed is made from the number of the
point, so that a search that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.comparison.comparing import job_of, run_all
from ganzoo.comparison.entrants import Entrant, with_seed
from ganzoo.comparison.jobs import Outcome
from ganzoo.comparison.launchers import carry_out
from ganzoo.errors import UserError, describe
from ganzoo.recipe import RecipeError
from ganzoo.recipe.model import snapshot_iterations
from ganzoo.sweeps.document import SearchEntry
from ganzoo.sweeps.points import Tried, entrant_of
from ganzoo.sweeps.space import Point, Space

if TYPE_CHECKING:
    import optuna

    from ganzoo.sweeps.sweeping import Plan

PRUNED_AFTER = 5
"""Points that are trained to their end before others are pruned: Optuna's default."""
REPEATS = 10
"""How often the sampler is asked before one of the points that were not tried is drawn instead."""
TURNS = 100
"""How often it is asked for one point in all."""
FAILED = "failed"
"""Attribute of a trial whose runs failed; others that failed were only stopped or passed over."""


def check_optuna() -> None:
    """Raise `UserError` where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError(
            "--search needs Optuna", hint='`pip install "ganzoo-core[search]"`'
        ) from error


@dataclass
class Attempt:
    """A point under way."""

    trial: optuna.trial.Trial
    point: Point
    entrant: Entrant
    pauses: list[int] = field(default_factory=list)
    """The iterations at which it may be pruned."""
    pruned: tuple[int, float] | None = None
    """The iteration after which it was pruned, and the value there."""

    @property
    def failed(self) -> bool:
        """Whether a run of it failed."""
        return any(outcome.message for outcome in self.entrant.outcomes.values())


def try_search(
    file: Path, first: Entrant, count: int, shared: Plan
) -> tuple[list[Tried], SearchEntry]:
    """Try `count` points of the space, several at once where the launcher runs several at once."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = first.recipe.train.seed
    study = open_study(shared, first, seed)
    if shared.space.size is not None and count > shared.space.size:
        shared.report(f"there are {shared.space.size} points: all of them are tried")
        count = shared.space.size
    shares = _shares(first, shared)
    runs = count * (shared.seeds or 1)
    shared.report(f"{count} points: {'at most ' if shares else ''}{runs} runs to their end")
    tried: dict[str, Tried] = {}
    with shared.launcher.opened() as width:
        _restore(file, study, tried, shared)
        while len(tried) < count:
            attempts = _ask(file, study, seed, min(width, count - len(tried)), tried, shared)
            if not attempts:
                shared.report(f"no further point was found after {len(tried)}")
                break
            _train(attempts, shared)
            for attempt in attempts:
                tried[attempt.point.label] = _tell(study, attempt, shared)
                shared.report(f"{len(tried)}/{count}  {_told(attempt, shared)}")
    return list(tried.values()), {"points": count, "seed": seed, "shares": shares}


def open_study(shared: Plan, first: Entrant, seed: int) -> optuna.Study:
    """The study of a sweep, in its folder; what it is named by is all that decides its values.

    Raises `UserError` where it cannot be opened.
    """
    import optuna

    identity = [
        with_seed(first.recipe, 0).fingerprint,
        [repr(axis) for axis in shared.space.axes],
        [shared.seeds, seed, str(shared.budget), shared.data],
        shared.headline.component.table(qualified=True),
        [shared.headline.name, shared.protocol.evaluate.model_dump(mode="json")],
    ]
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = shared.out / "study.db"
    try:
        return optuna.create_study(
            storage=f"sqlite:///{path.absolute()}",
            study_name=name,
            load_if_exists=True,
            direction="minimize" if shared.headline.better == "lower" else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNED_AFTER),
        )
    except Exception as error:  # of SQLAlchemy, of the system
        raise UserError(
            f"the study {path} cannot be opened: {describe(error)}",
            hint="delete it, or --out names another folder; runs that were made are used again",
        ) from error


def _restore(file: Path, study: optuna.Study, tried: dict[str, Tried], shared: Plan) -> None:
    """Take up what a search did before it was stopped, in the order in which it did it; points
    that were under way are the next ones."""
    from optuna.trial import TrialState

    again: list[Entrant] = []
    for trial in study.get_trials():
        point = _point(shared.space, trial.params)
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            if point is not None and point.label not in tried:
                study.enqueue_trial(trial.params)
        told = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        if point is None or not (told or FAILED in trial.user_attrs):
            continue
        entrant = _entrant(file, point, shared)
        if trial.state == TrialState.PRUNED:
            pause, value = max(trial.intermediate_values.items())
            tried[point.label] = Tried(point, entrant, _pauses(entrant)[pause - 1], value)
        else:
            tried[point.label] = Tried(point, entrant)
            again.append(entrant)
    if tried:
        shared.report(f"{len(tried)} of them were tried before")
    _measure(again, shared)


def _ask(
    file: Path,
    study: optuna.Study,
    seed: int,
    width: int,
    tried: Mapping[str, Tried],
    shared: Plan,
) -> list[Attempt]:
    """The next points, at most `width`, none of which was tried; none where none can be found."""
    from optuna.trial import TrialState

    attempts: list[Attempt] = []
    passed_over: set[str] = set()
    for turn in range(TURNS * width):
        if len(attempts) == width:
            break
        seen = {*tried, *passed_over, *(attempt.point.label for attempt in attempts)}
        if turn % REPEATS == REPEATS - 1 and shared.space.size is not None:
            new = [point for point in shared.space.corners() if point.label not in seen]
            if not new:
                break
            chosen = random.Random(f"{seed} {len(tried)} {turn}").choice(new)
            study.enqueue_trial(_indices(shared.space, chosen))
        trial = _propose(study, f"{seed} {len(tried)} {turn}", shared.space)
        point = _point(shared.space, trial.params)
        assert point is not None
        try:
            if point.label not in seen:
                attempts.append(_attempt(file, trial, point, shared))
                continue
        except RecipeError as error:
            shared.report(f"{point.label} is passed over: {error.problems[0].message}")
            passed_over.add(point.label)
        # The study learns nothing from it.
        study.tell(trial, state=TrialState.FAIL)
    return attempts


def _propose(study: optuna.Study, seed: str, space: Space) -> optuna.trial.Trial:
    """A trial with values for all keys that are varied."""
    import optuna

    digest = hashlib.sha256(seed.encode()).digest()
    with warnings.catch_warnings():
        # Points under way count as bad ones, so that others are tried at the same time.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            seed=int.from_bytes(digest[:4], "little"), constant_liar=True
        )
    trial = study.ask()
    for axis in space.varied:
        if (span := axis.span) is None:
            trial.suggest_categorical(axis.key, list(range(len(axis.values))))
        elif span.whole:
            trial.suggest_int(axis.key, int(span.low), int(span.high), log=span.log)
        else:
            trial.suggest_float(axis.key, span.low, span.high, log=span.log)
    return trial


def _point(space: Space, parameters: dict[str, Any]) -> Point | None:
    """The point that a trial's parameters mean; None for one that was stopped before it had all."""
    settings = {}
    for axis in space.varied:
        if axis.key not in parameters:
            return None
        value = parameters[axis.key]
        settings[axis.key] = axis.values[value] if axis.span is None else axis.span.text(value)
    return space.point(settings)


def _indices(space: Space, point: Point) -> dict[str, int]:
    """The parameters of a point without ranges."""
    settings = point.settings
    return {axis.key: axis.values.index(settings[axis.key]) for axis in space.varied}


def _attempt(file: Path, trial: optuna.trial.Trial, point: Point, shared: Plan) -> Attempt:
    entrant = _entrant(file, point, shared)
    return Attempt(trial, point, entrant, _pauses(entrant) if _shares(entrant, shared) else [])


def _entrant(file: Path, point: Point, shared: Plan) -> Entrant:
    """The entrant of a point, with the folders of its runs."""
    entrant = entrant_of(file, point)
    shared.place(entrant)
    return entrant


def _pauses(entrant: Entrant) -> list[int]:
    """The snapshots of a point's runs before the last one."""
    recipe = entrant.recipe
    return snapshot_iterations(recipe.train.iterations, recipe.evaluate.snapshots)[:-1]


def _shares(entrant: Entrant, shared: Plan) -> list[float]:
    """Where in training points can be pruned, as shares of the run; nowhere where the headline can
    be measured at the end alone."""
    recipe = entrant.recipe
    if recipe.prior.spec.fitted:
        shared.report("no point is pruned: the recipe samples from a prior fitted at the end")
        return []
    if not (pauses := _pauses(entrant)):
        shared.report("no point is pruned: evaluate.snapshots=5 would measure runs on the way")
    return [pause / recipe.train.iterations for pause in pauses]


def _train(attempts: Sequence[Attempt], shared: Plan) -> None:
    """Train points from pause to pause, all seeds of all points together, and to the end."""
    for place in range(max(len(attempt.pauses) for attempt in attempts)):
        under_way = [
            attempt
            for attempt in attempts
            if attempt.pruned is None and not attempt.failed and place < len(attempt.pauses)
        ]
        if under_way:
            _pause(under_way, place, shared)
    ending = [each for each in attempts if each.pruned is None and not each.failed]
    _measure([each.entrant for each in ending], shared)


def _pause(attempts: Sequence[Attempt], place: int, shared: Plan) -> None:
    """Train to a pause, measure the headline there, and ask the pruner."""
    protocol = replace(shared.protocol, metrics=[shared.headline.component])
    if shared.headline.component.spec.reads == "samples":
        protocol = replace(protocol, extractor=None)
    owners = [(attempt, seed) for attempt in attempts for seed in attempt.entrant.folders]
    jobs = [
        replace(
            job_of(attempt.entrant, seed, protocol, shared.data),
            pause=attempt.pauses[place],
        )
        for attempt, seed in owners
    ]
    outcomes: dict[str, dict[int, Outcome]] = {}
    for (attempt, seed), outcome in zip(owners, carry_out(jobs, shared.launcher), strict=True):
        outcomes.setdefault(attempt.point.label, {})[seed] = outcome
    for attempt in attempts:
        own = outcomes[attempt.point.label]
        if any(outcome.message for outcome in own.values()):
            attempt.entrant.outcomes.update(_all_failed(own))
            continue
        value = _mean(own, shared)
        if value is None:
            continue
        attempt.trial.report(value, place + 1)
        if attempt.trial.should_prune():
            attempt.pruned = attempt.pauses[place], value


def _all_failed(outcomes: dict[int, Outcome]) -> dict[int, Outcome]:
    """The outcomes of a point of which a run failed at a pause: the others are not trained on."""
    seeds = ", ".join(str(seed) for seed, each in outcomes.items() if each.message)
    stopped = f"trained no further, as seed {seeds} failed"
    return {
        seed: replace(each, message=each.message or stopped, measures=None)
        for seed, each in outcomes.items()
    }


def _mean(outcomes: dict[int, Outcome], shared: Plan) -> float | None:
    """The mean of the headline over seeds; None where a seed has none that is finite."""
    values = []
    for outcome in outcomes.values():
        measured = {} if outcome.measures is None else outcome.measures["values"]
        name = shared.headline.full_name(list(measured))
        if name is None or not math.isfinite(measured[name]):
            return None
        values.append(measured[name])
    return math.fsum(values) / len(values)


def _measure(entrants: Sequence[Entrant], shared: Plan) -> None:
    """Train points to the end and measure them by all metrics."""
    if not entrants:
        return
    run_all(
        entrants,
        shared.protocol,
        shared.data,
        shared.launcher,
        lambda text: None,
    )


def _tell(study: optuna.Study, attempt: Attempt, shared: Plan) -> Tried:
    """Record in the study what became of a point."""
    from optuna.trial import TrialState

    if attempt.pruned is not None:
        study.tell(attempt.trial, state=TrialState.PRUNED)
        return Tried(attempt.point, attempt.entrant, *attempt.pruned)
    value = None if attempt.failed else _mean(attempt.entrant.outcomes, shared)
    if value is None:
        attempt.trial.set_user_attr(FAILED, True)
        study.tell(attempt.trial, state=TrialState.FAIL)
    else:
        study.tell(attempt.trial, value)
    return Tried(attempt.point, attempt.entrant)


def _told(attempt: Attempt, shared: Plan) -> str:
    """What became of a point, in a line."""
    label, name = attempt.point.label, shared.headline.name
    if attempt.pruned is not None:
        iteration, then = attempt.pruned
        return f"{label}: pruned after iteration {iteration}, {name} {then:.4g}"
    if attempt.failed:
        reasons = {each.message for each in attempt.entrant.outcomes.values() if each.message}
        return f"{label}: failed: {'; '.join(sorted(reasons))}"
    value = _mean(attempt.entrant.outcomes, shared)
    return f"{label}: {name} {'not finite' if value is None else f'{value:.4g}'}"
