"""Frames one after the other; what a network keeps on the chip goes from each to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Value

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def run_frames(
    graph: Graph, run: Run, frames: Iterable[Mapping[str, Array]]
) -> Iterator[dict[str, Array]]:
    """The outputs that the host gets for each frame: all but the state.

    `run` computes all outputs of the graph from all inputs. State that the first frame does not
    bring is zero; later frames find what the one before left.
    """
    state = first_state(graph)
    kept = {after for _, after in graph.state}
    for frame in frames:
        found = run({**state, **frame})
        state = {before: found[after] for before, after in graph.state}
        yield {name: array for name, array in found.items() if name not in kept}


def first_state(graph: Graph) -> dict[str, Array]:
    """Zero for every state, under its input's name."""
    return {before: _zero(graph.values[before]) for before, _ in graph.state}


def _zero(value: Value) -> Array:
    zero = 0 if value.quantization is None else value.quantization.zero_point[0]
    return np.full(value.shape, zero, value.element.numpy)
