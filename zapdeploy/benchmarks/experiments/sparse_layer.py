"""One layer at many densities: where does the sparse form pay, against the dense one and the bound?

Run: python -m zapdeploy.benchmarks.experiments.sparse_layer -o sparse.json --plot sparse.html

A product of N inputs and N outputs at int8, for a few positions. Of its blocks of 32 x 32 a share
is drawn at random to hold weights. The same numbers are compiled twice: as gathers of blocks and
grouped convolutions, of which the compiler makes one sparse product, and as one dense convolution.
Cycles are scheduled on northpole-sim, energy is modelled; the bound is the sparse layer's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from zapdeploy.api import compile_model, simulate
from zapdeploy.files import atomic_write
from zapdeploy.sim.schedule import schedule

BLOCK = 32
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MATRIX_OPERATORS = ("BlockSparse", "Conv")
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Row:
    """One density; cycles of the layer alone, joules of the whole network."""

    share: float
    sparse_cycles: int
    dense_cycles: int
    bound_cycles: int
    sparse_joules: float
    dense_joules: float


class _File:
    """A quantized product under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def quantized(self, real: str, scale: float) -> str:
        parameters = self.constant(np.float32(scale)), self.constant(np.uint8(128))
        codes = self.node("QuantizeLinear", real, *parameters)
        return self.node("DequantizeLinear", codes, *parameters)

    def weights(self, codes: Codes) -> str:
        scale = self.constant(np.full(len(codes), 2.0**-7, np.float32))
        zero = self.constant(np.zeros(len(codes), np.int8))
        return self.node("DequantizeLinear", self.constant(codes), scale, zero, axis=0)

    def save(self, path: Path, positions: int, size: int, output: str) -> Path:
        x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (positions, size))
        y = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, (positions, size, 1))
        graph = helper.make_graph(self.nodes, "layer", [x], [y], self.constants)
        opset = [helper.make_opsetid("", 21)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
        return path


def dense_file(codes: Codes, positions: int, path: Path) -> Path:
    """codes [outputs, inputs] as one convolution."""
    file = _File()
    x = file.quantized("x", 2.0**-5)
    flat = file.node("Reshape", x, file.constant(np.array([positions, -1, 1])))
    y = file.node("Conv", flat, file.weights(codes[..., None]))
    return file.save(path, positions, len(codes), file.quantized(y, 2.0**-3))


def sparse_file(codes: Codes, positions: int, path: Path) -> Path:
    """The same as a gather of blocks and a convolution in groups."""
    groups = len(codes) // BLOCK
    parts = codes.reshape(groups, BLOCK, groups, BLOCK)
    met = np.asarray(parts.any(axis=(1, 3)))
    most = max(int(met.sum(axis=1).max()), 1)
    blocks = np.zeros((groups, most), np.int64)
    own = np.zeros((groups, BLOCK, most, BLOCK), np.int8)
    for group, row in enumerate(met):
        there = np.flatnonzero(row)
        blocks[group, : there.size] = there
        own[group, :, : there.size] = parts[group][:, there]
    file = _File()
    x = file.quantized("x", 2.0**-5)
    x = file.node("Reshape", x, file.constant(np.array([positions, groups, BLOCK])))
    x = file.node("Gather", x, file.constant(blocks.reshape(-1)), axis=1)
    x = file.node("Reshape", x, file.constant(np.array([positions, -1, 1])))
    y = file.node("Conv", x, file.weights(own.reshape(len(codes), -1, 1)), group=groups)
    return file.save(path, positions, len(codes), file.quantized(y, 2.0**-3))


def measure(share: float, size: int, positions: int, seed: int = 0) -> Row:
    """One density."""
    random = np.random.default_rng(seed)
    groups = size // BLOCK
    met = random.random((groups, groups)) < share
    codes = random.integers(1, 100, (groups, BLOCK, groups, BLOCK), np.int8)
    codes = (codes * met[:, None, :, None]).reshape(size, size)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sparse = _timed(sparse_file(codes, positions, place / "sparse.onnx"))
        dense = _timed(dense_file(codes, positions, place / "dense.onnx"))
    return Row(share, sparse[0], dense[0], sparse[1], sparse[2], dense[2])


def _timed(path: Path) -> tuple[int, int, float]:
    """Scheduled cycles of the product, its bound, and the energy of a frame."""
    whole = compile_model(path, target="northpole-sim")
    (program,) = whole.stages
    layers = schedule(program).layers
    at = next(i for i, one in enumerate(program.layers) if one.op.startswith(MATRIX_OPERATORS))
    energy = simulate(whole).energy_per_frame
    return layers[at].cycles, program.layers[at].bound_cycles, float(energy.value)


def figure(rows: Sequence[Row]) -> Any:
    """Cycles and energy over the share of blocks."""
    from plotly import graph_objects, subplots

    made = subplots.make_subplots(1, 2, subplot_titles=("cycles of the layer", "mJ a frame"))
    share = [100 * row.share for row in rows]
    for name, place, values in (
        ("sparse", 1, [row.sparse_cycles for row in rows]),
        ("dense", 1, [row.dense_cycles for row in rows]),
        ("bound of the sparse one", 1, [row.bound_cycles for row in rows]),
        ("sparse, energy", 2, [1e3 * row.sparse_joules for row in rows]),
        ("dense, energy", 2, [1e3 * row.dense_joules for row in rows]),
    ):
        made.add_trace(graph_objects.Scatter(x=share, y=values, name=name), 1, place)
    made.update_xaxes(type="log", title="blocks with weights, %")
    made.update_yaxes(type="log")
    return made.update_layout(template="plotly_white")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--positions", type=int, default=4)
    chosen = parser.parse_args(arguments)
    rows = []
    for share in SHARES:
        rows.append(measure(share, chosen.size, chosen.positions))
        print(json.dumps(asdict(rows[-1])), flush=True)
    with atomic_write(chosen.output) as file:
        file.write(json.dumps([asdict(row) for row in rows], indent=2).encode())
    if chosen.plot is not None:
        figure(rows).write_html(chosen.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
