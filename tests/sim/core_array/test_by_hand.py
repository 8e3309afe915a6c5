"""Two layers on 2 x 2 cores, every byte of which can be followed on paper.

    x = | 1 2 |    w = | 10 1 |    bias = | 5 0 |    y = x w + bias = |  55  5 |
        | 3 4 |        | 20 2 |                                       | 115 11 |

    v = | 1 |      y v = |  65 |
        | 2 |            | 137 |

The first product is cut over rows and columns: core 0 makes 55, core 1 makes 5, core 2 makes 115,
core 3 makes 11. The second one is cut over its two input channels: core 0 multiplies the first
column of y, of which 115 comes from core 2, and passes (55, 115) on; core 1 multiplies the second,
of which 11 comes from core 3, adds and keeps the result. All scales are 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.compile.ops.build import UINT8, call, constant, graph, quantized
from tests.cuts import with_cuts
from tests.networks import compiled, mesh
from zapdeploy.compile.graph import INT32, Array, Graph, Quantization, Value
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.program.layer import Lowered, lower
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.memory_verifier import certify

X = np.array([[1, 2], [3, 4]], np.uint8)


def network() -> Graph:
    x = quantized("x", (2, 2), UINT8, 1.0)
    w = constant(quantized("w", (2, 2), scale=1.0), np.array([[10, 1], [20, 2]]))
    one = Quantization(np.ones(1), np.zeros(1), *INT32.limits)
    bias = Value("b", (2,), INT32, one, np.array([5, 0], np.int32))
    y = call("MatMul", [x, w, bias], quantized("y", (), UINT8, 1.0))
    v = constant(quantized("v", (2, 1), scale=1.0), np.array([[1], [2]]))
    z = call("MatMul", [y.output, v], quantized("z", (), UINT8, 1.0))
    calls = (replace(c, node=replace(c.node, name=n)) for c, n in ((y, "first"), (z, "second")))
    return graph(*calls)


def lowered() -> Lowered:
    program = compiled(network(), mesh(2, 2))
    layers = zip(group_layers(program.graph), ((2, 2, 1), (1, 1, 2)), strict=True)
    return lower(with_cuts(program, [Cuts(space_of(n), np.array([f]), 4) for n, f in layers]))


def in_memory(cores: CoreArray, kind: str, name: str) -> list[list[int]]:
    """The bytes of a buffer, core by core."""
    buffers = cores.lowered.program.memory.buffers
    (buffer,) = (b for b in buffers if (b.kind, b.name) == (kind, name))
    cells: Array = cores.memory.cells[0, :, buffer.address : buffer.address + buffer.size]
    return cells.tolist()


def test_what_lies_where() -> None:
    cores = CoreArray(lowered())
    # Weights are shared by cores 0 and 2 (10, 20, then 5 as int32), and by 1 and 3: three bytes
    # each.
    assert in_memory(cores, "parameters", "first") == [[10, 20, 5], [1, 2, 0], [0] * 3, [0] * 3]
    assert in_memory(cores, "parameters", "second") == [[1], [2], [0], [0]]
    seen: list[list[list[int]]] = []

    def look(done: int, total: int) -> None:
        """After each layer, at what it received: the next layer may use the place again."""
        seen.append(in_memory(cores, "received", ("first", "second")[done - 1]))

    outputs = cores.run({"x": X}, progress=look)
    assert outputs["z"].tolist() == [[65], [137]]
    assert seen[0] == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert [received[0] for received in seen[1][:2]] == [115, 11]
    assert in_memory(cores, "output", "first") == [[55], [5], [115], [11]]
    assert in_memory(cores, "output", "second")[1] == [65, 137]


def test_what_is_live() -> None:
    """Programs take 2 KiB. During the first layer core 0 also has 3 + 1 bytes of parameters, its
    row of x and 55; during the second, the parameters, 55 and 115. Core 1 also has the result."""
    found = certify(lowered())
    live = found.live_bytes - 2048
    assert live.tolist() == [[7, 7, 6, 6], [6, 8, 4, 4]]
    assert (found.peak_bytes - 2048).tolist() == [7, 8, 6, 6]
    assert found.fullest == ("second", 1)
    assert found.limit == 768 * 1024
