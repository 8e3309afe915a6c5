"""What a layer waited for: the chain of reasons back from its last result, cycles by cause.

Every slab and block knows what kept it from starting earlier. Followed backwards, these make one
path through cores, units and networks, whose pieces add up to the layer's time exactly.
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
        ends = layer.trace.block_end.max(axis=1) + layer.work.after
        self.core = int(ends.argmax())
        self.index = int(layer.trace.block_end[self.core].argmax())

    def follow(self) -> None:
        """Explain every cycle back to the layer's start."""
        step: _Step | None = self._block_end
        while step is not None:
            step = step()

    def _explain(self, cause: str, since: int) -> None:
        """The cycles from `since` to what is explained already."""
        since = max(since, self.layer.start)
        if since < self.now:
            self.found[cause] += self.now - since
            self.now = since

    def _block_end(self) -> _Step | None:
        trace, k, n = self.trace, self.core, self.index
        self._explain("latency", int(trace.block_end[k, n]))
        cause = int(trace.end_cause[k, n])
        if cause == machine.MATRIX:
            self.index = int(trace.block_last[k, n])
            return self._slab_end
        if cause == machine.PARTIAL_SUMS:
            self._explain(
                "partial_sum_network", int(trace.block_end[k, n] - self.layer.work.way[k])
            )
            self.core = int(self.layer.work.other[k])
            return self._block_end
        self._explain(_UNITS[cause], int(trace.block_start[k, n]))
        return self._block_start

    def _block_start(self) -> _Step | None:
        trace, k, n = self.trace, self.core, self.index
        cause = int(trace.start_cause[k, n])
        if cause == machine.BLOCK:
            self.index = n - 1
            return self._block_end
        if cause == machine.MATRIX:
            self.index = int(trace.block_first[k, n])
            self._explain("latency", int(trace.slab_start[k, self.index]))
            return self._slab_start
        if cause == machine.PARTIAL_SUMS:
            way = int(self.layer.work.way[k])
            self._explain("partial_sum_network", int(trace.block_start[k, n]) - way)
            self.core = int(self.layer.work.other[k])
            return self._block_start
        self._explain("activation_network" if cause == machine.OPERANDS else "model_network", 0)
        return None

    def _slab_end(self) -> _Step | None:
        trace, k, s = self.trace, self.core, self.index
        self._explain("latency", int(trace.slab_end[k, s]))
        self._explain("memory_port", int(trace.slab_end[k, s] - trace.slab_stretch[k, s]))
        self._explain("matrix", int(trace.slab_start[k, s]))
        return self._slab_start

    def _slab_start(self) -> _Step | None:
        trace, k, s = self.trace, self.core, self.index
        cause = int(trace.slab_cause[k, s])
        if cause == machine.ACCUMULATORS:
            self.index = int(np.searchsorted(trace.block_last[k, : self._blocks(k)], s)) - 1
            return self._inside_block
        if cause == machine.WEIGHTS:
            self.core, self.index = int(trace.slab_from[k, s]), s - 1
            if self.core < 0 or s == 0:
                self._explain("model_network", 0)
                return None
            self._explain("model_network", int(trace.slab_start[self.core, s - 1]))
            return self._slab_start
        if cause == machine.OWN_WEIGHTS and s:
            self.index = s - 1
            self._explain("memory_port", int(trace.slab_start[k, s - 1]))
            return self._slab_start
        if cause == machine.MATRIX:
            self.index = s - 1
            return self._slab_end
        names = {machine.INPUTS: "activation_network", machine.OWN_WEIGHTS: "memory_port"}
        self._explain(names.get(cause, "start"), 0)
        return None

    def _inside_block(self) -> _Step | None:
        """Accumulators are overwritten while the block's rest drains: its units set the pace."""
        trace, k, n = self.trace, self.core, self.index
        cause = int(trace.end_cause[k, n])
        name = _UNITS.get(cause, "matrix" if cause == machine.MATRIX else "partial_sum_network")
        if trace.block_start[k, n] > self.now:  # the units were waiting for something themselves
            return self._block_start
        self._explain(name, int(trace.block_start[k, n]))
        return self._block_start

    def _blocks(self, core: int) -> int:
        return int(self.layer.work.blocks[:, core].sum() * self.layer.work.chunks)
