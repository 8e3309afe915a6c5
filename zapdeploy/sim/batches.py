"""Inputs of several batches, one batch at a time, and their outputs together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import named
from zapdeploy.compile.graph import Graph


def in_batches(graph: Graph, arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    """Inputs that hold several batches along their first dimension, one by one.

    Arrays that are not a whole number of batches are left as they are, for the graph to refuse.
    State is what the first batch begins with.
    """
    state = {name: arrays[name] for name, _ in graph.state if name in arrays}
    arrays = named(arrays, [name for name in graph.inputs if name not in dict(graph.state)])
    arrays = {
        name: _in_float32(array) if name in graph.inputs else array
        for name, array in arrays.items()
    }
    arrays = {name: array for name, array in arrays.items() if name not in state}
    counts = {_batches(graph.values[n].shape, a) for n, a in arrays.items() if n in graph.inputs}
    number = counts.pop() if len(counts) == 1 else 1
    split = {name: np.split(array, number) for name, array in arrays.items()} if number > 1 else {}
    found = [
        {name: split[name][i] if split else array for name, array in arrays.items()}
        for i in range(number)
    ]
    return [{**found[0], **state}, *found[1:]]


def _in_float32(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers of another precision as the network reads them."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _batches(shape: tuple[int, ...], array: NDArray[Any]) -> int:
    whole = array.shape[1:] == shape[1:] and shape and array.shape[0] % shape[0] == 0
    return array.shape[0] // shape[0] if whole else 1


def joined(batches: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Outputs of several batches, one after the other along the first dimension."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
