"""The least time of a layer: arithmetic by hand, and never above what any cut costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import (
    NetworkBuilder,
    changed_target,
    mesh,
    mlp,
    northpole,
    one_conv,
    resnet50,
    small_cnn,
)
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.mapping.bound import bound_cycles, layer_bound, layer_macs
from zapdeploy.compile.mapping.cost import own_loads
from zapdeploy.compile.mapping.tiling import Cuts, enumerate_cuts, space_of
from zapdeploy.hardware_targets import Target, load_target


def network_bound(graph: Graph, target: Target) -> int:
    return sum(bound_cycles(layer, target) for layer in group_layers(graph))


def test_macs_of_resnet50() -> None:
    """4,089,184,256 per frame (v1.5 at 224 x 224), of which conv1 has 112 x 112 x 64 x 147."""
    layers = {layer.name: layer for layer in group_layers(resnet50(1, 4))}
    assert sum(map(layer_macs, layers.values())) == 4_089_184_256
    assert layer_macs(layers["conv1"]) == 118_013_952 == 112 * 112 * 64 * 147
    assert layer_macs(layers["fc"]) == 2_048_000
    assert layer_macs(layers["maxpool"]) == layer_macs(layers["pool"]) == 0


def test_matrix_units_alone_bound_resnet50() -> None:
    """Peak: 256 cores x 64 values x 32 outputs = 524,288 MACs a cycle at 4 bit, half at 8 bit.

    conv1 and fc at 8 bit: (118,013,952 + 2,048,000) / 262,144 = 458.0 cycles a frame. The others
    at 4 bit: 3,969,122,304 / 524,288 = 7570.5. Together 8028.5: 49,822 frames/s at 400 MHz.
    """
    layers = group_layers(resnet50(1, 4))
    cycles = sum(layer_bound(layer, northpole()).get("matrix", 0.0) for layer in layers)
    assert cycles == pytest.approx(120_061_952 / 262_144 + 3_969_122_304 / 524_288)
    assert cycles == pytest.approx(8028.5, abs=0.1)
    assert 400e6 / cycles == pytest.approx(49_822, abs=1)


def test_bound_of_resnet50() -> None:
    """Batch 32: 32 x 8028.5 = 256,912 cycles for the matrix units, and what they do not bound.

    At 56 x 56 the activation units (32 a cycle in 256 cores = 8192) are slower than the matrix
    units where a convolution to 256 channels and an addition each round their result: 2 x 32 x 56 x
    56 x 256 / 8192 = 6272 cycles against 3136, three times: + 9408. The first pooling compares 8
    times for 32 x 56 x 56 x 64 values: / (256 x 256) = 784. The last one reads 32 x 7 x 7 x 2048
    values of 4 bits and writes 32 x 2048 bytes over 256 ports of 128 B: 51. Together 267,155 with
    the halves of cycles rounded up (conv1, 32 x 450.19 = 14,406.0).
    """
    found = network_bound(resnet50(32, 4), northpole())
    assert found == pytest.approx(256_912 + 3 * 3136 + 784 + 51, abs=5)
    assert found == 267_155
    assert 32 * 400e6 / found == pytest.approx(47_912, abs=1)


def test_bound_of_single_layers_of_resnet50() -> None:
    """At batch 32, from output sizes and rates alone."""
    layers = {layer.name: layer for layer in group_layers(resnet50(32, 4))}
    by_hand = {
        "conv1": 118_013_952 * 32 / 262_144,  # 14,406.0: matrix, 8 bit
        "maxpool": 784,
        "s0b0c1": 784,  # 56 x 56 x 64 x 64 x 32 / 524,288, and as many cycles for activations
        "s0b0c2": 7056,  # 56 x 56 x 64 x 64 x 9 x 32 / 524,288
        "s0b0c3": 3136,
        "s0b1c3": 6272,  # Conv+Add: activation
        "s3b2c2": 7056,  # 7 x 7 x 512 x 512 x 9 x 32 / 524,288
        "pool": 51,
        "fc": 250,  # 2,048,000 x 32 / 262,144
    }
    found = {name: bound_cycles(layers[name], northpole()) for name in by_hand}
    assert found == {name: int(np.ceil(cycles)) for name, cycles in by_hand.items()}


def test_the_memory_port() -> None:
    """4 x 4 positions of 64 channels to 256 at 4 bit: 512 B in, 8192 B of weights, 1024 B of
    biases, 2048 B out; 256 ports of 128 B a cycle."""
    layer = one_conv((1, 64, 4, 4), 256, 1, input_bits=4, weight_bits=4, bits=4)
    found = layer_bound(layer, northpole())
    assert found["memory_port"] == (512 + 8192 + 1024 + 2048) / (256 * 128)


def test_a_stride_skips_what_it_does_not_read() -> None:
    """1 x 1 windows at stride 6 need a 36th of the input, 4 x 4 x 64 bytes of 24 x 24 x 64."""
    layer = one_conv((1, 64, 24, 24), 32, 1, 6)
    weights, outputs = 64 * 32 + 32 * 4, 4 * 4 * 32
    found = layer_bound(layer, northpole())
    assert found["memory_port"] == (4 * 4 * 64 + weights + outputs) / (256 * 128)


def test_windows_that_overlap_read_once() -> None:
    """3 x 3 windows at stride 1 read each of 8 x 8 x 4 values once at best."""
    layer = one_conv((1, 4, 8, 8), 8, 3)
    found = layer_bound(layer, northpole())
    assert found["memory_port"] == (8 * 8 * 4 + 4 * 8 * 9 + 8 * 4 + 8 * 8 * 8) / (256 * 128)


def _slice(shape: tuple[int, ...], wanted: tuple[int, ...], steps: tuple[int, ...]) -> Layer:
    net = NetworkBuilder("n")
    x = net.input("x", shape)
    out = net.node("Slice", (x,), 8, shape=wanted, starts=(0,) * len(shape), steps=steps)
    (layer,) = group_layers(net.graph(out))
    return layer


def test_a_slice_reads_what_it_keeps() -> None:
    """Every tenth of 1000 values, not the 991 in between."""
    found = layer_bound(_slice((1000,), (100,), (10,)), northpole())
    assert found["memory_port"] == (100 + 100) / (256 * 128)


def test_a_concatenation_reads_all_its_inputs() -> None:
    net = NetworkBuilder("n")
    a, b = net.input("a", (2, 30)), net.input("b", (2, 50))
    (layer,) = group_layers(net.graph(net.node("Concat", (a, b), 8, axis=1)))
    assert layer_bound(layer, northpole())["memory_port"] == 2 * 160 / (256 * 128)


def test_a_layer_takes_a_cycle_at_least() -> None:
    assert bound_cycles(_slice((4,), (2,), (1,)), northpole()) == 1


CASES = {
    "stride": one_conv((1, 16, 24, 24), 16, 1, 6),
    "window": one_conv((2, 5, 9, 9), 7, 3, 2),
    "groups": one_conv((1, 8, 6, 6), 8, 3, groups=8),
    "mixed": one_conv((2, 12, 5, 5), 9, 3, weight_bits=2, input_bits=4),
    "slice": _slice((6, 40), (3, 4), (2, 10)),
}


@pytest.mark.parametrize("target", [mesh(4, 4), load_target("tile64-sim")], ids=["4x4", "tile64"])
@pytest.mark.parametrize("name", CASES)
def test_no_cut_is_faster_than_the_bound(name: str, target: Target) -> None:
    """All cuts there are, without counting fill, transfers or programs."""
    layer = CASES[name]
    space = space_of(layer)
    cuts = Cuts(space, enumerate_cuts(space, target.cores), target.cores)
    least = layer_bound(layer, target)
    loads = own_loads(layer, cuts, target)
    for unit, cycles in least.items():
        assert (loads.cycles[unit] >= cycles - 1e-9).all(), unit


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_no_cut_of_any_convolution_is_faster(data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from([1, 1, 2, 4]))
    size, kernel = data.draw(st.integers(3, 9)), data.draw(st.integers(1, 3))
    layer = one_conv(
        (data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 9)), size, size),
        groups * data.draw(st.integers(1, 9)),
        kernel,
        data.draw(st.integers(1, 4)),
        input_bits=data.draw(st.sampled_from([2, 4, 8])),
        weight_bits=data.draw(st.sampled_from([2, 4, 8])),
        groups=groups,
        pad=data.draw(st.integers(0, kernel // 2)),
    )
    space = space_of(layer)
    cuts = Cuts(space, enumerate_cuts(space, 16), 16)
    loads = own_loads(layer, cuts, mesh(4, 4))
    for unit, cycles in layer_bound(layer, mesh(4, 4)).items():
        assert (loads.cycles[unit] >= cycles - 1e-9).all(), unit


@pytest.mark.parametrize("network", [small_cnn, mlp, resnet50])
@pytest.mark.parametrize("factor", [2, 3])
def test_a_multiple_of_the_batch_never_lowers_throughput(network: object, factor: int) -> None:
    """ceil(k x) <= k ceil(x): the cycles of k batches are no more than k times those of one."""
    assert callable(network)
    one, many = network(4), network(4 * factor)
    assert network_bound(many, northpole()) <= factor * network_bound(one, northpole())


@pytest.mark.parametrize(
    "key",
    [
        "core.vector_unit.rate",
        "core.activation_unit.rate",
        "core.memory_port.width",
        "core.matrix_unit.outputs",
        "array.rows",
    ],
)
def test_more_hardware_never_raises_the_bound(key: str) -> None:
    figure = dict(northpole().figures())[key]
    number, _, unit = figure.text.partition(" ")
    better = changed_target({key: f"{2 * int(number)} {unit}"})
    for layer in group_layers(small_cnn(4)):
        assert bound_cycles(layer, better) <= bound_cycles(layer, northpole())


def test_narrower_weights_are_faster_where_the_matrix_unit_is_the_limit() -> None:
    eight, four = group_layers(resnet50(4, 8)), group_layers(resnet50(4, 4))
    for wide, narrow in zip(eight, four, strict=True):
        assert bound_cycles(narrow, northpole()) <= bound_cycles(wide, northpole())
    stage = next(i for i, layer in enumerate(eight) if layer.name == "s3b2c2")
    assert bound_cycles(eight[stage], northpole()) == 2 * bound_cycles(four[stage], northpole())
