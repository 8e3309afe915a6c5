"""The experiment on densities: both forms are the same product, fewer blocks cost less."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zapdeploy.benchmarks.experiments.sparse_layer import dense_file, figure, measure, sparse_file
from zapdeploy.onnxruntime_sessions import Purpose, open_session


def test_both_files_are_the_same_product(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(-100, 100, (96, 96), np.int8)
    codes[:32, 32:] = codes[64:] = 0
    x = random.normal(0, 1, (2, 96)).astype(np.float32)
    files = sparse_file(codes, 2, tmp_path / "s.onnx"), dense_file(codes, 2, tmp_path / "d.onnx")
    sparse, dense = (open_session(f, Purpose.INTEGER).run(None, {"x": x})[0] for f in files)
    np.testing.assert_array_equal(sparse, dense)
    assert np.abs(dense).max() > 0


def test_fewer_blocks_cost_less() -> None:
    few, many = measure(0.05, 512, 2), measure(0.9, 512, 2)
    assert few.sparse_joules < many.sparse_joules
    assert few.bound_cycles <= many.bound_cycles
    assert few.dense_cycles == many.dense_cycles
    for row in (few, many):
        assert row.sparse_cycles >= row.bound_cycles
    assert len(figure([few, many]).data) == 5
