"""Cycles and events of single layers, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import NetworkBuilder, changed_target, mesh, mlp, northpole, one_conv, small_cnn
from zapdeploy.compile.graph import FLOAT32, INT32, ElementType, Quantization, Value
from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.mapping.cost import (
    Loads,
    core_work,
    mac_bits,
    own_loads,
    parameter_slices,
    read_region,
    storage_bits,
)
from zapdeploy.compile.mapping.tiling import Cuts, enumerate_cuts, space_of
from zapdeploy.errors import ModelError
from zapdeploy.hardware_targets import Target, load_target

ONE_CORE = mesh(1, 1)


def cut(layer: Layer, factors: tuple[int, ...], target: Target) -> Cuts:
    return Cuts(space_of(layer), np.array([factors], np.int64), target.cores)


def loads_of(layer: Layer, factors: tuple[int, ...], target: Target) -> Loads:
    return own_loads(layer, cut(layer, factors, target), target)


def whole_on_one_core(layer: Layer, target: Target = ONE_CORE) -> Loads:
    return loads_of(layer, (1,) * (len(layer.output.shape) + 1), target)


def one_dense(batch: int, inputs: int, outputs: int, bits: int = 8) -> Layer:
    net = NetworkBuilder("one_dense")
    x = net.input("x", (batch, inputs), bits)
    (layer,) = group_layers(net.graph(net.dense(x, outputs, bits=bits, weight_bits=bits)))
    return layer


# ---------------------------------------------------------------- the matrix unit


def test_conv1_of_resnet50() -> None:
    """A row of the 7 x 7 window over 3 channels is 21 values, inside one vector of 32.

    Seven rows for each of 112 x 112 positions and for each of two sets of 32 outputs.
    """
    loads = whole_on_one_core(one_conv((1, 3, 224, 224), 64, 7, 2))
    assert loads.matrix_cycles[0] == 112 * 112 * 7 * 2
    assert loads.macs[0] == 118_013_952


def test_pointwise_64_to_256_at_4_bit() -> None:
    """64 values of 4 bits fill the 32 bytes of one vector: 8 sets of 32 outputs, 8 cycles."""
    layer = one_conv((1, 64, 56, 56), 256, 1, input_bits=4, weight_bits=4)
    assert whole_on_one_core(layer).matrix_cycles[0] == 56 * 56 * 8


def test_three_by_three_at_4_bit() -> None:
    """A row of 3 x 64 values takes 3 vectors of 64: 9 for the window, twice for 64 outputs."""
    layer = one_conv((1, 64, 14, 14), 64, 3, input_bits=4, weight_bits=4)
    assert whole_on_one_core(layer).matrix_cycles[0] == 14 * 14 * 9 * 2


def test_rows_of_a_window_do_not_share_a_vector() -> None:
    """3 x 5 = 15 values would fit 32 twice over, but rows do not lie side by side in memory."""
    assert whole_on_one_core(one_conv((1, 5, 4, 4), 32, 3)).matrix_cycles[0] == 16 * 3


def test_depthwise_convolutions_are_packed() -> None:
    """Of the 32 groups with rows of 3 values and 1 output, 10 fit 32 values: 4 times 3 rows."""
    layer = one_conv((1, 32, 8, 8), 32, 3, groups=32)
    assert whole_on_one_core(layer).matrix_cycles[0] == 64 * 4 * 3


def test_packing_is_limited_by_the_outputs() -> None:
    """Groups of 1 value and 16 outputs: 32 would fit the inputs, but 2 fill the 32 outputs."""
    layer = one_conv((1, 4, 8, 8), 64, 1, groups=4)
    assert whole_on_one_core(layer).matrix_cycles[0] == 64 * 2


def test_groups_of_resnext() -> None:
    """32 groups of 4 channels: rows of 12 values, 2 in a vector of 32; 16 pairs times 3 rows."""
    layer = one_conv((1, 128, 4, 4), 128, 3, groups=32)
    assert whole_on_one_core(layer).matrix_cycles[0] == 16 * 16 * 3


def test_matrix_product() -> None:
    """70 inputs take 3 vectors of 32, 40 outputs take 2 sets of 32; 5 rows."""
    loads = whole_on_one_core(one_dense(5, 70, 40))
    assert loads.matrix_cycles[0] == 5 * 3 * 2
    assert loads.macs[0] == 5 * 70 * 40


def test_another_unit_s_geometry() -> None:
    """tile64-sim: 64 inputs against 16 outputs, so conv1 takes 7 rows for each of 4 sets."""
    tile = load_target("tile64-sim")
    layer = one_conv((1, 3, 224, 224), 64, 7, 2)
    assert own_loads(layer, cut(layer, (1,) * 5, tile), tile).matrix_cycles[0] == 112 * 112 * 7 * 4


def test_a_ragged_cut_is_as_slow_as_its_largest_tile() -> None:
    """Seven rows over 2 cores: the first takes 4 of them."""
    target = mesh(1, 2)
    loads = loads_of(one_conv((1, 32, 7, 7), 32, 1), (1, 1, 2, 1, 1), target)
    assert loads.cycles["matrix"][0] == 4 * 7
    assert loads.matrix_cycles[0] == 7 * 7


CUT_LAYERS = {
    "plain": one_conv((4, 6, 5, 7), 9, 3),
    "strided": one_conv((2, 8, 9, 9), 6, 3, 2),
    "grouped": one_conv((2, 6, 5, 5), 9, 3, groups=3),
    "depthwise": one_conv((2, 12, 5, 5), 12, 3, groups=12),
    "dense": one_dense(6, 20, 14),
}
MACS = {
    "plain": 4 * 9 * 5 * 7 * 6 * 9,
    "strided": 2 * 6 * 5 * 5 * 8 * 9,
    "grouped": 2 * 9 * 5 * 5 * 2 * 9,
    "depthwise": 2 * 12 * 5 * 5 * 1 * 9,
    "dense": 6 * 20 * 14,
}


@pytest.mark.parametrize("name", CUT_LAYERS)
def test_the_work_is_the_same_under_every_cut(name: str) -> None:
    """MACs: output elements times window times input channels of one group.

    Element operations depend on the output alone, but for the additions of partial sums.
    """
    layer, target = CUT_LAYERS[name], mesh(4, 4)
    space = space_of(layer)
    cuts = Cuts(space, enumerate_cuts(space, target.cores), target.cores)
    loads = own_loads(layer, cuts, target)
    assert set(loads.macs.tolist()) == {MACS[name]}
    assert set(loads.activation_ops.tolist()) == {layer.output.size}
    partial = layer.output.size * (cuts.factors[:, -1] - 1)
    assert np.array_equal(loads.vector_ops, 2 * layer.output.size + partial)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_no_cut_beats_even_sharing(data: st.DataObject) -> None:
    """The busiest core is at least as busy as the mean of all."""
    layer, target = CUT_LAYERS[data.draw(st.sampled_from(sorted(CUT_LAYERS)))], mesh(4, 4)
    factors = enumerate_cuts(space_of(layer), target.cores)
    chosen = tuple(factors[data.draw(st.integers(0, len(factors) - 1))].tolist())
    loads = loads_of(layer, chosen, target)
    unit = target.core.matrix_unit
    assert loads.cycles["matrix"][0] * 16 >= loads.matrix_cycles[0]
    assert loads.matrix_cycles[0] * unit.macs_per_cycle(8) >= loads.macs[0]
    assert loads.core_cycles[0] <= 16 * max(
        loads.cycles[name][0] for name in ("matrix", "vector", "activation", "memory_port")
    )


# ---------------------------------------------------------------- widths and formats


@pytest.mark.parametrize(
    ("inputs", "weights", "bits"),
    [(8, 8, 8), (8, 4, 8), (4, 8, 8), (4, 4, 4), (4, 2, 4), (2, 2, 2)],
)
def test_the_wider_operand_sets_the_rate(inputs: int, weights: int, bits: int) -> None:
    layer = one_conv((1, 64, 4, 4), 32, 1, input_bits=inputs, weight_bits=weights)
    assert mac_bits(layer, northpole()) == bits
    loads = whole_on_one_core(layer)
    assert loads.mac_bits == bits
    assert loads.matrix_cycles[0] == 16 * -(-64 * bits // (8 * 32))


def test_a_width_that_the_target_lacks_runs_at_the_next() -> None:
    layer = one_conv((1, 64, 4, 4), 32, 1, input_bits=2, weight_bits=2)
    assert mac_bits(layer, load_target("tile64-sim")) == 4


def test_operands_too_wide_for_the_target() -> None:
    net = NetworkBuilder("n")
    x = net.input("x", (1, 8), 8)
    net.values[x] = Value(x, (1, 8), ElementType("int", 16), net.values[x].quantization)
    (layer,) = group_layers(net.graph(net.dense(x, 4, name="wide")))
    with pytest.raises(ModelError) as error:
        mac_bits(layer, northpole())
    assert str(error.value) == (
        "matrix operands must have at most 8 bits on northpole-sim, not 16 (node 'wide');"
        " zapdeploy quantize gives them 8"
    )


def test_storage_takes_the_true_width() -> None:
    for bits in (2, 4, 8):
        assert storage_bits(Value("x", (1,), ElementType("uint", bits)), northpole()) == bits
    assert storage_bits(Value("x", (1,), INT32), northpole()) == 32


def test_floats_are_stored_in_the_vector_unit_s_format() -> None:
    value = Value("x", (1,), FLOAT32)
    assert storage_bits(value, northpole()) == 16
    assert storage_bits(value, load_target("tile64-sim")) == 32


# ---------------------------------------------------------------- memory


def test_memory_traffic_of_a_pointwise_convolution() -> None:
    """16 positions, 64 to 256 channels at 4 bit.

    Vectors: 16 x 8 cycles of 32 B = 4096. Results: 16 x 256 / 2 = 2048. Parameters: 64 x 256 / 2
    weights, 256 biases and 256 multipliers of 4 B = 10,240. Together 16,384 B, 128 B a cycle.
    """
    layer = one_conv((1, 64, 4, 4), 256, 1, input_bits=4, weight_bits=4, bits=4)
    loads = whole_on_one_core(layer)
    assert loads.memory_bytes[0] == 4096 + 2048 + 10_240
    assert loads.cycles["memory_port"][0] == 128
    assert loads.parameter_bytes[0] == 10_240
    assert loads.held_bytes[0] == 2048
    assert loads.accumulator_bytes[0] == 128 * 32 * 2 * 4  # read and written, 32 sums of 4 B


def test_weights_are_loaded_again_when_the_accumulators_are_full() -> None:
    """32 KiB hold 256 positions of 32 sums: 1024 positions take the weights 4 times."""
    layer = one_conv((1, 64, 32, 32), 32, 1, input_bits=4, weight_bits=4, bits=4)
    loads = whole_on_one_core(layer)
    parameters = 64 * 32 // 2 + 32 * 4 + 32 * 4
    assert loads.parameter_bytes[0] == parameters
    assert loads.memory_bytes[0] == 1024 * 32 + 1024 * 32 // 2 + 4 * parameters


def test_a_residual_operand_is_read_once_more() -> None:
    """block1add reads 32 channels of 4 x 4 at 4 bit beside what the convolution does."""
    layers = {layer.name: layer for layer in group_layers(small_cnn(1))}
    both = layers["block1a"]
    alone = one_conv((1, 32, 4, 4), 32, 3, input_bits=4, weight_bits=4, bits=4)
    extra = whole_on_one_core(both).memory_bytes[0] - whole_on_one_core(alone).memory_bytes[0]
    assert extra == 32 * 4 * 4 // 2


def test_an_activation_as_second_operand_is_read_once_per_chunk() -> None:
    """[1, 512, 8] x [1, 8, 32]: 512 positions are 2 accumulator_tiles, and b is 256 B each time."""
    net = NetworkBuilder("n")
    a, b = net.input("a", (1, 512, 8)), net.input("b", (1, 8, 32))
    (layer,) = group_layers(net.graph(net.node("MatMul", (a, b), 8)))
    loads = whole_on_one_core(layer)
    assert loads.memory_bytes[0] == 512 * 32 + 512 * 32 + 2 * 256
    assert loads.parameter_bytes[0] == 0


def test_pooling_reads_each_value_of_its_box_once() -> None:
    """8 x 8 x 4 channels at 4 bit in, 4 x 4 x 4 out; 3 compares for each output."""
    net = NetworkBuilder("n")
    pooled = net.max_pool(net.input("x", (1, 4, 8, 8), 4), 2, 2, 0)
    (layer,) = group_layers(net.graph(pooled))
    loads = whole_on_one_core(layer)
    assert loads.memory_bytes[0] == 256 / 2 + 64 / 2
    assert loads.vector_ops[0] == 64 * 3
    assert loads.macs[0] == loads.matrix_cycles[0] == 0


def test_halves_of_bytes_are_rounded_up_only_where_they_are_stored() -> None:
    """3 x 3 values of 4 bits: 4.5 B pass the port, 5 B are held."""
    loads = whole_on_one_core(one_conv((1, 1, 3, 3), 1, 1, bits=4))
    assert loads.held_bytes[0] == 5
    assert loads.memory_bytes[0] == 9 * 32 + 4.5 + (1 + 4 + 4)


def test_the_vector_and_activation_units() -> None:
    """A requantized output with a bias: 2 vector and 1 activation operation, at 256 and 32."""
    loads = whole_on_one_core(one_conv((1, 8, 16, 16), 64, 1))
    outputs = 64 * 16 * 16
    assert loads.vector_ops[0] == 2 * outputs
    assert loads.activation_ops[0] == outputs
    assert loads.cycles["vector"][0] == 2 * outputs / 256
    assert loads.cycles["activation"][0] == outputs / 32


# ---------------------------------------------------------------- networks


def test_partial_sums_along_a_row() -> None:
    """64 inputs over 4 cores: 32 sums of 4 B pass 3 links of 64 B a cycle."""
    loads = loads_of(one_dense(1, 64, 32), (1, 1, 4), mesh(1, 4))
    assert loads.cycles["partial_sum_network"][0] == 2
    assert loads.partial_sum_bit_hops[0] == 3 * 32 * 32
    assert loads.vector_ops[0] == 2 * 32 + 3 * 32
    alone = loads_of(one_dense(1, 64, 32), (1, 1, 1), mesh(1, 4))
    assert alone.cycles["partial_sum_network"][0] == 0
    assert loads.fill[0] - alone.fill[0] == 3  # hops


def test_partial_sums_over_the_end_of_a_row() -> None:
    """On 2 x 2 cores the second link leads back to the first column and down: 2 hops."""
    loads = loads_of(one_dense(1, 64, 32), (1, 1, 4), mesh(2, 2))
    assert loads.partial_sum_bit_hops[0] == (1 + 2 + 1) * 32 * 32
    alone = loads_of(one_dense(1, 64, 32), (1, 1, 1), mesh(2, 2))
    assert loads.fill[0] - alone.fill[0] == 4


def test_partial_sums_that_do_not_start_at_a_row_s_first_core() -> None:
    """Two sums of 3 cores on rows of 4: cores 3, 4, 5 cross the end, 4 hops and 1."""
    loads = loads_of(one_dense(1, 63, 32), (1, 2, 3), mesh(2, 4))
    assert loads.partial_sum_bit_hops[0] == ((1 + 1) + (4 + 1)) * 16 * 32
    alone = loads_of(one_dense(1, 63, 32), (1, 2, 1), mesh(2, 4))
    assert loads.fill[0] - alone.fill[0] == 4 + 1


def test_the_last_core_of_a_sum_does_the_rest() -> None:
    target = mesh(1, 4)
    layer = one_dense(1, 64, 32)
    work = core_work(layer, cut(layer, (1, 1, 4), target), target)
    assert work.held_bytes[0].tolist() == [0, 0, 0, 32]
    assert work.activation_ops[0].tolist() == [0, 0, 0, 32]
    assert work.vector_ops[0].tolist() == [0, 32, 32, 2 * 32 + 32]


def test_weights_of_one_s_own_do_not_travel() -> None:
    """Cut along the outputs, each core keeps its own columns."""
    loads = loads_of(one_dense(4, 64, 32), (1, 4, 1), mesh(2, 2))
    assert loads.cycles["model_network"][0] == loads.model_bit_hops[0] == 0
    assert loads.parameter_bytes[0] == 64 * 8 + 8 * 4 + 8 * 4


def test_shared_weights_are_stored_once_and_sent() -> None:
    """Cut along the batch, 4 cores need all S bytes and keep a quarter each.

    Each core receives 3/4 S. All parts cross every column link at most once: S at 128 B a cycle is
    the most that a link can carry. A tree to 4 cores has 3 links: 3 S bytes x hops.
    """
    loads = loads_of(one_dense(4, 64, 32), (4, 1, 1), mesh(2, 2))
    size = 64 * 32 + 32 * 4 + 32 * 4
    assert loads.parameter_bytes[0] == size / 4
    assert 3 / 4 * size / 128 <= loads.cycles["model_network"][0] <= size / 128
    assert loads.model_bit_hops[0] == 3 * size * 8


def test_parameter_slices_follow_channels_and_partial_sums() -> None:
    """Cores of one column and one part of the inputs need the same; others do not."""
    target = mesh(2, 4)
    layer = one_dense(4, 64, 32)
    cuts = cut(layer, (2, 2, 2), target)
    slices, size = parameter_slices(layer, cuts, target)
    place = [tuple(p[1:]) for p in cuts.coordinates[0].tolist()]
    for i, first in enumerate(place):
        for j, second in enumerate(place):
            assert (slices[0, i] == slices[0, j]) == (first == second)
    assert (slices[0] >= 0).all()
    # Only the last core of a sum needs biases? No: each needs its share of the weights and all
    # biases and multipliers of its columns, as the program is the same in all cores.
    assert set(size[0].tolist()) == {32 * 16 + 16 * 4 + 16 * 4}


def test_cores_without_work_need_no_parameters() -> None:
    target = mesh(2, 2)
    layer = one_dense(1, 64, 32)
    slices, size = parameter_slices(layer, cut(layer, (1, 2, 1), target), target)
    assert (slices[0] >= 0).tolist() == [True, True, False, False]
    assert size[0, 2:].tolist() == [0, 0]


def test_slices_of_many_parameters_stay_apart() -> None:
    """Numbers of slices must not run over, however many per-channel constants a layer has."""
    target, channels = mesh(4, 4), 5000
    net = NetworkBuilder("n")
    x = net.conv(net.input("x", (1, 4, 1, 1)), channels, 1, name="conv")
    for i in range(6):
        shape = (1, channels, 1, 1)
        net.values[f"c{i}"] = Value(f"c{i}", shape, FLOAT32, None, np.ones(shape, np.float32))
        x = net.node("Mul", (x, f"c{i}"))
    (layer,) = group_layers(net.graph(x))
    slices, size = parameter_slices(layer, cut(layer, (1, 16, 1, 1, 1), target), target)
    assert (slices >= 0).all()
    assert len(set(slices[0].tolist())) == 16
    per_channel = 4 / 2 + 4 + 4 + 6 * 2  # 4 weights of 4 bits, bias, multiplier, 6 constants
    assert size.sum() == channels * per_channel


def test_fill_of_a_convolution() -> None:
    """Program start 16, vector and activation units 8 each, 30 hops across, matrix unit 16, and
    the first 32 x 32 weights at 128 B a cycle: 8. Together 86 cycles."""
    layer = one_conv((1, 8, 16, 16), 16, 1)
    assert loads_of(layer, (1, 1, 16, 16, 1), northpole()).fill[0] == 86


def test_fill_of_a_pooling() -> None:
    """Without the matrix unit: 16 + 8 + 8 + 30."""
    layer = next(la for la in group_layers(small_cnn()) if la.name == "pool")
    assert loads_of(layer, (2, 8, 1, 1, 1), northpole()).fill[0] == 62


def test_read_region_of_a_strided_convolution() -> None:
    """Rows 2 and 3 of the output under stride 2, padding 1 read rows 3 to 7 of the input."""
    layer = one_conv((1, 4, 8, 8), 4, 3, 2)
    region = read_region(layer.reads[0], cut(layer, (1, 1, 2, 1, 1), mesh(1, 2)))
    assert region.low[0].tolist() == [[0, 0, 0, 0], [0, 0, 3, 0]]
    assert region.high[0].tolist() == [[1, 4, 4, 8], [1, 4, 8, 8]]


def test_read_region_through_a_view() -> None:
    """Eight columns of the flattened tensor are eight channels of the pooled one."""
    layer = group_layers(small_cnn(2))[-1]
    region = read_region(layer.reads[0], cut(layer, (1, 1, 4), mesh(2, 2)))
    assert region.low[0].tolist() == [[0, 8 * core, 0, 0] for core in range(4)]
    assert region.high[0].tolist() == [[2, 8 * core + 8, 1, 1] for core in range(4)]


def test_read_region_of_an_epilogue_is_what_its_core_holds() -> None:
    """Under a cut of the reduction only the last core of a sum reads the residual."""
    layer = next(la for la in group_layers(small_cnn(1)) if la.name == "block1a")
    cuts = cut(layer, (1, 1, 1, 1, 2), mesh(1, 2))
    anchor, residual = (read_region(read, cuts).volume[0].tolist() for read in layer.reads)
    assert anchor == [16 * 16, 16 * 16]
    assert residual == [0, 32 * 16]


# ---------------------------------------------------------------- laws

WIDER = {
    "core.vector_unit.rate": ("512 op/cycle", "vector"),
    "core.activation_unit.rate": ("64 op/cycle", "activation"),
    "core.memory_port.width": ("256 B/cycle", "memory_port"),
    "networks.model.width": ("256 B/cycle", "model_network"),
    "networks.partial_sum.width": ("128 B/cycle", "partial_sum_network"),
}


@pytest.mark.parametrize("key", WIDER)
def test_a_wider_unit_is_never_slower(key: str) -> None:
    """Under every cut of every layer; the other units and all events stay as they are."""
    text, unit = WIDER[key]
    before = mesh(4, 4)
    after = changed_target({"array.rows": "4", "array.columns": "4", key: text})
    for layer in (*group_layers(small_cnn(2)), *group_layers(mlp(4))):
        space = space_of(layer)
        cuts = Cuts(space, enumerate_cuts(space, 16), 16)
        slow, fast = own_loads(layer, cuts, before), own_loads(layer, cuts, after)
        assert (fast.cycles[unit] <= slow.cycles[unit]).all()
        assert (fast.fill <= slow.fill).all()
        for other in set(slow.cycles) - {unit}:
            assert np.array_equal(slow.cycles[other], fast.cycles[other])
        for events in ("macs", "vector_ops", "memory_bytes", "model_bit_hops", "accumulator_bytes"):
            assert np.array_equal(getattr(slow, events), getattr(fast, events))


def test_zero_points_cost_an_addition() -> None:
    """An output's zero point is added in the epilogue; with a bias it is part of that."""
    ops = []
    for zero_point in (0, 3):
        net = NetworkBuilder("n")
        a, b = net.input("a", (1, 8)), net.input("b", (8, 4))
        out = net.node("MatMul", (a, b), 8, zero_point=zero_point)
        (layer,) = group_layers(net.graph(out))
        ops.append(whole_on_one_core(layer).vector_ops[0])
    assert ops == [4, 8]


def test_multipliers_per_channel_are_parameters_and_one_for_all_is_not() -> None:
    net = NetworkBuilder("n")
    x = net.input("x", (1, 8))
    one = Quantization(np.array([0.1]), np.array([0]), -127, 127)
    net.values["w"] = Value("w", (8, 4), ElementType("int", 8), one, np.ones((8, 4), np.int8))
    (layer,) = group_layers(net.graph(net.node("MatMul", (x, "w"), 8)))
    assert whole_on_one_core(layer).parameter_bytes[0] == 32
    per_channel = net.weights("w2", (8, 4), 8, 1)
    (layer,) = group_layers(net.graph(net.node("MatMul", (x, per_channel), 8)))[1:]
    assert whole_on_one_core(layer).parameter_bytes[0] == 32 + 16
