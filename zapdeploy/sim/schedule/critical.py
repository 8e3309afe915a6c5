"""What a layer waited for: the chain of reasons back from its last result, cycles by cause.

Every tile pass and output tile knows what kept it from starting earlier. Followed backwards, these
make one path through cores, units and networks, whose pieces add up to the layer's time exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from zapdeploy.sim.schedule import machine
from zapdeploy.sim.schedule.layer import LayerSchedule

_Step = Callable[[], Any]  # the next step, None at the layer's start
_UNITS = {
    machine.VECTOR: "vector",
    machine.ACTIVATION: "activation",
    machine.PORT: "memory_port",
    machine.SENDING: "partial_sum_network",
}


def critical_path(layer: LayerSchedule) -> dict[str, int]:
    """Cycles by cause; they add up to the layer's cycles.

    Units and networks by name; "start": switching programs, and waiting for the program;
    "latency": depths of the units that nothing hides.
    """
    found = Counter({"start": layer.start - layer.begin})
    if layer.end > layer.start:
        _Path(layer, found).follow()
    return {cause: cycles for cause, cycles in found.items() if cycles}


class _Path:
    """A walk backwards; `now` is the cycle that has been explained down to."""

    def __init__(self, layer: LayerSchedule, found: Counter[str]) -> None:
        self.layer, self.trace, self.found = layer, layer.trace, found
        self.now = layer.end
        ends = layer.trace.output_tile_end.max(axis=1) + layer.work.after
        self.core = int(ends.argmax())
        self.index = int(layer.trace.output_tile_end[self.core].argmax())

    def follow(self) -> None:
        """Explain every cycle back to the layer's start."""
        step: _Step | None = self._output_tile_end
        while step is not None:
            step = step()

    def _explain(self, cause: str, since: int) -> None:
        """The cycles from `since` to what is explained already."""
        since = max(since, self.layer.start)
        if since < self.now:
            self.found[cause] += self.now - since
            self.now = since

    def _output_tile_end(self) -> _Step | None:
        trace, k, n = self.trace, self.core, self.index
        self._explain("latency", int(trace.output_tile_end[k, n]))
        cause = int(trace.end_cause[k, n])
        if cause == machine.MATRIX:
            self.index = int(trace.output_tile_last[k, n])
            return self._tile_pass_end
        if cause == machine.PARTIAL_SUMS:
            self._explain(
                "partial_sum_network", int(trace.output_tile_end[k, n] - self.layer.work.way[k])
            )
            self.core = int(self.layer.work.other[k])
            return self._output_tile_end
        self._explain(_UNITS[cause], int(trace.output_tile_start[k, n]))
        return self._output_tile_start

    def _output_tile_start(self) -> _Step | None:
        trace, k, n = self.trace, self.core, self.index
        cause = int(trace.start_cause[k, n])
        if cause == machine.OUTPUT_TILE:
            self.index = n - 1
            return self._output_tile_end
        if cause == machine.MATRIX:
            self.index = int(trace.output_tile_first[k, n])
            self._explain("latency", int(trace.tile_pass_start[k, self.index]))
            return self._tile_pass_start
        if cause == machine.PARTIAL_SUMS:
            way = int(self.layer.work.way[k])
            self._explain("partial_sum_network", int(trace.output_tile_start[k, n]) - way)
            self.core = int(self.layer.work.other[k])
            return self._output_tile_start
        self._explain("activation_network" if cause == machine.OPERANDS else "model_network", 0)
        return None

    def _tile_pass_end(self) -> _Step | None:
        trace, k, s = self.trace, self.core, self.index
        self._explain("latency", int(trace.tile_pass_end[k, s]))
        self._explain("memory_port", int(trace.tile_pass_end[k, s] - trace.tile_pass_stretch[k, s]))
        self._explain("matrix", int(trace.tile_pass_start[k, s]))
        return self._tile_pass_start

    def _tile_pass_start(self) -> _Step | None:
        trace, k, s = self.trace, self.core, self.index
        cause = int(trace.tile_pass_cause[k, s])
        if cause == machine.ACCUMULATORS:
            self.index = (
                int(np.searchsorted(trace.output_tile_last[k, : self._output_tiles(k)], s)) - 1
            )
            return self._inside_output_tile
        if cause == machine.WEIGHTS:
            self.core, self.index = int(trace.tile_pass_from[k, s]), s - 1
            if self.core < 0 or s == 0:
                self._explain("model_network", 0)
                return None
            self._explain("model_network", int(trace.tile_pass_start[self.core, s - 1]))
            return self._tile_pass_start
        if cause == machine.OWN_WEIGHTS and s:
            self.index = s - 1
            self._explain("memory_port", int(trace.tile_pass_start[k, s - 1]))
            return self._tile_pass_start
        if cause == machine.MATRIX:
            self.index = s - 1
            return self._tile_pass_end
        names = {machine.INPUTS: "activation_network", machine.OWN_WEIGHTS: "memory_port"}
        self._explain(names.get(cause, "start"), 0)
        return None

    def _inside_output_tile(self) -> _Step | None:
        """Accumulators are overwritten while the output tile's rest drains: its units set the
        pace."""
        trace, k, n = self.trace, self.core, self.index
        cause = int(trace.end_cause[k, n])
        name = _UNITS.get(cause, "matrix" if cause == machine.MATRIX else "partial_sum_network")
        if (
            trace.output_tile_start[k, n] > self.now
        ):  # the units were waiting for something themselves
            return self._output_tile_start
        self._explain(name, int(trace.output_tile_start[k, n]))
        return self._output_tile_start

    def _output_tiles(self, core: int) -> int:
        return int(self.layer.work.output_tiles[:, core].sum() * self.layer.work.accumulator_tiles)
