"""How busy every core and link was, layer by layer and over time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.benchmarks.report.blocks import CoreMap, Section, Table, table
from zapdeploy.benchmarks.report.data import ReportData, Simulated
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW, label
from zapdeploy.benchmarks.report.words import percent
from zapdeploy.benchmarks.results.details import CoreLoad, Details

_KIB = 1024


def cores(data: ReportData) -> Section | None:
    simulated = [one for one in data.simulated if one.details.loads]
    if not simulated:
        return None
    text = (
        "From the schedule of every unit and link (simulated): the share of a layer's time that a "
        "unit of a core works, or that the busiest link which leaves a core is in use. Layer 0 is "
        "the whole batch. The slider moves with the arrow keys."
    )
    core_map = CoreMap(
        "cores-map",
        "Busy share of every core",
        tuple(_network(one) for one in simulated),
        tuple(_table(one) for one in simulated),
    )
    return Section("cores", "Cores", (text,), (core_map,))


def _network(one: Simulated) -> dict[str, Any]:
    """Heat maps in whole percent, as flat lists; the first is the whole batch."""
    loads, details = one.details.loads, one.details
    rows, columns = next(iter(loads[0].busy.values())).shape
    busy = {
        name: [_whole(loads, name), *(load.busy[name] for load in loads)] for name in loads[0].busy
    }
    most = max(load.live_bytes_per_core for load in loads)
    live = [most, *(load.live_bytes_per_core for load in loads)]
    limit = details.memory_limit_bytes / _KIB
    return {
        "name": one.name,
        "rows": rows,
        "columns": columns,
        "layers": ["whole batch", *(_layer_name(details, load) for load in loads)],
        "when": ["all layers", *(_when(details, load) for load in loads)],
        "memory": [
            f"{size / _KIB:.0f} of {limit:.0f} KiB of every core's memory in use" for size in live
        ],
        "busy": {
            name: [_percents(share, shares) for share in shares] for name, shares in busy.items()
        },
        "timeline": _timeline(details),
    }


def _whole(loads: tuple[CoreLoad, ...], name: str) -> NDArray[np.float64]:
    """Mean over all layers, each by its cycles [rows, columns]."""
    cycles = [load.cycles for load in loads]
    return np.average([load.busy[name] for load in loads], axis=0, weights=cycles)


def _percents(share: NDArray[np.float64], among: list[NDArray[np.float64]]) -> list[float]:
    """Whole percent, or tenths where all there is to compare with is small."""
    digits = 0 if max(float(one.max()) for one in among) >= 0.2 else 1
    rounded = np.round(100 * share.ravel(), digits)
    return [int(value) if digits == 0 else float(value) for value in rounded]


def _layer_name(details: Details, load: CoreLoad) -> str:
    several = any(one.chip for one in details.loads)
    return f"chip {load.chip}, {load.layer}" if several else load.layer


def _when(details: Details, load: CoreLoad) -> str:
    begin, end = (
        c / details.clock_hz * 1e6 for c in (load.start_cycle, load.start_cycle + load.cycles)
    )
    return f"{begin:.4g} to {end:.4g} µs"


def _timeline(details: Details) -> dict[str, Any]:
    """Mean busy share of each unit over the time of the first chip's layers, and memory in use."""
    loads = [load for load in details.loads if load.chip == 0]
    whose = "the" if len(loads) == len(details.loads) else "the first chip's"
    micros = 1e6 / details.clock_hz
    times = [load.start_cycle * micros for load in loads]
    times.append((loads[-1].start_cycle + loads[-1].cycles) * micros)
    traces = []
    for name in loads[0].busy:
        means = [round(100 * float(load.busy[name].mean()), 2) for load in loads]
        traces.append(_steps(times, means, name))
    memory = [100 * load.live_bytes_per_core / details.memory_limit_bytes for load in loads]
    traces.append(
        {**_steps(times, memory, "memory in use"), "line": {"shape": "hv", "dash": "dot"}}
    )
    layout = {
        "height": 420,
        "xaxis": {"title": {"text": "time (µs)"}},
        "yaxis": {"title": {"text": f"mean of {whose} cores (%)"}, "range": [0, 100]},
        "legend": LEGEND_BELOW,
    }
    return {"data": traces, "layout": layout}


def _steps(times: list[float], values: list[float], name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": times,
        "y": [*values, values[-1]],
        "line": {"shape": "hv", "width": 1.5},
        "hovertemplate": f"{label(name)}: %{{y:.3g}} % at %{{x:.4g}} µs<extra></extra>",
    }


def _table(one: Simulated) -> Table:
    names = list(one.details.loads[0].busy)
    columns = ("layer", "time", "memory per core", *(f"{name}, mean (max)" for name in names))
    rows = [
        (
            _layer_name(one.details, load),
            _when(one.details, load),
            f"{load.live_bytes_per_core / _KIB:.0f} KiB",
            *(f"{percent(load.busy[n].mean())} ({percent(load.busy[n].max())})" for n in names),
        )
        for load in one.details.loads
    ]
    return table(f"{one.name}: busy share by layer, as a table", columns, rows, folded=True)
