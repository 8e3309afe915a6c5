"""A search where a grid is too large: Optuna asks, workers answer, many points at once.

Every trial is kept in a journal beside the results as it is asked and as it is told, so that a
search that was ended goes on where it was. Points are those of the spec: a result that is known is
taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.errors import UsageError
from zapdeploy.explore.axes import Axis, Value
from zapdeploy.explore.outcome import DONE, columns
from zapdeploy.explore.points import Point, Points
from zapdeploy.explore.spec import Search, Spec
from zapdeploy.explore.store import Row
from zapdeploy.extras import load
from zapdeploy.progress import StepProgress

JOURNALS = "searches"
POPULATION = 32  # of NSGA-II; smaller where the budget is
Compute = Callable[[Sequence[Point]], Mapping[str, Row]]  # results by digest


@dataclass(frozen=True)
class Trial:
    """One point that the search asked for, with Optuna's number of it."""

    number: int
    point: Point | None


class Searcher:
    """A search of a spec, in a folder. Raises UsageError where Optuna is not installed."""

    def __init__(self, spec: Spec, points: Points, folder: Path) -> None:
        assert spec.search is not None
        self._spec, self._points, self._search = spec, points, spec.search
        wrong = [n for n in self.goals if columns().get(n) is not float]
        if wrong:
            known = ", ".join(name for name, kind in columns().items() if kind is float)
            raise UsageError(f"search must be for columns among {known}, not {', '.join(wrong)}")
        self._optuna = load("optuna", "explore", "search among points")
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        self._study = self._opened(folder)

    @property
    def goals(self) -> tuple[str, ...]:
        return (*self._search.minimize, *self._search.maximize)

    def run(self, compute: Compute, progress: StepProgress) -> list[Point]:
        """Ask and tell until the budget is spent; every point that was asked for."""
        found: dict[str, Point] = {}
        self._forget_unfinished(found)
        while (left := self._search.points - self._told()) > 0:
            progress(self._told(), self._search.points)
            trials = [self._ask() for _ in range(min(left, self._search.at_once))]
            points = [trial.point for trial in trials if trial.point is not None]
            rows = compute(points)
            for trial in trials:
                self._tell(trial, rows)
            found.update((point.digest, point) for point in points)
        return list(found.values())

    def _opened(self, folder: Path) -> Any:
        """The study of this very search: another budget continues it, other axes begin anew."""
        from zapdeploy.explore.points import digest_of

        asked = self._search.model_dump(exclude={"points", "at_once"})
        axes = [[axis.names, axis.values, repr(axis.span)] for axis in self._spec.axes]
        parts = [asked, axes, self._spec.constraints, self._spec.compute.model_dump()]
        path = folder / JOURNALS / f"{self._spec.name}-{digest_of(parts)[:12]}.journal"
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = self._optuna.storages.journal
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constraints_func is marked as experimental
            return self._optuna.create_study(
                study_name=self._spec.name,
                storage=journal.JournalStorage(journal.JournalFileBackend(str(path))),
                sampler=_sampler(self._optuna, self._search),
                directions=["minimize"] * len(self._search.minimize)
                + ["maximize"] * len(self._search.maximize),
                load_if_exists=True,
            )

    def _told(self) -> int:
        return sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))

    def _forget_unfinished(self, found: dict[str, Point]) -> None:
        """Trials that were under way when a search was ended; and the points of all others."""
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False):
            if not trial.state.is_finished():
                self._study.tell(trial.number, state=states.FAIL)
            elif (point := self._points.point(self._values(trial.params))) is not None:
                found[point.digest] = point

    def _ask(self) -> Trial:
        trial = self._study.ask()
        for index, axis in enumerate(self._spec.axes):
            _suggest(trial, index, axis)
        return Trial(trial.number, self._points.point(self._values(trial.params)))

    def _values(self, params: Mapping[str, Any]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for axis in self._spec.axes:
            drawn = params.get(_name(axis))
            if axis.span is not None:
                found[axis.names[0]] = axis.span.text(float(params[_name(axis)]))
            else:
                step = axis.values[int(drawn) if drawn is not None else 0]
                found.update(zip(axis.names, step, strict=True))
        return found

    def _tell(self, trial: Trial, rows: Mapping[str, Row]) -> None:
        """A point that breaks a constraint, or gives no result, is told as failed."""
        row = rows.get(trial.point.digest) if trial.point is not None else None
        values = [] if row is None or row["status"] != DONE else [row[g] for g in self.goals]
        if not values or any(value is None for value in values):
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial.number, values)


def _name(axis: Axis) -> str:
    return " and ".join(axis.names)


def _suggest(trial: Any, index: int, axis: Axis) -> None:
    """Ranges as they are; lists of numbers by their place, as they have an order; others not."""
    if axis.span is not None:
        kind = trial.suggest_int if axis.span.is_whole else trial.suggest_float
        ends = (round(axis.span.low), round(axis.span.high)) if axis.span.is_whole else (
            axis.span.low, axis.span.high
        )  # fmt: skip
        kind(_name(axis), *ends, log=axis.span.is_log)
    elif len(axis.values) > 1 and _is_ordered(axis):
        trial.suggest_int(_name(axis), 0, len(axis.values) - 1)
    elif len(axis.values) > 1:
        trial.suggest_categorical(_name(axis), list(range(len(axis.values))))


def _is_ordered(axis: Axis) -> bool:
    """Whether the values are numbers, alone or with units."""
    return all(
        isinstance(value, int | float) or (isinstance(value, str) and value[:1].isdigit())
        for step in axis.values
        for value in step
    )


def _sampler(optuna: Any, search: Search) -> Any:
    samplers = optuna.samplers
    if search.sampler == "random":
        return samplers.RandomSampler(seed=search.seed)
    if search.sampler == "tpe":
        return samplers.TPESampler(
            seed=search.seed, multivariate=True, constant_liar=True, warn_independent_sampling=False
        )
    size = max(4, min(POPULATION, search.points // 6))
    return samplers.NSGAIISampler(seed=search.seed, population_size=size)
