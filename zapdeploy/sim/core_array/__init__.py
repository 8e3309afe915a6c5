"""The functional simulator, core by core: every core computes from its own memory alone.

`lower(program)` says what is stored, sent and computed where; nothing else is known here. Arrays
have a first axis that runs over the cores.

    packing.py     elements at their true width in bytes
    memory.py      one memory per core, every byte of which knows whose it is
    copying.py     boxes of tensors between flat buffers (compiled)
    tiles.py       the box of a tensor that each core has
    deliveries.py  activations: sent, received, put together
    parameters.py  slices: loaded in parts, sent to who needs them
    local.py       a call as a core sees it, for all cores with equally large tiles at once
    matrix.py      exact sums of products, partial sums, requantization
    moves.py       data that changes place
    observing.py   what is shown to who looks on: the counters of `sim/activity/`
    layer.py       one layer: fetch, compute, store
    run.py         a Program
    agreement.py   a pipeline of Programs, against the graph evaluated whole
"""

from zapdeploy.sim.core_array.agreement import Agreement, agreement, core_by_core
from zapdeploy.sim.core_array.run import CoreArray

__all__ = ["Agreement", "CoreArray", "agreement", "core_by_core"]
