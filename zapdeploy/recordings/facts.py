"""What a recording is, a line for each fact, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.recordings.conditions import Split, frames_needed
from zapdeploy.recordings.processing import DOUBTED_AXES
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.zapbench import HORIZON

MOST_FRAMES, MOST_NEURONS = 20_000, 5_000  # that statistics are taken from, evenly thinned
CONTEXT = 16
JITTER = 0.05  # share of the frame interval above which is warned
SATURATED = 0.01  # share of a neuron's frames at its own highest value above which is warned
STUCK = 0.99  # share of a neuron's frames at one value above which it is dead
LISTED = 8


@dataclass(frozen=True)
class Facts:
    """lines: (what, value) in words. warnings: sentences. numbers: the same for a program."""

    lines: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    numbers: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {**self.numbers, "warnings": list(self.warnings)}


def recording_facts(recording: Recording, context: int = CONTEXT, horizon: int = HORIZON) -> Facts:
    """All facts; statistics of long recordings are of evenly spread frames and neurons."""
    sample = sampled(recording)
    warnings = tuple(_warnings(recording, sample, context, horizon))
    low, first, middle, last, high = np.percentile(sample, (0, 1, 50, 99, 100)).tolist()
    numbers = {
        "recording": recording.description.as_json(),
        "conditions": [
            {"name": c.name, "blocks": [list(b) for b in c.blocks], "held_out": c.held_out}
            for c in recording.conditions
        ],
        "values": {"min": low, "p1": first, "median": middle, "p99": last, "max": high},
        "windows": _windows(recording, context, horizon),
        "context": context,
        "horizon": horizon,
    }
    return Facts(tuple(_lines(recording, numbers)), warnings, numbers)


def sampled(
    recording: Recording, frames: int = MOST_FRAMES, neurons: int = MOST_NEURONS
) -> NDArray[np.float32]:
    """[frames, neurons], evenly thinned where there are more."""
    every_frame = max(1, -(-recording.frames // frames))
    every_neuron = max(1, -(-recording.neurons // neurons))
    return np.asarray(recording.traces[::every_frame, ::every_neuron])


def _lines(recording: Recording, numbers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    known, values = recording.description, numbers["values"]
    yield "source", known.source
    yield "format", f"{known.format}{known.array and ', '}{known.array}"
    yield "size", f"{recording.frames:,} frames of {recording.neurons:,} neurons"
    rate = known.frame_rate_hz
    if rate is None:
        yield "frame rate", "unknown; give --frame-rate HZ"
    else:
        yield "frame rate", f"{rate:.6g} Hz (a frame every {1000 / rate:.6g} ms)"
        yield "duration", f"{recording.frames / rate / 60:.4g} minutes"
    if known.interval_jitter is not None:
        yield "jitter", f"{known.interval_jitter:.2%} of the frame interval (standard deviation)"
        yield "gaps", _gaps(known.gaps)
    yield "unit", known.unit
    yield (
        "values",
        f"{values['min']:.4g} to {values['max']:.4g}; 1 % {values['p1']:.4g}, median "
        f"{values['median']:.4g}, 99 % {values['p99']:.4g}",
    )
    for step in known.processing:
        yield "done", step
    yield "neurons", _identities(recording)
    if known.covariates:
        yield "covariates", _listed(known.covariates)
    for condition in recording.conditions:
        held = ", held out" if condition.held_out else ""
        pieces = len(condition.blocks)
        broken = f" in {pieces} blocks" if pieces > 1 else ""
        yield "condition", f"{condition.name}: {condition.frames:,} frames{broken}{held}"
    windows = numbers["windows"]
    yield (
        "windows",
        f"{windows['train']:,} to train on, {windows['validation']:,} to validate, "
        f"{windows['test']:,} to test (context {numbers['context']}, horizon "
        f"{numbers['horizon']})",
    )


def _warnings(
    recording: Recording, sample: NDArray[np.float32], context: int, horizon: int
) -> Iterator[str]:
    known = recording.description
    if known.frame_rate_hz is None:
        yield "the frame rate is unknown: deadlines and energy need it (--frame-rate HZ)"
    if known.interval_jitter is not None and known.interval_jitter > JITTER:
        yield f"frame intervals vary by {known.interval_jitter:.1%}: a forecaster assumes one rate"
    if known.gaps:
        yield f"{len(known.gaps)} gaps: no window reaches over one"
    yield from (s for s in known.processing if "not finite" in s or s.startswith(DOUBTED_AXES))
    highest, lowest = sample.max(axis=0), sample.min(axis=0)
    most = np.maximum((sample == highest).mean(axis=0), (sample == lowest).mean(axis=0))
    dead = (highest == lowest) | (most > STUCK)
    if dead.any():
        yield f"{_share(dead, recording)} dead: one value in over {STUCK:.0%} of the frames"
    full = ((sample == highest).mean(axis=0) > SATURATED) & ~dead & (highest != 0)
    if full.any():
        yield f"{_share(full, recording)} saturated: over {SATURATED:.0%} of frames at the maximum"
    longest = max(condition.frames for condition in recording.conditions)
    if not recording.is_zapbench and longest < (needed := frames_needed(context, horizon)):
        yield (
            f"few frames: a context of {context} and a horizon of {horizon} need {needed} in a "
            f"condition, and the longest has {longest}; take smaller ones"
        )
    elif recording.frames < 10 * (context + horizon):
        yield f"few frames: {recording.frames}, ten times a window's {context + horizon} or less"


def _share(which: NDArray[np.bool_], recording: Recording) -> str:
    count, of = int(which.sum()), which.size
    part = "" if of == recording.neurons else " looked at"
    return f"{count} of {of:,} neurons{part} {'is' if count == 1 else 'are'}"


def _windows(recording: Recording, context: int, horizon: int) -> dict[str, int]:
    return {
        split.value: sum(
            len(c.window_starts(split, context, horizon)) for c in recording.conditions
        )
        for split in Split
    }


def _gaps(gaps: tuple[int, ...]) -> str:
    if not gaps:
        return "none"
    return f"{len(gaps)}, before frames {_listed(tuple(map(str, gaps)))}"


def _identities(recording: Recording) -> str:
    known = recording.description
    ids = known.neuron_ids
    named = "numbered in order" if ids is None else f"ids {_listed(ids)}"
    placed = f", positions in {known.position_unit}" if known.positions else ""
    return f"{named}{placed}"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
