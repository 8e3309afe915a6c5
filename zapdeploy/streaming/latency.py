"""Times of a stream in a memory that does not grow: quantiles of each stage, and a curve over time.

All clocks are this machine's monotonic clock, in nanoseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99, "p99.9_s": 0.999}
_PER_OCTAVE = 128  # steps of a doubling: a quantile is at most 0.6 % too high
_OCTAVES = 48  # 1 ns to 78 hours
_POINTS = 1024


class Histogram:
    """Counts of durations on a logarithmic scale: quantiles within 0.6 %, the maximum exact."""

    def __init__(self) -> None:
        self._counts = np.zeros(_PER_OCTAVE * _OCTAVES, np.int64)
        self._total_ns = self._steps_ns = 0
        self._before_ns: int | None = None
        self.count = self.maximum_ns = 0

    def add(self, duration_ns: int) -> None:
        """One more; a negative one counts as 0."""
        duration_ns = max(duration_ns, 0)
        place = int(_PER_OCTAVE * math.log2(duration_ns)) if duration_ns > 1 else 0
        self._counts[min(place, self._counts.size - 1)] += 1
        self.count += 1
        self._total_ns += duration_ns
        self.maximum_ns = max(self.maximum_ns, duration_ns)
        if self._before_ns is not None:
            self._steps_ns += abs(duration_ns - self._before_ns)
        self._before_ns = duration_ns

    def quantile_s(self, share: float) -> float:
        """The nearest rank's duration, rounded up to the scale's next step; 0 where none is."""
        if not self.count:
            return 0.0
        rank = max(math.ceil(share * self.count), 1)
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(2 ** ((place + 1) / _PER_OCTAVE), self.maximum_ns) * 1e-9

    @property
    def jitter_s(self) -> float:
        """Mean change from one to the next."""
        return self._steps_ns * 1e-9 / max(self.count - 1, 1)

    def as_json(self) -> dict[str, Any]:
        """Quantiles, mean, maximum and jitter in seconds."""
        quantiles = {name: self.quantile_s(share) for name, share in PERCENTILES.items()}
        mean = self._total_ns * 1e-9 / max(self.count, 1)
        maximum = self.maximum_ns * 1e-9
        rest = {"maximum_s": maximum, "mean_s": mean, "jitter_s": self.jitter_s}
        return {"count": self.count, **quantiles, **rest}


@dataclass
class Curve:
    """Least, mean and greatest duration of equal runs of frames, at most 1,024 of them.

    When all places are taken, neighbours are merged and each place stands for twice as many.
    """

    per_point: int = 1
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((_POINTS, 5)))
    _used: int = 0

    def add(self, at_ns: int, duration_ns: int) -> None:
        """A frame done at `at_ns` after `duration_ns`."""
        if self._used and self._sums[self._used - 1, 0] < self.per_point:
            point = self._sums[self._used - 1]
        else:
            if self._used == _POINTS:
                self._halve()
            point = self._sums[self._used]
            point[:] = (0, at_ns, np.inf, 0, 0)
            self._used += 1
        point[0] += 1
        point[2] = min(point[2], duration_ns)
        point[3] += duration_ns
        point[4] = max(point[4], duration_ns)

    def _halve(self) -> None:
        pairs = self._sums.reshape(-1, 2, 5)
        merged = np.stack(
            [pairs[:, :, 0].sum(1), pairs[:, 0, 1], pairs[:, :, 2].min(1),
             pairs[:, :, 3].sum(1), pairs[:, :, 4].max(1)], axis=1,
        )  # fmt: skip
        self._sums[: len(merged)] = merged
        self._used = len(merged)
        self.per_point *= 2

    def as_json(self) -> dict[str, list[float]]:
        """Columns of seconds: since the first point, least, mean, greatest."""
        used = self._sums[: self._used]
        at = (used[:, 1] - used[0, 1]) if len(used) else used[:, 1]
        columns = {
            "at_s": at,
            "least_s": used[:, 2],
            "mean_s": used[:, 3] / np.maximum(used[:, 0], 1),
            "greatest_s": used[:, 4],
        }
        return {name: (column * 1e-9).tolist() for name, column in columns.items()}
