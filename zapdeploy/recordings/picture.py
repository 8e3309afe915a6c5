"""A recording as a picture: raster sorted by similarity, mean, frame intervals, spectrum."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.recordings.extras import need
from zapdeploy.recordings.facts import sampled
from zapdeploy.recordings.recording import Recording

DRAWN_FRAMES, DRAWN_NEURONS = 4_000, 800
SPECTRUM_NEURONS, SPECTRUM_FRAMES = 400, 2**16
COLOUR = "#2b5c8a"


def draw_recording(recording: Recording) -> bytes:
    """A PNG of 1600 by 1100 pixels."""
    need("matplotlib", recording.source)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 11), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, height_ratios=(3, 1, 1.4))
    raster = figure.add_subplot(grid[0, :])
    _raster(raster, recording)
    _mean(figure.add_subplot(grid[1, :], sharex=raster), recording)
    _intervals(figure.add_subplot(grid[2, 0]), recording)
    _spectrum(figure.add_subplot(grid[2, 1]), recording)
    figure.suptitle(
        f"{recording.source}: {recording.frames:,} frames, {recording.neurons:,} neurons"
    )
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100)
    return target.getvalue()


def by_similarity(traces: NDArray[np.float32]) -> NDArray[np.intp]:
    """Neurons [frames, neurons] in the order of an average-linkage tree of their correlations, with
    its leaves turned so that neighbours are alike (Bar-Joseph et al. 2001).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    count = traces.shape[1]
    if count < 3:
        return np.arange(count)
    centred = traces - traces.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(norm > 0, norm, 1)
    distance = np.clip(1 - unit.T.astype(np.float64) @ unit, 0, 2)
    np.fill_diagonal(distance, 0)
    flat = squareform((distance + distance.T) / 2, checks=False)
    tree = linkage(flat, "average")
    return np.asarray(leaves_list(optimal_leaf_ordering(tree, flat)))


def _raster(axes: Any, recording: Recording) -> None:
    traces = sampled(recording, DRAWN_FRAMES, DRAWN_NEURONS)
    low, high = np.percentile(traces, (1, 99), axis=0)
    shown = (traces - low) / np.where(high > low, high - low, 1)
    order = by_similarity(traces)
    axes.imshow(
        shown[:, order].T,
        aspect="auto",
        cmap="gray_r",
        vmin=0,
        vmax=1,
        extent=(0, _length(recording), traces.shape[1], 0),
        interpolation="nearest",
    )
    part = "" if traces.shape[1] == recording.neurons else f" ({traces.shape[1]} of them)"
    axes.set_ylabel(f"neurons by similarity{part}")
    for condition in recording.conditions[:40]:
        if len(recording.conditions) > 1:
            start = condition.blocks[0][0] * _length(recording) / recording.frames
            axes.axvline(start, color=COLOUR, linewidth=0.8)
            axes.text(start, 0, f" {condition.name}", color=COLOUR, va="bottom", fontsize=8)


def _mean(axes: Any, recording: Recording) -> None:
    traces = sampled(recording, DRAWN_FRAMES)
    x = np.linspace(0, _length(recording), len(traces), endpoint=False)
    axes.plot(x, traces.mean(axis=1), color=COLOUR, linewidth=0.8)
    axes.set_ylabel(f"mean ({recording.unit})")
    axes.set_xlabel("frame" if recording.frame_rate_hz is None else "seconds")


def _intervals(axes: Any, recording: Recording) -> None:
    known = recording.description
    axes.set_title("frame intervals")
    if recording.intervals_s is None:
        rate = known.frame_rate_hz
        said = "unknown" if rate is None else f"a frame every {1000 / rate:.5g} ms, as stated"
        axes.text(0.5, 0.5, f"the file has no times of frames\n{said}", ha="center", va="center")
        axes.set_axis_off()
        return
    axes.hist(1000 * recording.intervals_s, bins=80, color=COLOUR, log=True)
    axes.set_xlabel("ms")
    axes.set_ylabel("frames")


def _spectrum(axes: Any, recording: Recording) -> None:
    from scipy.signal import welch

    rate = recording.frame_rate_hz or 1.0
    every = max(1, -(-recording.neurons // SPECTRUM_NEURONS))
    traces = np.asarray(recording.traces[:SPECTRUM_FRAMES, ::every])
    frequency, power = welch(traces, fs=rate, nperseg=min(1024, len(traces)), axis=0)
    low, middle, high = np.percentile(power, (25, 50, 75), axis=1)
    axes.fill_between(frequency[1:], low[1:], high[1:], color=COLOUR, alpha=0.2, linewidth=0)
    axes.plot(frequency[1:], middle[1:], color=COLOUR)
    axes.set_xscale("log")
    if middle[1:].max() > 0:
        axes.set_yscale("log")
    axes.set_title("power spectrum: median of neurons, and the middle half")
    axes.set_xlabel("Hz" if recording.frame_rate_hz else "cycles per frame")


def _length(recording: Recording) -> float:
    """The time axis' end, in seconds or frames."""
    return recording.frames / (recording.frame_rate_hz or 1.0)
