"""The wired forecaster as ONNX: gathers and products that say what torch says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zapdeploy.compile.frontend import import_model
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.ordering import BLOCK
from zapdeploy.connectomes.synthetic import Plan, synthetic_connectome
from zapdeploy.errors import UsageError
from zapdeploy.forecasters import export, wired_blocks
from zapdeploy.forecasters.export import export_module
from zapdeploy.forecasters.registry import find_model
from zapdeploy.forecasters.wired import WiredForecaster
from zapdeploy.forecasters.wired_blocks import block_parts
from zapdeploy.forecasters.wiring import WiredOptions, Wiring
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.functional import run


def network(connectome: Connectome, **options: object) -> WiredForecaster:
    spec = Wiring(connectome, WiredOptions(**options)).spec()  # type: ignore[arg-type]
    found = WiredForecaster(connectome.neurons, 3, 4, 5, spec).eval()
    found.wire(connectome)
    return found


@pytest.mark.parametrize(
    ("neurons", "options"),
    [
        (96, {}),
        (70, {"steps": 2, "gains": "edge", "state": 4}),
        (20, {"signed": False}),
    ],
)
def test_onnx_runtime_says_what_torch_says(
    tmp_path: Path, neurons: int, options: dict[str, object]
) -> None:
    found = network(synthetic_connectome(Plan(neurons, 6)), **options)
    path = tmp_path / "wired.onnx"
    export_module(found, find_model("wired-c3"), path, neurons=neurons, batch=2, horizon=5)
    x = np.random.default_rng(0).standard_normal((2, 3, neurons), np.float32)
    with torch.no_grad():
        wanted = found(torch.from_numpy(x)).numpy()
    session = onnxruntime.InferenceSession(path)
    np.testing.assert_allclose(session.run(None, {"input": x})[0], wanted, rtol=1e-4, atol=1e-5)
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert ops >= {"Gather", "Conv"}
    assert "MatMul" not in ops


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.floats(0, 0.2), st.integers(0, 2**31))
def test_blocks_hold_the_matrix_and_nothing_else(across: int, density: float, seed: int) -> None:
    """Random matrices with empty rows and hubs, put together again from their blocks."""
    random, size = np.random.default_rng(seed), across * BLOCK
    dense = np.where(random.random((size, size)) < density, random.standard_normal((size, size)), 0)
    dense[random.integers(size)], dense[:, random.integers(size)] = 0, 1
    post, pre = np.nonzero(dense)
    values = dense[post, pre].astype(np.float32)
    again, held = np.zeros((size, size), np.float32), 0
    parts = block_parts(post, pre, values, size)
    for part in parts:
        groups = part.receivers.size
        weights = part.weights.reshape(groups, BLOCK, -1, BLOCK)
        for group, blocks in enumerate(part.blocks.reshape(groups, -1)):
            row = part.receivers[group] * BLOCK
            for slot, block in enumerate(blocks):
                place = np.s_[row : row + BLOCK, block * BLOCK : (block + 1) * BLOCK]
                again[place] += weights[group, :, slot]
                held += bool(weights[group, :, slot].any())
    receivers = np.concatenate([part.receivers for part in parts])
    assert np.array_equal(np.sort(receivers), np.arange(across))
    assert np.array_equal(again, dense.astype(np.float32))
    assert held == (dense.reshape(across, BLOCK, across, BLOCK) != 0).any(axis=(1, 3)).sum()


def test_large_matrices_are_split_where_it_saves() -> None:
    """700 blocks of receivers of which some hear twenty times as many: two products."""
    heard = np.where(np.arange(700) % 64 < 47, 1, 20)
    post = np.repeat(np.arange(700) * BLOCK, heard)
    pre = np.concatenate([np.arange(n) * BLOCK for n in heard])
    parts = block_parts(post, pre, np.ones(post.size, np.float32), 700 * BLOCK)
    sizes = [(p.receivers.size, p.blocks.size // p.receivers.size) for p in parts]
    assert sizes == [(512, 1), (188, 20)]
    assert (heard[parts[0].receivers] == 1).all()


@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_it_is_one_sparse_product(tmp_path: Path, monkeypatch: Any, bits: int) -> None:
    """Whatever convolutions the file has: gathers keep the scale of what they gather, parts are
    joined in their order, and the codes are ONNX Runtime's."""
    monkeypatch.setattr(wired_blocks, "UNIT", 2)
    heard = (1, 6, 1, 1, 6, 1)
    post = np.repeat(np.arange(6) * BLOCK, heard)
    pre = np.concatenate([np.arange(n) * BLOCK + 1 for n in heard])
    nothing = synthetic_connectome(Plan(6 * BLOCK, 1))
    wired = nothing.with_edges(post, pre, np.ones(post.size), np.ones(post.size))
    path, quantized = tmp_path / "wired.onnx", tmp_path / "quantized.onnx"
    info = find_model("wired-c3")
    export_module(network(wired), info, path, neurons=wired.neurons, horizon=5)
    quantize_onnx(path, quantized, weights=bits, activations=8)
    assert [n.op_type for n in onnx.load(quantized).graph.node].count("Concat") == 1
    graph = import_model(quantized).graph
    operators = [node.op for node in graph.nodes]
    assert operators.count("BlockSparse") == 1
    assert not {"Take", "Concat", "Requantize"} & set(operators)
    (product,) = (node for node in graph.nodes if node.op == "BlockSparse")
    assert np.diff(graph.call(product).ints("first")).tolist() == list(heard)
    x = {"input": np.random.default_rng(0).standard_normal((1, 3, wired.neurons), np.float32)}
    wanted = open_session(quantized, Purpose.PLAIN).run(None, x)[0]
    (found,) = run(graph, x).values()
    np.testing.assert_array_equal(found, wanted)


def test_blocks_that_no_file_holds_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(export, "FILE_LIMIT_BYTES", 100_000)
    found = network(synthetic_connectome(Plan(200, 20)))
    with pytest.raises(UsageError, match=r"blocks of the wiring must be under 0.0 GB"):
        export_module(found, find_model("wired-c3"), tmp_path / "w.onnx", neurons=200, horizon=5)
    assert not list(tmp_path.iterdir())
