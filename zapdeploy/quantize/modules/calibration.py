"""The values that quantizers will see, counted over the calibration inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from zapdeploy.errors import DataError
from zapdeploy.progress import Progress
from zapdeploy.quantize.modules.sites import Site
from zapdeploy.quantize.ranges import Histogram, count_values

Batch = tuple[Tensor, ...]


def batches(samples: tuple[Tensor, ...], size: int) -> Iterator[Batch]:
    """Samples [count, ...] of every input, `size` at a time."""
    for start in range(0, len(samples[0]), size):
        yield tuple(values[start : start + size] for values in samples)


class Watcher(fx.Interpreter):
    """Runs a graph and shows the values of some nodes."""

    def __init__(self, graph: fx.GraphModule, names: Iterable[str]) -> None:
        super().__init__(graph)
        self.names = frozenset(names)
        self.show: Callable[[str, Tensor], None] = lambda name, value: None

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.names and isinstance(value, Tensor):
            self.show(n.name, value)
        return value


def histograms(
    graph: fx.GraphModule,
    sites: tuple[Site, ...],
    samples: tuple[Tensor, ...],
    size: int,
    progress: Progress,
) -> dict[Site, Histogram]:
    """What each site's values were over all samples, in two runs: ranges, then counts."""
    watcher = Watcher(graph, (name for site in sites for name in site.values))
    ranges: dict[str, tuple[float, float]] = {}
    counts: dict[Site, np.ndarray[Any, np.dtype[np.int64]]] = {}
    sites_of: dict[str, list[Site]] = {}
    for site in sites:
        for name in site.values:
            sites_of.setdefault(name, []).append(site)

    def widen(name: str, value: Tensor) -> None:
        low, high = ranges.get(name, (np.inf, -np.inf))
        ranges[name] = (
            float(np.minimum(low, value.min().item())),
            float(np.maximum(high, value.max().item())),
        )

    def count(name: str, value: Tensor) -> None:
        for site in sites_of[name]:
            seen = count_values(value.detach().numpy(), *_range(site, ranges))
            counts[site] = counts[site] + seen if site in counts else seen

    steps = -(-len(samples[0]) // size)
    with torch.no_grad():
        for phase, show in enumerate((widen, count)):
            watcher.show = show
            for index, batch in enumerate(batches(samples, size)):
                watcher.run(*batch)
                progress("calibrate", phase * steps + index + 1, 2 * steps)
            _check_finite(ranges)
    return {site: Histogram(*_range(site, ranges), counts[site]) for site in sites}


def _range(site: Site, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*(ranges[name] for name in site.values), strict=True)
    return min(lows), max(highs)


def _check_finite(ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, bounds in ranges.items():
        if not np.isfinite(bounds).all():
            raise DataError(
                f"activations must be finite, not NaN or infinite (value {name!r}); "
                "check the calibration inputs and the weights"
            )
