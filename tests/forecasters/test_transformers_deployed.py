"""Transformer networks from file to chip: quantized in every form, compiled, compared, run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers, network_inputs, network_outputs
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.regions import whole
from zapdeploy.compile.state import is_in_place, states
from zapdeploy.forecasters.decoder import DecoderSize
from zapdeploy.forecasters.transformers import (
    TransformerNetwork,
    decoder_network,
    encoder_network,
    export_transformer,
    poco_network,
    transformer_samples,
)
from zapdeploy.hardware_targets import parse_target, target_text
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.check import check
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.frames import run_frames
from zapdeploy.sim.functional import Network, run

SIZE = DecoderSize(layers=2, width=32, heads=4, kv_heads=2, hidden=48, tokens=8)
# Each with its multiply-accumulates by hand.
ENCODER = (
    encoder_network(2, 32, 4, 64, tokens=12),
    2 * (12 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 12 * 12 * 32),
)
DECODER = decoder_network(SIZE), 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 4 * 8 * 8)
POCO = (
    poco_network(20, width=32),
    (20 * (5 * 32 * 32 + 2 * 4 * 32 + 88 * 32) + 15 * 8 * 32 * 32 + 2 * 8 * 8 * 32),
)
NETWORKS: dict[str, tuple[TransformerNetwork, int]] = {
    "encoder": ENCODER,
    "decoder": DECODER,
    "poco": POCO,
}
FORMS = (
    *((name, "qdq", 8, 8) for name in NETWORKS),
    *((name, "packed", 4, 4) for name in NETWORKS),
    ("encoder", "qoperator", 8, 8),
    ("decoder", "qcdq", 4, 8),
)


def quantized(
    folder: Path, network: TransformerNetwork, form: str = "qdq", weights: int = 8, bits: int = 8
) -> Path:
    source, target = export_transformer(network, folder / "float.onnx"), folder / "quantized.onnx"
    quantize_onnx(
        source,
        target,
        form=form,  # type: ignore[arg-type]
        weights=weights,
        activations=bits,
        calibration=transformer_samples(network, 16),
    )
    return target


def compiled(graph: Graph) -> Program:
    text = target_text("northpole-sim")[1]
    target = parse_target(text, "northpole-sim")
    return build_program(graph, Origin("m", ""), target, text, Options(1, 1, "throughput"))


@pytest.mark.parametrize(("name", "form", "weights", "bits"), FORMS)
def test_the_chip_agrees_with_onnx_runtime(
    tmp_path: Path, name: str, form: str, weights: int, bits: int
) -> None:
    network, _ = NETWORKS[name]
    path = quantized(tmp_path, network, form, weights, bits)
    graph = import_model(path).graph
    frame = transformer_samples(network, 1, seed=1)
    result = check(graph, path, frame)
    assert result.passed, result.failures
    products = [call for call in graph.calls() if call.node.op == "MatMul"]
    assert {call.input(1).is_constant for call in products} == {True, False}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_products_are_counted(tmp_path: Path, name: str) -> None:
    network, macs = NETWORKS[name]
    graph = import_model(quantized(tmp_path, network)).graph
    products = [call for call in graph.calls() if operator(call.node.op).unit is Unit.MATRIX]
    tiles = (operator(c.node.op).matrix_tile(c, whole(c.output.shape)) for c in products)
    assert sum(int(tile.macs) for tile in tiles) == macs


def test_a_cache_stays_on_the_chip(tmp_path: Path) -> None:
    network, _ = DECODER
    graph = import_model(quantized(tmp_path, network)).graph
    assert len(graph.state) == 2 * SIZE.layers
    assert all(is_in_place(state, group_layers(graph)) for state in states(graph))
    assert [v.name for v in network_inputs(graph)] == ["input", "position"]
    assert [v.name for v in network_outputs(graph)] == ["output"]
    program = compiled(graph)
    assert program.fits
    fetches = [fetch for layer in program.layers for fetch in layer.fetches]
    caches = [f for f in fetches if f.source in {state.before.name for state in states(graph)}]
    assert len(caches) == 2 * SIZE.layers
    assert not any(f.total_received_bytes or f.from_framebuffer for f in caches)
    frame = transformer_samples(network, 1, seed=2)
    core_by_core, whole_graph = CoreArray(lower(program)).run(frame), run(graph, frame)
    for name, array in whole_graph.items():
        np.testing.assert_array_equal(core_by_core[name], array)


def test_tokens_one_after_the_other(tmp_path: Path) -> None:
    """The cache that the simulator keeps is the one that the caller hands ONNX Runtime."""
    network, _ = DECODER
    path = quantized(tmp_path, network)
    graph = import_model(path).graph
    rng = np.random.default_rng(3)
    frames = [
        {
            "input": rng.standard_normal((1, 1, SIZE.width)).astype(np.float32),
            "position": np.full((1, 1, 1, 1), token, np.float32),
        }
        for token in range(SIZE.tokens)
    ]
    session = open_session(Path(path), Purpose.PLAIN)
    caches = {b: np.zeros((1, *network.inputs[b]), np.float32) for b in network.state}
    found = run_frames(graph, Network.of(graph).run, frames)
    for frame, ours in zip(frames, found, strict=True):
        theirs, *after = session.run(list(network.outputs), {**frame, **caches})
        caches = dict(zip(network.state, after, strict=True))
        np.testing.assert_allclose(ours["output"], theirs, atol=0.02 * np.abs(theirs).max())
