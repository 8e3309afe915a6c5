"""A timeline that Perfetto and Chrome open: one process per chip, one track per unit.

The format is Chrome's trace event JSON: complete events ("X") with microseconds in `ts` and `dur`.
"""

from __future__ import annotations

from typing import Any

from zapdeploy.sim.timing import Timeline


def chrome_trace(timeline: Timeline, chip: str) -> dict[str, Any]:
    """The layers of one batch, and below them how long each unit is busy in each."""
    units = sorted({unit for span in timeline.spans for unit in span.unit_cycles})
    tracks = ["layer", *units]
    to_us = 1e6 / timeline.clock_hz
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": chip}}
    ]
    events += [
        {"ph": "M", "pid": 0, "tid": i, "name": "thread_name", "args": {"name": track}}
        for i, track in enumerate(tracks)
    ]
    for span in timeline.spans:
        lengths = {"layer": span.end - span.start, **span.unit_cycles}
        events += [
            {
                "ph": "X",
                "pid": 0,
                "tid": tracks.index(track),
                "name": span.layer,
                "ts": span.start * to_us,
                "dur": cycles * to_us,
                "args": {"cycles": cycles},
            }
            for track, cycles in lengths.items()
            if cycles
        ]
    return {"displayTimeUnit": "ns", "traceEvents": events}
