"""How far a scheduled rate, latency and power may be off: quantiles over the assumed numbers.

A schedule says of every cycle what it waited for. Cycles that waited for a unit or a network go
with one over its rate; so, to first order, one schedule gives the time of any chip that differs in
its assumed numbers. On top comes what the model itself is off by: throughput of chips compared by
hand came out within 25 %, which is taken as a log-normal factor whose 5th and 95th percentiles are
1 / 1.25 and 1.25. Published peak rates stand, so cycles of the matrix units keep their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.mapping.prices import LEVELS, SAMPLES, price_samples, spread_over
from zapdeploy.hardware_targets import Figure, Target
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.results import Result

INTERVAL = "90 %, over the assumed numbers to first order, and 25 % for the model"
_MODEL_ERROR = log(1.25) / 1.6448536


@dataclass(frozen=True)
class Spread:
    """Frames per second, seconds of a batch from host to host, watts, each with its interval."""

    frames_per_s: Estimate
    latency_s: Estimate
    power_w: Estimate


def spread(result: Result) -> Spread:
    """Of a result; several chips are off alike.

    An estimate does not say what its cycles waited for: a layer's are taken to be its busiest
    unit's.
    """
    target, timelines = result.pipeline.target, [stage.timeline for stage in result.stages]
    random = np.random.default_rng(20231019)
    slower = _slower(result, random)
    host = target.host
    link = 1 / _factor(host.bandwidth, random)
    transfer_s, launch_s = (
        _drawn(one, random) for one in (host.transfer_latency, host.launch_latency)
    )
    arrays_s = result.array_s * slower + result.host_s * link
    waits_s = len(timelines) * (2 * transfer_s + launch_s)
    busiest_s = max(timeline.array_s for timeline in timelines)
    longest_s = max(max(t.host_in_s, t.host_out_s) for t in timelines)
    interval_s = np.maximum(busiest_s * slower, longest_s * link)
    drawn = price_samples(target)
    events = drawn.totals(dict(vars(result.counts)))
    static_w = drawn.totals({"static": float(len(timelines))})
    return Spread(
        _estimate(result.throughput_fps, result.pipeline.micro_batch / interval_s),
        _estimate(result.latency_s, arrays_s + waits_s),
        _estimate(result.power_w.value, events / interval_s + static_w, Provenance.MODELLED),
    )


def _slower(result: Result, random: np.random.Generator) -> FloatArray:
    """Array times of the drawn chips over that of the stated one [samples]."""
    waits: dict[str, float] = {}
    for span in (span for stage in result.stages for span in stage.timeline.spans):
        for cause, found in (span.waits or {span.limiter: span.end - span.start}).items():
            waits[cause] = waits.get(cause, 0.0) + found
    total = sum(waits.values())
    figures, slower = _figures(result.pipeline.target), np.zeros(SAMPLES)
    for cause, cycles in waits.items():
        factor: Any = 1.0
        for figure, power in figures.get(cause, ()):
            factor = factor * _factor(figure, random) ** power
        slower = slower + cycles / total * factor
    clock = _factor(result.pipeline.target.array.clock, random)
    model = np.exp(_MODEL_ERROR * random.standard_normal(SAMPLES))
    return np.asarray(slower / clock * model, np.float64)


def _figures(target: Target) -> dict[str, tuple[tuple[Figure, int], ...]]:
    """What the cycles of each cause go with, and whether in proportion (1) or inversely (-1)."""
    core, networks = target.core, target.networks
    return {
        "vector": ((core.vector_unit.rate, -1),),
        "activation": ((core.activation_unit.rate, -1),),
        "memory_port": ((core.memory_port.width, -1),),
        "model_network": ((networks.model.width, -1),),
        "activation_network": ((networks.activation.width, -1),),
        "partial_sum_network": ((networks.partial_sum.width, -1),),
        "start": ((target.programs.start_latency, 1),),
        "latency": ((core.matrix_unit.latency, 1),),
    }


def _factor(figure: Figure, random: np.random.Generator) -> FloatArray:
    """Draws of a number over its stated value [samples]; 1 for one that is known."""
    if figure.kind != "assumed" or not figure.value:
        return np.ones(SAMPLES)
    return _drawn(figure, random) / figure.value


def _drawn(figure: Figure | None, random: np.random.Generator) -> FloatArray:
    if figure is None:
        return np.zeros(SAMPLES)
    place = random.standard_normal(SAMPLES)
    drawn = spread_over(place, figure.low, figure.value, figure.high)
    return np.maximum(drawn, 1e-3 * figure.value)


def _estimate(value: float, drawn: FloatArray, kind: Provenance = Provenance.SIMULATED) -> Estimate:
    low, high = np.quantile(drawn, LEVELS)
    return Estimate(value, float(low), float(high), kind, INTERVAL)
