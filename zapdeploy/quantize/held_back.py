"""Samples that no choice is made on, to judge the quantized network by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Arrays
from zapdeploy.errors import DataError
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.samples import input_shapes, run_counts, take_runs

FEWEST = 8  # under so many none is spared
SHARE = 4  # one in so many
MOST = 16


@dataclass(frozen=True)
class Split:
    """Samples to choose scales on, and to judge on; where there are few these are the same."""

    fitted: Arrays
    judged: Arrays
    held_back: bool


def _places(runs: int) -> NDArray[np.int64]:
    """Which of so many samples are held back."""
    count = min(runs // SHARE, MOST)
    step = runs / count
    return (np.arange(count) * step + step / 2).astype(np.int64)


def take_beside(network: Network, samples: Arrays, beside: Arrays) -> dict[str, NDArray[Any]]:
    """Of arrays that came with the samples, such as labels, those of the samples held back.

    Raises DataError unless they have an entry for each sample.
    """
    runs = max(run_counts(network, samples).values(), default=1)
    for name, values in beside.items():
        if values.ndim == 0 or len(values) % runs:
            raise DataError(
                f"array '{name}' must have an entry for each of {runs} samples, not shape "
                f"{list(values.shape)}; leave it out or cut it"
            )
    if runs < FEWEST:
        return dict(beside)
    places = _places(runs)
    grouped = {n: v.reshape(runs, len(v) // runs, *v.shape[1:])[places] for n, v in beside.items()}
    return {name: values.reshape(-1, *values.shape[2:]) for name, values in grouped.items()}


def hold_back(network: Network, samples: Arrays) -> Split:
    """One sample in four, 16 at most, evenly spread, out of 8 or more."""
    runs = max(run_counts(network, samples).values(), default=1)
    if runs < FEWEST:
        return Split(samples, samples, False)
    judged = _places(runs)
    fitted = np.setdiff1d(np.arange(runs), judged)
    shapes = input_shapes(network)
    return Split(
        {name: take_runs(values, shapes[name], runs, fitted) for name, values in samples.items()},
        {name: take_runs(values, shapes[name], runs, judged) for name, values in samples.items()},
        True,
    )
