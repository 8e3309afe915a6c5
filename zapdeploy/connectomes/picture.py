"""A connectome as a picture: degrees, distances, and the matrix before and after ordering."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.facts import ConnectomeFacts, distances
from zapdeploy.connectomes.ordering import BLOCK, blocks_of_cores
from zapdeploy.extras import load

PIXELS = 400  # of a matrix, along a side
COLOUR, SECOND = "#2b5c8a", "#c8553d"
CORES = 16  # lines where the rows of a quarter, an eighth, ... of a chip's cores begin


def draw_connectome(facts: ConnectomeFacts) -> bytes:
    """A PNG of 1800 by 1000 pixels."""
    load("matplotlib", "connectomes", "draw a connectome")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known, found = facts.connectome, facts.ordering
    figure = Figure(figsize=(18, 10), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3, height_ratios=(1, 2))
    _degrees(axes[0, 0], known)
    _distance(axes[0, 1], known)
    _cores(axes[0, 2], facts)
    pictures = (
        ("as given", np.arange(known.neurons), facts.before.share),
        (f"gathered in blocks ({found.method})", found.gathered, facts.after.share),
        ("spread over cores", found.order, facts.after.share),
    )
    for each, (title, order, share) in zip(axes[1], pictures, strict=True):
        _matrix(each, density(known, order), known.neurons)
        each.set_title(f"{title}: {share:.1%} of the blocks hold an edge")
    figure.suptitle(f"{known.source}: {known.neurons:,} neurons, {known.edges:,} edges")
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100)
    return target.getvalue()


def density(connectome: Connectome, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the pairs under each pixel that have an edge [post, pre], neurons in an order."""
    side = min(PIXELS, connectome.neurons)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    pixel = place * side // order.size
    flat = pixel[connectome.post] * side + pixel[connectome.pre]
    width = np.bincount(pixel, minlength=side)
    found = np.bincount(flat, minlength=side * side).reshape(side, side)
    return np.asarray(found / (width[:, None] * width))


def _degrees(axes: Any, known: Connectome) -> None:
    most = max(int(known.in_degrees.max()), int(known.out_degrees.max()), 1)
    bins = np.unique(np.geomspace(1, most + 1, 40).astype(np.int64))
    for degrees, name, colour in (
        (known.in_degrees, "inputs", COLOUR),
        (known.out_degrees, "outputs", SECOND),
    ):
        axes.hist(degrees, bins=bins, histtype="step", label=name, color=colour, linewidth=1.5)
    axes.set_xscale("log")
    axes.set_xlabel("neurons at the other end")
    axes.set_ylabel("neurons")
    axes.legend(frameon=False)


def _distance(axes: Any, known: Connectome) -> None:
    found = distances(known)
    if found is None or not np.isfinite(found).any():
        axes.text(0.5, 0.5, "positions are unknown", ha="center", va="center")
        axes.set_axis_off()
        return
    axes.hist(found[np.isfinite(found)], bins=80, color=COLOUR)
    axes.set_xlabel("length of an edge, in the unit of the positions")
    axes.set_ylabel("edges")


def _cores(axes: Any, facts: ConnectomeFacts) -> None:
    """Blocks of every core, from the fullest on: the fullest says how large a network fits."""
    for name, order, colour in (
        ("gathered", facts.ordering.gathered, SECOND),
        ("spread", facts.ordering.order, COLOUR),
    ):
        held = np.sort(blocks_of_cores(facts.connectome, order))[::-1]
        axes.plot(np.arange(1, held.size + 1), held, label=name, color=colour, linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("cores, the fullest first")
    axes.set_ylabel(f"blocks of {BLOCK} x {BLOCK}")
    axes.legend(frameon=False)


def _matrix(axes: Any, shown: NDArray[np.float64], neurons: int) -> None:
    axes.imshow(
        np.sqrt(shown), cmap="gray_r", extent=(0, neurons, neurons, 0), interpolation="nearest"
    )
    for core in range(1, CORES):
        axes.axhline(core * neurons / CORES, color=COLOUR, linewidth=0.4, alpha=0.6)
    axes.set_xlabel("sends; lines: rows of one sixteenth of the cores")
    axes.set_ylabel("receives")
