"""What a recording is, in a form that goes along with every forecaster trained on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import ModelError
from zapdeploy.typed import mapping, typed

KEY = "zapdeploy.recording"  # in the metadata of ONNX and .zap files
GAP = 1.5  # an interval of more than so many usual ones is a gap
POSITIONS_KEPT = 20_000  # more are left where the recording is


@dataclass(frozen=True)
class Description:
    """What was read, and what was done to it, in the field's terms.

    format: the reader's name. array: which array or series of a file. frame_rate_hz: None where
    nothing says it. interval_jitter: standard deviation of the intervals between frames, gaps left
    out, as a share of the usual interval; None where the file has no times. gaps: frames that come
    late after the one before. unit: of the traces. processing: what was done, in order, each in
    words. neuron_ids: the file's own names of neurons, in the order of the traces; None for their
    numbers. positions: x, y, z of every neuron in `position_unit`.
    """

    source: str
    format: str
    frames: int
    neurons: int
    array: str = ""
    frame_rate_hz: float | None = None
    interval_jitter: float | None = None
    gaps: tuple[int, ...] = ()
    unit: str = "a.u."
    processing: tuple[str, ...] = ()
    neuron_ids: tuple[str, ...] | None = None
    positions: tuple[tuple[float, ...], ...] | None = None
    position_unit: str = ""
    covariates: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For a folder or a file's metadata; nothing is said of what is not known."""
        found = {name: value for name, value in asdict(self).items() if value not in (None, (), "")}
        if self.positions is not None and len(self.positions) > POSITIONS_KEPT:
            del found["positions"]
        return found

    def notes(self) -> dict[str, str]:
        """What an ONNX file's metadata says of it."""
        return {KEY: json.dumps(self.as_json())}

    @property
    def rate_text(self) -> str:
        rate = self.frame_rate_hz
        return "frame rate unknown" if rate is None else f"{rate:.4g} Hz"


def read_description(document: Mapping[str, Any]) -> Description:
    """The inverse of `as_json`. Raises TypeError or ValueError."""
    known = {field.name for field in fields(Description)}
    given = {name: value for name, value in mapping(document).items() if name in known}
    return typed(Description, given)


def noted_description(notes: Mapping[str, str], where: str) -> Description | None:
    """What a file's metadata says of its recording. Raises ModelError when that is damaged."""
    if KEY not in notes:
        return None
    try:
        return read_description(json.loads(notes[KEY]))
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"metadata '{KEY}' must describe a recording, not {type(error).__name__}: {error} "
            f"({where}); export the model again"
        ) from None


@dataclass(frozen=True)
class Timing:
    """Frame rate in Hz, jitter and gaps, from times in seconds."""

    frame_rate_hz: float
    interval_jitter: float
    gaps: tuple[int, ...]


def timing(times_s: NDArray[np.floating[Any]] | Sequence[float]) -> Timing | None:
    """What the times of frames say; None where there are too few or they do not rise."""
    intervals = np.diff(np.asarray(times_s, np.float64))
    if not intervals.size or not (np.isfinite(intervals).all() and intervals.min() > 0):
        return None
    usual = float(np.median(intervals))
    late = np.flatnonzero(intervals > GAP * usual)
    steady = intervals[intervals <= GAP * usual]
    return Timing(1 / usual, float(steady.std() / usual), tuple((late + 1).tolist()))
