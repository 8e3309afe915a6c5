"""Which nodes run together, what a layer reads, and what stays on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.networks import NetworkBuilder, mlp, resnet50, small_cnn
from zapdeploy.compile.graph import FLOAT32, Graph, Node, Value
from zapdeploy.compile.layers import group_layers, host_nodes, network_inputs, network_outputs


def _names(graph: Graph) -> list[tuple[str, str]]:
    return [(layer.name, layer.op) for layer in group_layers(graph)]


def test_small_cnn() -> None:
    """An addition joins the later of its two producers; the view before the product is no layer."""
    assert _names(small_cnn()) == [
        ("stem", "Conv"),
        ("block0a", "Conv"),
        ("block0b", "Conv"),
        ("block0skip", "Conv+Add"),
        ("block1a", "Conv+Add"),
        ("pool", "GlobalAveragePool"),
        ("classifier", "MatMul"),
    ]


def test_resnet50_has_a_layer_per_weight_matrix_and_two_poolings() -> None:
    """53 convolutions, 1 matrix product, 2 poolings; all 16 additions run inside a layer."""
    layers = group_layers(resnet50())
    assert len(layers) == 53 + 1 + 2
    assert sum(layer.op == "Conv+Add" for layer in layers) == 16


def test_every_node_but_views_is_in_one_layer() -> None:
    graph = small_cnn()
    inside = [call.node.name for layer in group_layers(graph) for call in layer.calls]
    views = {node.name for node in graph.nodes if node.op == "Reshape"}
    assert sorted(inside) == sorted({node.name for node in graph.nodes} - views)


def test_layers_come_after_what_they_read() -> None:
    for graph in (small_cnn(), mlp(), resnet50()):
        done = set(graph.inputs)
        for layer in group_layers(graph):
            assert {read.source.name for read in layer.reads} <= done
            done.add(layer.output.name)


def test_reads_and_parameters_of_a_residual_block() -> None:
    block = next(layer for layer in group_layers(small_cnn()) if layer.name == "block1a")
    assert [(read.source.name, read.call.node.name, read.input) for read in block.reads] == [
        ("block0add_out", "block1a", 0),
        ("block0add_out", "block1add", 1),
    ]
    assert [value.name for value in block.parameters] == ["block1a_w", "block1a_b"]
    assert block.output.name == "block1add_out"
    assert block.anchor.node.name == "block1a"


def test_a_view_is_read_through() -> None:
    classifier = group_layers(small_cnn())[-1]
    (read,) = classifier.reads
    assert read.source.name == "pool_out"
    assert [view.node.op for view in read.views] == ["Reshape"]


def test_views_are_listed_from_the_reader_on() -> None:
    net = NetworkBuilder("n")
    x = net.input("x", (2, 3, 4))
    x = net.node("Reshape", (x,), 8, name="far", shape=(6, 4))
    x = net.node("Reshape", (x,), 8, name="near", shape=(2, 12))
    (layer,) = group_layers(net.graph(net.dense(x, 5)))
    assert [view.node.name for view in layer.reads[0].views] == ["near", "far"]
    assert layer.reads[0].source.name == "x"


def _branching(*, as_output: bool) -> Graph:
    net = NetworkBuilder("n")
    a = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1, name="a")
    b = net.node("Relu", (a,), name="b")
    return net.graph(b, a) if as_output else net.graph(b, net.conv(a, 4, 1, name="c"))


def test_a_tensor_with_two_readers_is_stored() -> None:
    assert _names(_branching(as_output=False)) == [("a", "Conv"), ("b", "Relu"), ("c", "Conv")]


def test_a_network_output_is_stored() -> None:
    assert _names(_branching(as_output=True)) == [("a", "Conv"), ("b", "Relu")]


def test_a_tensor_read_twice_by_one_node_is_stored() -> None:
    net = NetworkBuilder("n")
    a = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1, name="a")
    assert _names(net.graph(net.node("Mul", (a, a), name="b"))) == [("a", "Conv"), ("b", "Mul")]


def test_an_addition_that_stretches_its_operand_does_not_join_it() -> None:
    """The small operand's layer has not the output's shape."""
    net = NetworkBuilder("n")
    x = net.input("x", (1, 4, 4, 4))
    small = net.node("GlobalAveragePool", (x,), name="mean")
    assert _names(net.graph(net.node("Add", (x, small), name="add"))) == [
        ("mean", "GlobalAveragePool"),
        ("add", "Add"),
    ]


def test_a_movement_takes_nothing_along() -> None:
    net = NetworkBuilder("n")
    x = net.node("Transpose", (net.input("x", (2, 3)),), name="turn", perm=(1, 0))
    assert _names(net.graph(net.node("Relu", (x,), name="relu"))) == [
        ("turn", "Transpose"),
        ("relu", "Relu"),
    ]


def test_a_chain_of_elementwise_nodes_is_one_layer() -> None:
    net = NetworkBuilder("n")
    x = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1, name="a")
    for name in ("b", "c", "d"):
        x = net.node("Relu", (x,), name=name)
    (layer,) = group_layers(net.graph(x))
    assert [call.node.name for call in layer.calls] == ["a", "b", "c", "d"]
    assert layer.output.name == "d_out"


def _with_float_ends(graph: Graph) -> Graph:
    """A quantizer before the input and a dequantizer after the output."""
    (first,), (last,) = graph.inputs, graph.outputs
    before = Value("real_in", graph.values[first].shape, FLOAT32)
    after = Value("real_out", graph.values[last].shape, FLOAT32)
    nodes = (
        Node("quantize", "Quantize", ("real_in",), (first,)),
        *graph.nodes,
        Node("dequantize", "Dequantize", (last,), ("real_out",)),
    )
    values = {**graph.values, "real_in": before, "real_out": after}
    return replace(graph, nodes=nodes, values=values, inputs=("real_in",), outputs=("real_out",))


def test_conversions_at_both_ends_run_on_the_host() -> None:
    graph = _with_float_ends(mlp())
    assert host_nodes(graph) == {"quantize", "dequantize"}
    assert _names(graph) == _names(mlp())
    assert [v.name for v in network_inputs(graph)] == ["in"]
    assert [v.name for v in network_outputs(graph)] == ["dense1_out"]


def test_without_conversions_the_network_s_own_ends_move() -> None:
    graph = mlp()
    assert host_nodes(graph) == frozenset()
    assert [v.name for v in network_inputs(graph)] == ["in"]
    assert [v.name for v in network_outputs(graph)] == ["dense1_out"]


def test_an_input_that_is_also_read_as_it_is_moves_twice() -> None:
    graph = _with_float_ends(mlp())
    log = Value("log_out", graph.values["real_in"].shape, FLOAT32)
    graph = replace(
        graph,
        nodes=(*graph.nodes, Node("log", "Log", ("real_in",), ("log_out",))),
        values={**graph.values, "log_out": log},
        outputs=("real_out", "log_out"),
    )
    assert [v.name for v in network_inputs(graph)] == ["in", "real_in"]
    assert [v.name for v in network_outputs(graph)] == ["dense1_out", "log_out"]


def test_a_dequantizer_that_something_reads_runs_on_the_chip() -> None:
    graph = _with_float_ends(mlp())
    log = Value("log_out", graph.values["real_out"].shape, FLOAT32)
    graph = replace(
        graph,
        nodes=(*graph.nodes, Node("log", "Log", ("real_out",), ("log_out",))),
        values={**graph.values, "log_out": log},
        outputs=("log_out",),
    )
    assert host_nodes(graph) == {"quantize"}
    assert [layer.op for layer in group_layers(graph)] == ["MatMul", "MatMul+Dequantize+Log"]


def test_two_outputs_of_one_tensor_move_once() -> None:
    graph = mlp()
    twice = replace(graph, outputs=(*graph.outputs, *graph.outputs))
    assert [v.name for v in network_outputs(twice)] == ["dense1_out"]


def test_a_constant_operand_is_a_parameter() -> None:
    net = NetworkBuilder("n")
    x = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1, name="a")
    net.values["offset"] = Value("offset", (1, 4, 1, 1), FLOAT32, None, np.ones((1, 4, 1, 1)))
    (layer,) = group_layers(net.graph(net.node("Add", (x, "offset"), name="add")))
    assert [value.name for value in layer.parameters] == ["a_w", "a_b", "offset"]
    assert [read.source.name for read in layer.reads] == ["x"]
