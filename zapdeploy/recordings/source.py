"""A recording as a reader found it: described, not yet read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.conditions import Condition
from zapdeploy.recordings.description import Description, timing
from zapdeploy.recordings.options import NEURONS_FIRST, TIME_FIRST, ReadOptions

GUESSED_AXES = "axes taken as"


class Values(Protocol):
    """Two axes of numbers, of which parts can be read: an array, a map, a file's data set.

    May say `chunks`, the shape of what is stored and unpacked in one piece.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, part: tuple[slice, slice], /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Computed:
    """Values that are computed when they are read: read(rows, columns) -> array. chunks: of the
    file that they are computed from.
    """

    shape: tuple[int, ...]
    read: Callable[[slice, slice], NDArray[Any]]
    chunks: tuple[int, int] | None = None

    def __getitem__(self, part: tuple[slice, slice]) -> NDArray[Any]:
        return self.read(*part)


@dataclass(frozen=True, eq=False)
class Covariates:
    """float32 [frames, covariates] with names. ahead: whether one is known before its frame, as a
    stimulus is; behaviour is not.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    ahead: tuple[bool, ...]

    def joined(self, other: Covariates) -> Covariates:
        return Covariates(
            np.concatenate([self.values, other.values], axis=1),
            self.names + other.names,
            self.ahead + other.ahead,
        )


def no_covariates(frames: int) -> Covariates:
    """Covariates of a recording that has none."""
    return Covariates(np.zeros((frames, 0), np.float32), (), ())


@dataclass(frozen=True, eq=False)
class Source:
    """values [frames, neurons], or the other way round where `neurons_first`.

    conditions: the file's own, none where it has none. rows: of a file that holds neurons that are
    none, those to read; None: all.
    """

    values: Values
    neurons_first: bool
    description: Description
    covariates: Covariates | None = None
    conditions: tuple[Condition, ...] = ()
    times_s: NDArray[np.float64] | None = None

    @property
    def frames(self) -> int:
        return self.description.frames

    @property
    def neurons(self) -> int:
        return self.description.neurons


def described(
    values: Values,
    where: str,
    form: str,
    options: ReadOptions,
    *,
    neurons_first: bool | None = None,
    array: str = "",
    unit: str = "a.u.",
    frame_rate_hz: float | None = None,
    times_s: Any = None,
    **more: Any,
) -> Source:
    """A source of these values. neurons_first: what the format says; None where it says nothing:
    then --axes, or the shape, decides.
    """
    if len(values.shape) != 2 or 0 in values.shape:
        raise DataError(
            f"array{array and ' '}{array} must be [frames, neurons] or [neurons, frames], not "
            f"{list(values.shape)} ({where}); give the one of two axes: --path"
        )
    first, said = _axes(values.shape, options, neurons_first)
    neurons, frames = values.shape if first else values.shape[::-1]
    found = None if times_s is None else timing(times_s)
    rate = options.frame_rate_hz or frame_rate_hz or (found and found.frame_rate_hz)
    description = Description(
        source=where,
        format=form,
        frames=int(frames),
        neurons=int(neurons),
        array=array,
        frame_rate_hz=rate or None,
        interval_jitter=None if found is None else found.interval_jitter,
        gaps=() if found is None else found.gaps,
        unit=options.unit or unit,
    )
    times = None if found is None else np.asarray(times_s, np.float64)
    source = Source(values, first, description, times_s=times)
    return with_processing(replace(source, **more), *said)


def with_processing(source: Source, *steps: str) -> Source:
    """The source with more said of what was done to it."""
    known = source.description
    return replace(
        source, description=replace(known, processing=(*known.processing, *filter(None, steps)))
    )


def with_description(source: Source, **changes: Any) -> Source:
    """The source with its description changed."""
    return replace(source, description=replace(source.description, **changes))


def _axes(
    shape: tuple[int, ...], options: ReadOptions, neurons_first: bool | None
) -> tuple[bool, tuple[str, ...]]:
    """Whether neurons come first, and what is to be said of how that was found."""
    if options.axes is not None:
        return options.axes == NEURONS_FIRST, ()
    if neurons_first is not None:
        return neurons_first, ()
    first = shape[0] < shape[1]
    order = NEURONS_FIRST if first else TIME_FIRST
    return first, (f"{GUESSED_AXES} {order}, the longer one being time (--axes says otherwise)",)
