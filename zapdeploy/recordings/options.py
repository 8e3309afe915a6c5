"""How a recording is to be read: what a file leaves open, or what is wished otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from zapdeploy.documents import changed_fields
from zapdeploy.errors import UsageError
from zapdeploy.typed import mapping, typed

TIME_FIRST, NEURONS_FIRST = "time,neurons", "neurons,time"
NAN = ("refuse", "zero", "interpolate")


@dataclass(frozen=True)
class ReadOptions:
    """Every entry may be left out.

    path: of the array or series inside a file. axes: "time,neurons" or "neurons,time"; None: found
    from shapes. frame_rate_hz: where the file says none, or another. unit: of the traces.
    neuropil: the share of the neuropil's fluorescence to subtract (suite2p). dff: "P:S" for
    (F - F0) / F0, F0 the running P-th percentile of the S seconds before. bin_rate_hz: bins per
    second that spike times are counted in. average: frames that are averaged to one. nan: refuse,
    zero or interpolate. stimuli, behavior: files of covariates, one row for each frame; what is in
    stimuli is known beforehand; of an NWB file also the name of a TimeSeries in it. conditions: a
    CSV or TOML table, or the name of the file's own intervals. hold_out: names of conditions that
    are not trained on. all_rois: also those that are no cells.
    """

    path: str | None = None
    axes: str | None = None
    frame_rate_hz: float | None = None
    unit: str | None = None
    neuropil: float | None = None
    dff: str | None = None
    bin_rate_hz: float | None = None
    average: int | None = None
    nan: str = "refuse"
    stimuli: str | None = None
    behavior: str | None = None
    conditions: str | None = None
    hold_out: tuple[str, ...] = ()
    all_rois: bool = False

    def __post_init__(self) -> None:
        if self.axes not in (None, TIME_FIRST, NEURONS_FIRST):
            raise UsageError(f"--axes must be {TIME_FIRST} or {NEURONS_FIRST}, not '{self.axes}'")
        for name, value in (("frame-rate", self.frame_rate_hz), ("bin-rate", self.bin_rate_hz)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name} must be above 0 Hz, not {value:g}; give a rate")
        if self.average is not None and self.average < 1:
            raise UsageError(f"--average must be at least 1 frame, not {self.average}")
        if self.nan not in NAN:
            raise UsageError(f"--nan must be {', '.join(NAN)}, not '{self.nan}'")
        if self.neuropil is not None and not 0 <= self.neuropil <= 1:
            raise UsageError(f"--neuropil must be from 0 to 1, not {self.neuropil:g}; usual is 0.7")
        self.baseline  # noqa: B018  # refuses what it cannot read

    @property
    def baseline(self) -> tuple[float, float] | None:
        """Percentile and seconds of --dff."""
        if self.dff is None:
            return None
        percentile, _, seconds = self.dff.partition(":")
        try:
            found = float(percentile), float(seconds or 60)
        except ValueError:
            found = (-1.0, -1.0)
        if not (0 <= found[0] <= 100 and 0 < found[1] < math.inf):
            raise UsageError(f"--dff must be PERCENTILE:SECONDS such as 8:60, not '{self.dff}'")
        return found

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return changed_fields(self)


def read_options(document: Mapping[str, Any]) -> ReadOptions:
    """The inverse of `as_json`; raises TypeError or UsageError."""
    known = {field.name for field in fields(ReadOptions)}
    given = {name: value for name, value in mapping(document).items() if name in known}
    return typed(ReadOptions, given)
