"""A connectome as a picture: degrees, distances, and the matrix before and after ordering."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.facts import ConnectomeFacts, distances
from zapdeploy.extras import load

PIXELS = 400  # of a matrix, along a side
COLOUR, SECOND = "#2b5c8a", "#c8553d"
CORES = 16  # lines where the rows of a quarter, an eighth, ... of a chip's cores begin


def draw_connectome(facts: ConnectomeFacts) -> bytes:
    """A PNG of 1600 by 1100 pixels."""
    load("matplotlib", "connectomes", "draw a connectome")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = facts.connectome
    figure = Figure(figsize=(16, 11), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 6, height_ratios=(1, 2))
    _degrees(figure.add_subplot(grid[0, :3]), known)
    _distance(figure.add_subplot(grid[0, 3:]), known)
    every = np.arange(known.neurons)
    pictures = (
        ("as given", every, facts.before),
        (f"in the order of {facts.ordering.method}", facts.ordering.order, facts.after),
    )
    for place, (title, order, found) in enumerate(pictures):
        axes = figure.add_subplot(grid[1, 3 * place : 3 * place + 3])
        _matrix(axes, density(known, order), known.neurons)
        axes.set_title(f"{title}: {found.share:.1%} of the blocks hold an edge")
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


def _matrix(axes: Any, shown: NDArray[np.float64], neurons: int) -> None:
    axes.imshow(
        np.sqrt(shown), cmap="gray_r", extent=(0, neurons, neurons, 0), interpolation="nearest"
    )
    for core in range(1, CORES):
        axes.axhline(core * neurons / CORES, color=COLOUR, linewidth=0.4, alpha=0.6)
    axes.set_xlabel("sends; lines: rows of one sixteenth of the cores")
    axes.set_ylabel("receives")
