"""With threshold zero a sigma-delta network computes the integer graph, code by code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import NetworkBuilder, small_cnn
from tests.sim.sigma_delta.streams import (
    drifting,
    expected,
    linear_net,
    outputs,
    randomized,
    residual_net,
    stream_of,
    time_mix_net,
)
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import (
    FLOAT32,
    INT32,
    ElementType,
    Graph,
    Quantization,
    Value,
)
from zapdeploy.connectomes.synthetic import Plan, synthetic_connectome
from zapdeploy.errors import ModelError
from zapdeploy.forecasters.export import export_module
from zapdeploy.forecasters.registry import find_model
from zapdeploy.forecasters.wired import WiredForecaster
from zapdeploy.forecasters.wiring import WiredOptions, Wiring
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.sigma_delta import convert, run_reference, with_thresholds

FRAMES = 200


@pytest.mark.parametrize(
    "graph", [linear_net(), time_mix_net(), residual_net()], ids=lambda graph: graph.name
)
def test_the_network_equals_the_graph_over_a_stream(graph: Graph) -> None:
    codes = drifting(graph, FRAMES)
    network = convert(graph)
    found = outputs(network, run_reference(network, stream_of(network, graph, codes)), FRAMES)
    wanted = expected(graph, codes)
    assert np.array_equal(found, wanted)
    assert len(np.unique(wanted)) > 20, "the codes are alive"


def wired_net(numbers: int = 3, neurons: int = 12, length: int = 4) -> Graph:
    """Three numbers of each neuron along edges in blocks, one of them empty, then a map."""
    net = NetworkBuilder("wired")
    x = net.input("x", (1, numbers, neurons), 8, zero_point=100)
    seen = net.node("Reshape", (x,), 8, name="blocks", zero_point=100,
                    shape=(numbers, neurons // length, length))  # fmt: skip
    met = [[0, 2], [], [1, 2]]
    shape = (4, length, length)
    random = np.random.default_rng(2)
    scale = random.uniform(0.005, 0.02, neurons).astype(np.float32)
    meaning = Quantization(scale, np.zeros(1, np.int32), -128, 127, 0)
    weights = random.integers(-128, 128, shape).astype(np.int8)
    weights[random.random(shape) < 0.5] = 0
    net.values["w"] = Value("w", shape, ElementType("int", 8), meaning, weights)
    blocks = np.array([b for group in met for b in group], np.uint16)
    net.values["n"] = Value("n", (4,), ElementType("uint", 16), None, blocks)
    bias = random.integers(-500, 500, neurons).astype(np.int32)
    net.values["b"] = Value("b", (neurons,), INT32, None, bias)
    heard = net.node("BlockSparse", (seen, "w", "b", "", "", "n"), 8, name="hear", zero_point=90,
                     first=(0, 2, 2, 4), pattern="made")  # fmt: skip
    again = net.node("Reshape", (heard,), 8, name="back", zero_point=90,
                     shape=(1, numbers, neurons))  # fmt: skip
    w = net.weights("mix_w", (2, numbers, 1), 8, 0)
    wide = Quantization(np.full(2, 0.3, np.float32), np.zeros(2, np.int32), -128, 127, 0)
    net.values[w] = replace(net.values[w], quantization=wide)
    mixed = net.node("Conv", (again, w), 8, name="mix", strides=(1,), dilations=(1,), pads=(0, 0),
                     group=1)  # fmt: skip
    return net.graph(mixed)


def test_an_edge_is_a_synapse() -> None:
    graph = wired_net()
    codes = drifting(graph, FRAMES)
    network = convert(graph)
    found = outputs(network, run_reference(network, stream_of(network, graph, codes)), FRAMES)
    wanted = expected(graph, codes)
    assert np.array_equal(found, wanted)
    assert len(np.unique(wanted)) > 20, "the codes are alive"
    (hear,) = [c for c in network.connections if c.target == "hear"]
    edges = graph.values["w"].data
    assert edges is not None
    assert np.count_nonzero(hear.weights) == 3 * np.count_nonzero(edges)


def test_a_float_output_is_the_sum_times_its_scale() -> None:
    graph = linear_net()
    out = graph.values[graph.outputs[0]]
    values = {**graph.values, out.name: replace(out, element=FLOAT32, quantization=None)}
    graph = replace(graph, values=values)
    codes = drifting(graph, 5)
    network = convert(graph)
    spikes = run_reference(network, stream_of(network, graph, codes))
    (output,) = network.outputs
    sums = outputs(network, spikes, 5).astype(np.float32)
    reals = sums * output.scale.reshape(-1, 1, 1)
    x = graph.values["x"].quantization
    w = graph.values["forecast_w"].quantization
    assert x is not None
    assert w is not None
    weights, bias = graph.values["forecast_w"].data, graph.values["forecast_b"].data
    assert weights is not None
    assert bias is not None
    relative = codes.astype(np.int64) - int(x.zero_point[0])
    acc = np.einsum("oc,tcn->ton", weights[:, :, 0, 0].astype(np.int64), relative[..., 0])
    by_hand = (acc + bias[:, None]).astype(np.float32) * (x.scale[0] * w.scale)[:, None]
    assert np.array_equal(reals[..., 0], by_hand)


def test_paths_of_different_length_are_made_equal_by_relays() -> None:
    """The residual skips two layers: its codes wait in two relays, and one connection adds them."""
    network = convert(residual_net())
    names = [population.name for population in network.populations]
    assert [name for name in names if "+" in name] == ["stem+2", "stem+3"]
    assert network.population("sum").depth == network.population("outer").depth + 1


def test_a_threshold_saves_messages_and_never_forgets() -> None:
    """What a receiver believes is never a threshold or more away from the sender's code."""
    graph = linear_net()
    codes = drifting(graph, 60)
    network = with_thresholds(convert(graph), 5)
    stream = stream_of(network, graph, codes)
    spikes = run_reference(network, stream)
    source = network.inputs[0].name
    error = np.abs(np.cumsum(spikes[source], axis=0) - stream[source])
    assert error.max() == 4
    dense = run_reference(with_thresholds(network, 0), stream)
    assert np.count_nonzero(spikes[source]) < 0.5 * np.count_nonzero(dense[source])


