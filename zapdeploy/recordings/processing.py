"""What is done to traces between file and forecaster: averaging, NaN, dF/F.

Whatever is done here can be done at the microscope too: no value depends on a later frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.errors import DataError
from zapdeploy.progress import Progress
from zapdeploy.recordings.conditions import Condition
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.source import (
    Computed,
    Covariates,
    Source,
    with_description,
    with_processing,
)

FRAMES_AT_ONCE = 256
NEURONS_AT_ONCE, PAGE_NEURONS, BLOCK_BYTES = 64, 1024, 2**28
SEEN_FRAMES, SEEN_NEURONS, LEAST_OF_AN_AXIS = 4096, 512, 8  # by which axes are judged
ALIKE, MORE_ALIKE = 0.2, 0.2  # correlation of neighbouring frames; of neighbouring neurons, beyond
DOUBTED_AXES = "axes doubtful"


def averaged(source: Source, count: int) -> Source:
    """The source with every `count` frames averaged to one; the rest at the end is dropped."""
    if count == 1:
        return source
    frames = source.frames // count
    if not frames:
        raise DataError(f"--average must be at most {source.frames} frames, not {count}")

    def read(rows: slice, columns: slice) -> NDArray[np.float32]:
        if source.neurons_first:
            wide = slice(columns.start * count, columns.stop * count)
            block = np.asarray(source.values[rows, wide], np.float32)
            return block.reshape(len(block), -1, count).mean(axis=2)
        block = np.asarray(source.values[rows.start * count : rows.stop * count, columns])
        return block.astype(np.float32).reshape(-1, count, block.shape[1]).mean(axis=1)

    known = source.description
    shape = (source.neurons, frames) if source.neurons_first else (frames, source.neurons)
    changed = replace(
        source,
        values=Computed(shape, read),
        covariates=None if source.covariates is None else _averaged(source.covariates, count),
        conditions=tuple(_shortened(condition, count, frames) for condition in source.conditions),
    )
    rate = known.frame_rate_hz
    changed = with_description(
        changed,
        frames=frames,
        frame_rate_hz=None if rate is None else rate / count,
        gaps=tuple(gap // count for gap in known.gaps),
    )
    return with_processing(changed, f"{count} frames averaged to one")


def repaired(traces: Floats, nan: str, where: str, columns: NDArray[np.int64]) -> tuple[str, ...]:
    """Refuse what is not finite, or put something in its place, in place; what was done."""
    bad = 0
    for start in range(0, len(traces), FRAMES_AT_ONCE):
        block = traces[start : start + FRAMES_AT_ONCE]
        found = ~np.isfinite(block)
        if not found.any():
            continue
        bad += int(found.sum())
        if nan == "refuse":
            frame, neuron = np.argwhere(found)[0].tolist()
            raise DataError(
                f"traces must be finite, not {block[frame, neuron]} (frame {start + frame}, neuron "
                f"{neuron}, {where}); repair them, or have them counted as 0: --nan-as-zero"
            )
        if nan == "zero":
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    if not bad:
        return ()
    if nan == "interpolate":
        _interpolate(traces, where, columns)
        return (f"{bad:,} values that were not finite took the last one before",)
    return (f"{bad:,} values that were not finite set to 0",)


def _interpolate(traces: Floats, where: str, columns: NDArray[np.int64]) -> None:
    """The last finite value before, which is known at the microscope; at the start the first."""
    for start, block in _neurons_in_blocks(traces):
        finite = np.isfinite(block)
        for row in np.flatnonzero(~finite.all(axis=1)):
            good = finite[row]
            if not good.any():
                raise DataError(
                    f"a neuron must have finite values, not none (neuron "
                    f"{int(columns[start + row])}, {where}); leave it out: --neuron-list FILE, or "
                    "set it to 0: --nan zero"
                )
            last = np.maximum.accumulate(np.where(good, np.arange(good.size), 0))
            last[: int(np.argmax(good))] = int(np.argmax(good))
            traces[:, start + row] = block[row, last]


def _neurons_in_blocks(traces: Floats) -> Iterator[tuple[int, Floats]]:
    """(first neuron, [neurons, frames]): copies of so many neurons that traces which are mapped
    from disk are read in whole pages.
    """
    step = max(NEURONS_AT_ONCE, min(PAGE_NEURONS, BLOCK_BYTES // (4 * len(traces))))
    for start in range(0, traces.shape[1], step):
        yield start, np.ascontiguousarray(traces[:, start : start + step].T)


def relative_to_baseline(
    traces: Floats, options: ReadOptions, rate_hz: float | None, where: str, progress: Progress
) -> tuple[str, ...]:
    """(F - F0) / F0 in place, F0 the running percentile of the seconds before; what was done."""
    if options.baseline is None:
        return ()
    from scipy.ndimage import percentile_filter

    if rate_hz is None:
        raise DataError(
            f"--dff must have a frame rate, and none is known ({where}); give --frame-rate HZ"
        )
    percentile, seconds = options.baseline
    size = max(2, min(round(seconds * rate_hz), len(traces)))
    for start, block in _neurons_in_blocks(traces):
        for row, trace in enumerate(block):
            # shifted to end at the frame itself: the window is the frames before and this one
            base = percentile_filter(
                trace, percentile, size=size, mode="nearest", origin=(size - 1) // 2
            )
            if base.min() <= 0:
                raise DataError(
                    f"the baseline must be above 0 for dF/F, not {base.min():.4g} (neuron "
                    f"{start + row}, {where}); the traces may be dF/F already: leave --dff out"
                )
            block[row] = (trace - base) / base
            if row % NEURONS_AT_ONCE == 0:
                progress("dF/F", start + row, traces.shape[1])
        traces[:, start : start + len(block)] = block.T
    return (
        f"dF/F = (F - F0) / F0, F0 the running {percentile:g}th percentile of the {seconds:g} s "
        "before",
    )


def _averaged(covariates: Covariates, count: int) -> Covariates:
    frames = len(covariates.values) // count
    values = covariates.values[: frames * count].reshape(frames, count, -1).mean(axis=1)
    return replace(covariates, values=values)


def _shortened(condition: Condition, count: int, frames: int) -> Condition:
    """Blocks of whole averaged frames."""
    blocks = tuple((-(-a // count), min(b // count, frames)) for a, b in condition.blocks)
    kept = tuple(block for block in blocks if block[1] > block[0])
    return replace(condition, blocks=kept)


def doubted_axes(traces: Floats) -> str | None:
    """What to say where the axes look swapped, in a sentence; None where they do not.

    Activity changes little from frame to frame, while neurons that are stored side by side need
    not be alike. Judged by the correlation of neighbours on either axis, over a part of the traces.
    """
    part = traces[:SEEN_FRAMES, :SEEN_NEURONS].astype(np.float64)
    if min(part.shape) < LEAST_OF_AN_AXIS:
        return None
    frames, neurons = _alike(part), _alike(part.T)
    if frames > ALIKE or neurons < frames + MORE_ALIKE:
        return None
    return (
        f"{DOUBTED_AXES}: neighbouring frames correlate with {frames:.2f}, neighbouring neurons "
        f"with {neurons:.2f}; give --axes if they are swapped"
    )


def _alike(values: NDArray[np.float64]) -> float:
    """The median over columns of the correlation of neighbouring rows."""
    centred = np.nan_to_num(values - values.mean(axis=0))
    variance = np.square(centred).sum(axis=0)
    found = (centred[1:] * centred[:-1]).sum(axis=0)[variance > 0] / variance[variance > 0]
    return float(np.median(found)) if found.size else 0.0
