"""Repeat a query, look at the clock, and say what came out: rate, percentiles, noise."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from zapdeploy.benchmarks.request import Effort
from zapdeploy.benchmarks.results.rows import Latency

Clock = Callable[[], float]
NOISE_BLOCKS = 5
PLAIN_LOOP = "a plain loop"


@dataclass(frozen=True)
class Timing:
    """Durations of equal queries in a row [s], each of so many frames.

    `driver`: who issued them; `driver_rate` (frames/s), `driver_latency`: its own figures, which
    then stand for the run.
    """

    durations_s: tuple[float, ...]
    frames_per_query: int
    driver: str = PLAIN_LOOP
    driver_rate: float | None = None
    driver_latency: Latency | None = None

    @property
    def total_s(self) -> float:
        return sum(self.durations_s)

    @property
    def frames(self) -> int:
        return self.frames_per_query * len(self.durations_s)

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.total_s if self.driver_rate is None else self.driver_rate

    @property
    def latency(self) -> Latency:
        if self.driver_latency is not None:
            return self.driver_latency
        ordered = sorted(self.durations_s)
        count = len(ordered)

        def nearest_rank(percent: float) -> float:
            return ordered[max(0, math.ceil(round(count * percent / 100, 6)) - 1)]

        return Latency(
            p50_s=nearest_rank(50),
            p90_s=nearest_rank(90),
            p99_s=nearest_rank(99),
            mean_s=self.total_s / count,
            count=count,
            p99_9_s=nearest_rank(99.9),
            maximum_s=ordered[-1],
        )

    @property
    def noise(self) -> float:
        """Half the spread of the medians of five consecutive blocks, relative to the median."""
        size = max(1, len(self.durations_s) // NOISE_BLOCKS)
        starts = range(0, len(self.durations_s) - size + 1, size)
        medians = [statistics.median(self.durations_s[i : i + size]) for i in starts]
        return (max(medians) - min(medians)) / 2 / statistics.median(medians)


def time_queries(
    query: Callable[[], None], frames_per_query: int, effort: Effort, clock: Clock
) -> Timing:
    """Run `query` again and again, one at a time, after a warm-up that does not count."""
    for _ in range(effort.warmup):
        query()
    durations: list[float] = []
    total = 0.0
    while not _enough(len(durations), total, effort):
        start = clock()
        query()
        durations.append(clock() - start)
        total += durations[-1]
    return Timing(tuple(durations), frames_per_query)


def time_paced(
    query: Callable[[], None],
    frame_rate_hz: float,
    effort: Effort,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> Timing:
    """Run `query` when a frame comes, one every 1 / frame_rate_hz seconds.

    A duration is from the frame's arrival to its answer: where one answer is late, the next frame
    waits. As many frames as the effort asks for, or as come in its time, but at least a few.
    """
    query()
    period = 1 / frame_rate_hz
    durations: list[float] = []
    began = clock() + min(period, 1.0)
    while True:
        due = began + len(durations) * period
        if (early := due - clock()) > 0:
            sleep(early)
        query()
        durations.append(clock() - due)
        passed = (len(durations) + 1) * period
        if len(durations) >= effort.min_queries and passed >= effort.min_seconds:
            break
        if len(durations) >= effort.few_queries and passed >= effort.max_seconds:
            break
    return Timing(tuple(durations), 1, driver=f"frames at {frame_rate_hz:g} Hz")


def _enough(queries: int, seconds: float, effort: Effort) -> bool:
    if queries >= effort.min_queries and seconds >= effort.min_seconds:
        return True
    return queries >= effort.few_queries and seconds >= effort.max_seconds
