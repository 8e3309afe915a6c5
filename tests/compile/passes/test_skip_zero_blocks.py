"""`--skip-zero-blocks`: the same values from fewer products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from zapdeploy.api import compile_model, simulate
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Program
from zapdeploy.errors import UsageError
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.functional import run


def write_product(path: Path, weights: np.ndarray, rows: int = 3) -> Path:
    """x [1, rows, K] times int8 `weights` [K, N] with a scale for each column."""
    scale = np.linspace(0.01, 0.02, weights.shape[1], dtype=np.float32)
    constants = {
        "xs": np.float32(0.05),
        "xz": np.uint8(7),
        "w": weights.astype(np.int8),
        "ws": scale,
        "wz": np.zeros(weights.shape[1], np.int8),
        "ys": np.float32(0.3),
        "yz": np.uint8(120),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        helper.make_node("MatMul", ["xd", "wd"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "ys", "yz"], ["pq"]),
        helper.make_node("DequantizeLinear", ["pq", "ys", "yz"], ["y"]),
    ]
    shapes = (("x", weights.shape[0]), ("y", weights.shape[1]))
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, rows, size])
        for name, size in shapes
    ]
    given_ = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], given_)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def of_one_chip(path: Path, *, skip: bool) -> Program:
    return compile_model(path, "northpole-sim", skip_zero_blocks=skip).stages[0]


def operators(program: Program) -> list[str]:
    return [node.op for node in program.graph.nodes]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.9]))
def test_values_are_those_of_the_dense_product(tmp_path: Path, seed: int, share: float) -> None:
    """Whole and core by core; products are those of the blocks that are left."""
    random = np.random.default_rng(seed)
    blocks = random.random((4, 5)) < share
    weights = random.integers(-128, 128, (4 * 32, 5 * 32)) * np.kron(blocks, np.ones((32, 32)))
    path = write_product(tmp_path / "m.onnx", weights.astype(int))
    dense, sparse = (of_one_chip(path, skip=skip) for skip in (False, True))
    x = random.normal(0, 3, (1, 3, 128)).astype(np.float32)
    expected = run(dense.graph, {"x": x})["y"]
    np.testing.assert_array_equal(run(sparse.graph, {"x": x})["y"], expected)
    np.testing.assert_array_equal(CoreArray(lower(sparse)).run({"x": x})["y"], expected)
    if "BlockSparse" in operators(sparse):
        left = sum(layer.macs for layer in sparse.layers)
        assert left == 3 * 32 * 32 * blocks.sum() < sum(layer.macs for layer in dense.layers)


def test_blocks_that_are_zero_save_time_and_energy(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    blocks = np.eye(16, dtype=int)
    weights = random.integers(1, 128, (512, 512)) * np.kron(blocks, np.ones((32, 32), int))
    path = write_product(tmp_path / "m.onnx", weights, rows=64)
    dense, sparse = (
        simulate(compile_model(path, "northpole-sim", skip_zero_blocks=skip))
        for skip in (False, True)
    )
    assert sparse.counts.macs_8bit * 16 == dense.counts.macs_8bit
    assert sparse.energy_per_frame.value < dense.energy_per_frame.value
    assert sparse.latency_s <= dense.latency_s


@pytest.mark.parametrize("weights", [np.ones((64, 64), int), np.zeros((64, 64), int)])
def test_nothing_changes_where_nothing_is_saved(tmp_path: Path, weights: np.ndarray) -> None:
    """Without a block of zeros, and where no block would be left."""
    path = write_product(tmp_path / "m.onnx", weights)
    assert "BlockSparse" not in operators(of_one_chip(path, skip=True))


def test_it_is_off_by_default(tmp_path: Path) -> None:
    weights = np.kron(np.eye(4, dtype=int), np.ones((32, 32), int))
    path = write_product(tmp_path / "m.onnx", weights)
    assert "BlockSparse" not in operators(of_one_chip(path, skip=False))
    assert "BlockSparse" in operators(of_one_chip(path, skip=True))


def test_a_network_in_parts_takes_no_such_option(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    write_product(folder / "0.onnx", np.ones((32, 32), int))
    with pytest.raises(UsageError, match="skip_zero_blocks must be left out"):
        compile_model(folder, "northpole-sim", skip_zero_blocks=True, output=tmp_path / "o")
