"""Networks with real numbers in them, and slowly changing streams to feed them with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.networks import NetworkBuilder
from zapdeploy.compile.graph import Graph, Quantization, Value
from zapdeploy.compile.layers import network_inputs, network_outputs
from zapdeploy.compile.ops.codes import dequantize
from zapdeploy.compile.regions import IntArray
from zapdeploy.sim import functional
from zapdeploy.sim.sigma_delta import SigmaDeltaNetwork, Spikes
from zapdeploy.sim.sigma_delta.network import outputs_of, stream_with_drain


def residual_net() -> Graph:
    """Convolution, residual block, strided convolution, flattening, classifier; all 8 bits."""
    net = NetworkBuilder("residual")
    x = net.input("x", (1, 3, 6, 5), 8, zero_point=100)
    a = net.conv(x, 8, 3, name="stem", bits=8, weight_bits=8)
    b = net.conv(a, 8, 3, name="inner", bits=8, weight_bits=8, groups=2)
    c = net.conv(b, 8, 1, name="outer", bits=8, weight_bits=4)
    d = net.node("Add", (c, a), 8, name="sum", zero_point=7)
    e = net.conv(d, 12, 3, 2, name="down", bits=8, weight_bits=8, pad=1)
    made = net.graph(net.dense(net.flatten(e), 10, name="classifier"))
    return randomized(made, np.random.default_rng(3))


def linear_net(neurons: int = 40) -> Graph:
    """One map from 4 frames to 32, shared by all neurons."""
    net = NetworkBuilder("linear")
    x = net.input("x", (1, 4, neurons, 1), 8, zero_point=36)
    made = net.graph(net.conv(x, 32, 1, name="forecast", bits=8, weight_bits=8))
    return randomized(made, np.random.default_rng(5))


def time_mix_net(neurons: int = 24) -> Graph:
    """Two residual blocks that mix 4 frames, then the map to 32."""
    net = NetworkBuilder("time-mix")
    x = net.input("x", (1, 4, neurons, 1), 8, zero_point=36)
    for i in range(2):
        mixed = net.conv(x, 4, 1, name=f"mix{i}", bits=8, weight_bits=8)
        x = net.node("Add", (x, mixed), 8, name=f"sum{i}", zero_point=20 * i)
    made = net.graph(net.conv(x, 32, 1, name="forecast", bits=8, weight_bits=8))
    return randomized(made, np.random.default_rng(9))


def randomized(graph: Graph, rng: np.random.Generator, *, keep_views: bool = True) -> Graph:
    """The same graph with random weights and scales that keep its codes alive.

    Reshaped tensors keep their scales, unless they are told not to.
    """
    values = {name: _randomized(value, rng) for name, value in graph.values.items()}
    for node in graph.nodes:
        if node.op == "Reshape" and keep_views:
            source = values[node.inputs[0]].quantization
            values[node.outputs[0]] = replace(values[node.outputs[0]], quantization=source)
    return replace(graph, values=values)


def _randomized(value: Value, rng: np.random.Generator) -> Value:
    if value.data is not None and value.quantization is not None:
        low, high = value.element.limits
        data = rng.integers(max(low, -high), high + 1, value.shape).astype(value.element.numpy)
        fan_in = value.size / max(value.shape[value.quantization.axis or 0], 1)
        largest = 2.0 / (high * np.sqrt(fan_in))
        scales = largest * rng.uniform(0.5, 1.0, value.quantization.scale.shape)
        quantization = replace(value.quantization, scale=scales.astype(np.float32))
        return replace(value, data=data, quantization=quantization)
    if value.data is not None:
        data = rng.integers(-500, 500, value.shape).astype(value.element.numpy)
        return replace(value, data=data)
    assert value.quantization is not None
    scale = np.float32(0.02 * rng.uniform(0.7, 1.4))
    old = value.quantization
    return replace(value, quantization=Quantization(scale, old.zero_point, old.low, old.high))


def drifting(graph: Graph, frames: int, seed: int = 0) -> IntArray:
    """Codes of the graph's input that change a little from frame to frame [frames, ...]."""
    (value,) = network_inputs(graph)
    rng = np.random.default_rng(seed)
    start = rng.integers(60, 140, value.shape[1:])
    steps = rng.integers(-3, 4, (frames, *value.shape[1:]))
    return np.clip(start + np.cumsum(steps, axis=0), 0, 255)


def stream_of(network: SigmaDeltaNetwork, graph: Graph, codes: IntArray) -> Spikes:
    """The stream that makes the network see these codes, held until the last output is there."""
    (value,), (source,) = network_inputs(graph), network.inputs
    assert value.quantization is not None
    relative = codes - int(value.quantization.zero_point[0])
    return stream_with_drain(network, {source.name: source.layout.to_box(relative)})


def outputs(network: SigmaDeltaNetwork, spikes: Spikes, frames: int) -> IntArray:
    """The network's output in the graph's order, relative to the zero point [frames, ...]."""
    (output,) = network.outputs
    return output.layout.to_tensor(outputs_of(network, spikes, frames)[output.name])


def expected(graph: Graph, codes: IntArray) -> IntArray:
    """What the integer graph computes, frame by frame, relative to the zero point.

    A graph whose host quantizes is given the real numbers of the codes.
    """
    made = functional.Network.of(graph)
    (value,), (out,) = network_inputs(graph), network_outputs(graph)
    (name,) = graph.inputs
    given = codes.astype(value.element.numpy)
    if name != value.name:
        assert value.quantization is not None
        given = dequantize(given, value.quantization)
    zero = 0 if out.quantization is None else int(out.quantization.zero_point[0])
    frames = (made.run({name: frame[None]}, keep=[out.name]) for frame in given)
    return np.stack([found[out.name][0] for found in frames]).astype(np.int64) - zero
