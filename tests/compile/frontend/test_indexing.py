"""Resize, Gather, Expand, Tile and blocks of channels, between quantizers, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.messages import message
from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.errors import DataError
from zapdeploy.sim.functional import run

BYTE = Kind(8, True, 2.0**-5, 3)


def ints(*values: int) -> Any:
    return np.asarray(values, np.int64)


def one(
    op: str, shape: tuple[int, ...], *more: Any, real_output: bool = False, **attributes: Any
) -> OnnxFile:
    """x (quantized), the operator with constants, the same quantizer (or none)."""
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", shape, BYTE).name
    inputs = [x, *("" if m is None else file.constant(m) for m in more)]
    real = file.node(op, inputs, "real", name="node", **attributes)
    file.output(real if real_output else writer.activation(real, BYTE).name)
    return file


def equal(folder: Path, file: OnnxFile, shape: tuple[int, ...], rounding: float = 0) -> Graph:
    """Import, and compare with ONNX Runtime; returns the graph."""
    graph = import_model(file.save(folder / "model.onnx")).graph
    inputs = {"x": np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)}
    expected = reference(file.model(), inputs)
    for name, array in run(graph, inputs).items():
        assert array.shape == expected[name].shape
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=rounding)
    return graph


@pytest.mark.parametrize(
    ("indices", "op"),
    [
        (ints(2, 0, 0, 3), "Take"),
        (ints(3, 1), "Slice"),
        (np.asarray([[0, 3], [-1, 2]]), "Take"),
        (np.asarray([[0, 1], [2, 3]]), "Slice"),
        (np.int64(-2), "Slice"),
        (ints(1, 1), "Take"),
    ],
)
@pytest.mark.parametrize("axis", [0, -1])
def test_gather_of_constant_indices_moves_codes(
    tmp_path: Path, indices: Any, op: str, axis: int
) -> None:
    file = one("Gather", (4, 3, 4), indices, axis=axis)
    graph = equal(tmp_path, file, (4, 3, 4))
    first, *between, last = [n.op for n in graph.nodes]
    assert (first, last) == ("Quantize", "Dequantize")
    assert op in between
    assert set(between) <= {op, "Reshape"}


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_embedding(tmp_path: Path, kind: Any) -> None:
    """A table of codes, and indices that are computed."""
    file = OnnxFile()
    writer = Writer(file)
    codes = np.random.default_rng(0).integers(-128, 128, (10, 6)).astype(np.int8)
    table = writer.dequantize(file.constant(codes), BYTE)
    number = {np.int64: 7, np.int32: 6}[kind]
    indices = file.input("indices", (2, 3), number)
    real = file.node("Gather", [table, indices], "real", name="node")
    file.output(writer.activation(real, BYTE).name)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert [n.op for n in graph.nodes] == ["Gather", "Dequantize"]
    inputs = {"indices": np.asarray([[0, 9, -1], [3, 3, -10]], kind)}
    (found,) = run(graph, inputs).values()
    np.testing.assert_array_equal(found, next(iter(reference(file.model(), inputs).values())))
    with pytest.raises(DataError) as caught:
        run(graph, {"indices": np.full((2, 3), 10, kind)})
    assert str(caught.value) == "indices must be in [-10, 10), not 10 to 10 (node 'node')"


@pytest.mark.parametrize(
    ("op", "more", "ops"),
    [
        ("Expand", [ints(2, 3, 4)], ["Reshape", "Tile"]),
        ("Expand", [ints(3, 4)], ["Tile"]),
        ("Expand", [ints(3, 1)], []),
        ("Expand", [ints(1, 3, 1)], ["Reshape"]),
        ("Tile", [ints(2, 3)], ["Tile"]),
        ("Tile", [ints(1, 1)], []),
    ],
)
def test_repetition(tmp_path: Path, op: str, more: list[Any], ops: list[str]) -> None:
    graph = equal(tmp_path, one(op, (3, 1), *more), (3, 1))
    assert [n.op for n in graph.nodes][1:-1] == ops


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_blocks_of_channels(tmp_path: Path, mode: str) -> None:
    shape = (2, 8, 3, 5)
    graph = equal(tmp_path, one("DepthToSpace", shape, blocksize=2, mode=mode), shape)
    assert [n.op for n in graph.nodes][1:-1] == ["Reshape", "Transpose", "Reshape"]
    equal(tmp_path, one("SpaceToDepth", (2, 2, 4, 6), blocksize=2), (2, 2, 4, 6))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (
            lambda: one("Resize", (1, 1, 4), None, np.float32([1, 1, 2]), mode="cubic"),
            "mode must be nearest or linear, not cubic",
        ),
        (
            lambda: one("Resize", (1, 1, 4), None, np.float32([1, 1, 0.5]), mode="linear",
                antialias=1),
            "antialias must be 0",
        ),
        (
            lambda: one("Resize", (1, 1, 4), None, np.float32([1, 1, 2]), mode="nearest",
                coordinate_transformation_mode="tf_crop_and_resize"),
            "coordinate_transformation_mode must be half_pixel or",
        ),
        (
            lambda: one("Resize", (1, 1, 4), None, np.float32([1, 2]), mode="nearest"),
            "scales or sizes must be 3 numbers, not 2 (node 'node')",
        ),
        (
            lambda: one("Resize", (1, 1, 4), None, np.float32([1, 1, 0.1]), mode="nearest"),
            "sizes must be at least 1, not [1, 1, 0] (node 'node')",
        ),
        (
            lambda: one("Gather", (4, 3), ints(4)),
            "indices must be less than 4, not [4] (node 'node')",
        ),
        (lambda: one("Gather", (4, 3), ints(0), axis=2), "axis must be in [-2, 2), not 2"),
        (lambda: one("Expand", (4, 3), ints(2, 3)), "shape must broadcast with [4, 3], not [2, 3]"),
        (lambda: one("Tile", (4, 3), ints(2)), "repeats must be 2 numbers of at least 1, not [2]"),
        (
            lambda: one("DepthToSpace", (1, 6, 2, 2), blocksize=2),
            "channels must be a multiple of 4, not 6 (node 'node')",
        ),
        (
            lambda: one("SpaceToDepth", (1, 6, 2, 3), blocksize=2),
            "positions must be multiples of 2, not 2 x 3 (node 'node')",
        ),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, file: Any, reason: str) -> None:
    assert reason in message(file().save(tmp_path / "model.onnx"))