def test_output_neurons_send_every_change() -> None:
    network = with_thresholds(convert(linear_net()), 9)
    assert [p.threshold for p in network.populations] == [9, 0]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (small_cnn(2), r"tensors must be \[1, channels\].*not \[2, 3, 8, 8\] \('image'\)"),
        (
            small_cnn(1),
            r"operator must be one of Add, BlockSparse, Conv, MatMul, .*GlobalAveragePool .*'pool'",
        ),
    ],
)
def test_what_cannot_be_converted_is_named(graph: Graph, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        convert(graph)


def test_uneven_padding_is_refused() -> None:
    net = NetworkBuilder("uneven")
    x = net.input("x", (1, 2, 4, 4))
    weights = net.weights("w", (3, 2, 2, 2), 8, 0)
    shape = {"strides": (1, 1), "dilations": (1, 1), "group": 1}
    made = net.node("Conv", (x, weights), 8, name="conv", pads=(0, 0, 1, 1), **shape)
    with pytest.raises(ModelError, match=r"same padding at both ends .*\[0, 0, 1, 1\].*'conv'"):
        convert(net.graph(made))


def test_sums_that_leave_a_neuron_s_state_are_refused() -> None:
    """256 inputs of up to 255 times a weight of 127 are 8.3 million: more than 23 bits hold."""
    net = NetworkBuilder("wide")
    made = net.dense(net.input("x", (1, 300)), 2, name="dense")
    graph = net.graph(made)
    weights = graph.values["dense_w"]
    full = replace(weights, data=np.full(weights.shape, 127, np.int8))
    graph = replace(graph, values={**graph.values, "dense_w": full})
    with pytest.raises(ModelError, match=r"must fit the 24 bits .*not reach 9,715,500.*'dense'"):
        convert(graph)


def test_a_view_that_changes_the_scale_is_refused() -> None:
    graph = randomized(flat_net(), np.random.default_rng(0), keep_views=False)
    with pytest.raises(ModelError, match=r"must keep its scale and zero point .*'reshape0'"):
        convert(graph)


def flat_net() -> Graph:
    net = NetworkBuilder("flat")
    return net.graph(net.dense(net.flatten(net.input("x", (1, 2, 3))), 4))


def test_a_wired_forecaster_of_any_number_of_neurons(tmp_path: Path) -> None:
    """70 neurons stand in blocks of 32: the padding never sends, and is not read at the end."""
    connectome = synthetic_connectome(Plan(70, 6))
    options = WiredOptions(steps=2)
    spec = Wiring(connectome, options).spec()
    found = WiredForecaster(70, 3, 4, 5, spec, adds_last=False).eval()
    found.wire(connectome)
    path, quantized = tmp_path / "wired.onnx", tmp_path / "int8.onnx"
    export_module(found, find_model("wired-c3"), path, neurons=70, horizon=5)
    quantize_onnx(path, quantized)
    graph = import_model(quantized).graph
    codes, network = drifting(graph, 6), convert(graph)
    spikes = run_reference(network, stream_of(network, graph, codes))
    wanted = expected(graph, codes)
    assert wanted.shape == (6, 5, 70)
    assert np.array_equal(outputs(network, spikes, 6), wanted)
