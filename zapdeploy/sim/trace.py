"""A timeline that Perfetto and Chrome open: one process per chip, one track per unit.

The format is Chrome's trace event JSON: complete events ("X") with microseconds in `ts` and `dur`,
counters ("C") with `ts`. A scheduled chip also has counters for memory and links, layer by layer,
and on request the tile passes and output tiles of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zapdeploy.sim.flow import Flow, Passage
from zapdeploy.sim.timing import Timeline

if TYPE_CHECKING:
    from zapdeploy.sim.schedule.core_events import CoreEvent

_TRANSFERS = ("from host", "to host")


def chrome_trace(
    flow: Flow,
    chip: str,
    arrays: Sequence[dict[str, Any]] = (),
    cores: Sequence[Sequence[CoreEvent]] = (),
) -> dict[str, Any]:
    """One batch through all chips: transfers, layers, and how long each unit is busy in each.

    `arrays`: of scheduled chips (`ScheduledChip.array`); `cores`: what one core of each chip does
    in its first micro-batch.
    """
    events: list[dict[str, Any]] = []
    for pid, (timeline, passages) in enumerate(zip(flow.stages, flow.passages, strict=True)):
        units = sorted({unit for span in timeline.spans for unit in span.unit_cycles})
        tracks = ["layer", *units, *_TRANSFERS]
        name = chip if len(flow.stages) == 1 else f"{chip} {pid + 1}"
        events.append({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}})
        events += [
            {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": track}}
            for tid, track in enumerate(tracks)
        ]
        for number, passage in enumerate(passages, 1):
            events += [
                {"ph": "X", "pid": pid, "tid": tracks.index(track), **event}
                for track, event in (
                    *_layers(timeline, passage),
                    *_transfers(passage, f"micro-batch {number}"),
                )
            ]
        if arrays:
            events += [
                {"ph": "C", "pid": pid, **e} for e in _counters(arrays[pid], timeline, passages)
            ]
        if cores:
            events += _core(cores[pid], pid, len(tracks), timeline, passages[0])
    return {"displayTimeUnit": "ns", "traceEvents": events}


def _counters(
    array: dict[str, Any], timeline: Timeline, passages: Sequence[Passage]
) -> Iterator[dict[str, Any]]:
    """Memory in use, and how much of each layer the busiest link of every network is busy."""
    to_us = 1e6 / timeline.clock_hz
    for passage in passages:
        for layer in array["layers"]:
            ts = passage.started_s * 1e6 + layer["start_cycle"] * to_us
            memory = {"bytes": layer["live_bytes_per_core"]}
            yield {"name": "memory of a core", "ts": ts, "args": memory}
            for network, busy in layer["link_cycles"].items():
                share = max(map(max, busy)) / max(layer["cycles"], 1)
                name = f"busiest link, {network.replace('_', ' ')} network"
                yield {"name": name, "ts": ts, "args": {"busy share": round(min(share, 1.0), 4)}}
        end = passage.started_s * 1e6 + timeline.cycles * to_us
        yield {"name": "memory of a core", "ts": end, "args": {"bytes": 0}}


def _core(
    found: Sequence[CoreEvent], pid: int, first_track: int, timeline: Timeline, passage: Passage
) -> Iterator[dict[str, Any]]:
    """The events of one core on tracks of their own."""
    to_us, started_us = 1e6 / timeline.clock_hz, passage.started_s * 1e6
    tracks = list(dict.fromkeys(event.track for event in found))
    for tid, track in enumerate(tracks, first_track):
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": track}}
    for event in found:
        yield {
            "ph": "X",
            "pid": pid,
            "tid": first_track + tracks.index(event.track),
            "name": event.name,
            "ts": started_us + event.start * to_us,
            "dur": (event.end - event.start) * to_us,
            "args": {"cycles": event.end - event.start, "waited for": event.waited_for},
        }


def _layers(timeline: Timeline, passage: Passage) -> Iterator[tuple[str, dict[str, Any]]]:
    """Layers and their units, by track."""
    to_us, started_us = 1e6 / timeline.clock_hz, passage.started_s * 1e6
    for span in timeline.spans:
        for track, cycles in {"layer": span.end - span.start, **span.unit_cycles}.items():
            if cycles:
                yield (
                    track,
                    {
                        "name": span.layer,
                        "ts": started_us + span.start * to_us,
                        "dur": cycles * to_us,
                        "args": {"cycles": cycles, **(span.waits if track == "layer" else {})},
                    },
                )


def _transfers(passage: Passage, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Host transfers, by track."""
    spans = ((passage.arriving_s, passage.arrived_s), (passage.leaving_s, passage.left_s))
    for track, (start, end) in zip(_TRANSFERS, spans, strict=True):
        if end > start:
            yield track, {"name": name, "ts": start * 1e6, "dur": (end - start) * 1e6}
