"""Stages as networks of their own, and what crosses between them, against going through them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import NetworkBuilder, mlp, northpole, resnet50, small_cnn
from tests.sim.networks import residual_network
from zapdeploy.compile.graph import Graph, verify
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.multichip.stages import (
    border_bytes,
    bytes_in_and_out,
    crossings,
    demands,
    keeps_state_whole,
    stage_graph,
    stage_seconds,
)

NETWORKS = {
    "cnn": small_cnn(2),
    "mlp": mlp(4, (64, 96, 32, 16)),
    "host converters": residual_network(batch=2),
    "resnet50": resnet50(2, 4),
}


@pytest.fixture(params=NETWORKS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return NETWORKS[request.param]


def test_the_whole_is_the_graph_itself(graph: Graph) -> None:
    layers = group_layers(graph)
    assert stage_graph(graph, layers, 0, len(layers)) is graph


def test_stages_are_graphs_with_the_layers_asked_for(graph: Graph) -> None:
    layers = group_layers(graph)
    for first in range(0, len(layers), 7):
        for end in range(first + 1, min(first + 9, len(layers)) + 1):
            stage = stage_graph(graph, layers, first, end)
            verify(stage)
            assert [m.name for m in group_layers(stage)] == [m.name for m in layers[first:end]]


def test_every_node_is_in_some_stage(graph: Graph) -> None:
    layers = group_layers(graph)
    stages = [stage_graph(graph, layers, i, i + 1) for i in range(len(layers))]
    assert {n.name for s in stages for n in s.nodes} == {n.name for n in graph.nodes}
    assert {n for s in stages for n in s.outputs} >= set(graph.outputs)
    assert {n for s in stages for n in s.inputs} >= set(graph.inputs)


def test_bytes_are_those_of_the_stages(graph: Graph) -> None:
    """The tables, made tensor by tensor, against each stage's own inputs and outputs."""
    layers = group_layers(graph)
    into, out = bytes_in_and_out(crossings(graph, layers), len(layers), northpole())
    for first in range(0, len(layers), 5):
        for end in range(first + 1, len(layers) + 1, 4):
            stage = stage_graph(graph, layers, first, end)
            expected = border_bytes(stage, northpole())
            assert (into[first, end], out[first, end]) == expected, (first, end)


def test_a_residual_is_sent_once_however_far_it_goes() -> None:
    """x -> a -> b -> a + b, cut after each: a (16 channels of 4 x 4, a byte each) leaves its
    stage once, and comes in twice."""
    net = NetworkBuilder("residual")
    a = net.conv(net.input("x", (1, 16, 4, 4)), 16, 1, name="a", bits=8)
    b = net.conv(a, 16, 1, name="b", bits=8)
    c = net.conv(b, 16, 1, name="c", bits=8)
    graph = net.graph(net.node("Add", (c, a), 8, name="add"))
    layers = group_layers(graph)
    assert [layer.op for layer in layers] == ["Conv", "Conv", "Conv+Add"]
    into, out = bytes_in_and_out(crossings(graph, layers), 3, northpole())
    assert [int(out[i, i + 1]) for i in range(3)] == [256, 256, 256]
    assert [int(into[i, i + 1]) for i in range(3)] == [256, 256, 512]
    assert stage_graph(graph, layers, 2, 3).inputs == (b, a)


def test_seconds_by_hand() -> None:
    """400 MHz, 12 GB/s, 32 MiB: 4e5 cycles take 1 ms, 12 MB take 1 ms; two transfers wait 10 us
    each, and a launch 5.

    Twice (12 + 3.6) MB fit the framebuffer; twice (12 + 6) MB do not, and the three take turns.
    """
    cycles, into = np.array([4e5, 4e5]), np.array([12_000_000, 12_000_000])
    out = np.array([3_600_000, 6_000_000])
    interval, latency = stage_seconds(cycles, into, out, northpole())
    np.testing.assert_allclose(interval, [1e-3, 2.525e-3])
    np.testing.assert_allclose(latency, [2.325e-3, 2.525e-3])


def test_demands_by_hand() -> None:
    """64 x 96 and 96 x 32 weights of a byte, biases of 4 bytes and scales of 4 bytes a channel."""
    graph = mlp(4, (64, 96, 32))
    layers = group_layers(graph)
    into, out = bytes_in_and_out(crossings(graph, layers), 2, northpole())
    found = demands(layers, into + out, northpole())
    programs = 256 * 2 * 1024
    parameters = [sum(v.stored_bytes for v in layer.parameters) for layer in layers]
    assert parameters == [64 * 96 + 4 * 96, 96 * 32 + 4 * 32]
    assert found.held[0, 1] == programs + parameters[0] + 4 * 96
    assert found.held[1, 2] == programs + parameters[1] + 4 * 32
    assert found.held[0, 2] == programs + sum(parameters) + 4 * 96
    assert found.moved[0, 1] == 4 * (64 + 96)
    assert found.possible.tolist() == [[False, True, True], [False, False, True], [False] * 3]
    assert not replace(found, memory=programs).possible.any()
    assert not replace(found, framebuffer=100).possible.any()


def test_layers_around_a_state_share_a_chip() -> None:
    """Layers a, c, d, e; a reads the state that c renews and d reads anew."""
    net = NetworkBuilder("state")
    a = net.dense(net.input("x", (1, 16)), 16, name="a")
    b = net.node("Add", (a, net.input("old", (1, 16), zero_point=0)), 8, name="b")
    c = net.dense(b, 16, name="c")
    d = net.dense(c, 16, name="d")
    e = net.dense(d, 16, name="e")
    graph = replace(net.graph(e, c), state=(("old", c),))
    layers = group_layers(graph)
    assert [layer.name for layer in layers] == ["a", "c", "d", "e"], "b runs in a's epilogue"
    allowed = keeps_state_whole(graph, layers)
    stages = {(i, j) for i in range(4) for j in range(i + 1, 5) if allowed[i, j]}
    assert stages == {(0, 3), (0, 4), (3, 4)}
    assert stage_graph(graph, layers, 0, 3).state == (("old", c),)
    assert stage_graph(graph, layers, 3, 4).state == ()
