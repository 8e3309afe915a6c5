"""Two layers whose zeros, ones and toggles are counted on paper.

    x = | 0 3 |    w = | 1 0 |    y = x w = | 6 15 |    v = | 1 |    z = y v = | 6 |
        | 1 3 |        | 2 5 |              | 7 15 |        | 0 |              | 7 |
        | 0 0 |                             | 0  0 |                           | 0 |

One core, one input vector, one set of outputs: the input register sees the rows of x in turn, and
then the first one again, as the next frame would bring it. In binary 6 is 110, 7 is 111, 15 1111.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.compile.ops.build import UINT8, call, constant, graph, quantized
from tests.cuts import with_cuts
from tests.networks import compiled, mesh
from tests.sim.core_array import test_by_hand as four_cores
from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.levels import RANDOM, factor, level_of_products, level_of_words
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.program.layer import Lowered, lower
from zapdeploy.sim.activity.counting import Counter
from zapdeploy.sim.activity.counts import StageActivity, Words
from zapdeploy.sim.core_array import CoreArray

X = np.array([[0, 3], [1, 3], [0, 0]], np.uint8)


def network() -> Graph:
    x = quantized("x", (3, 2), UINT8, 1.0)
    w = constant(quantized("w", (2, 2), scale=1.0), np.array([[1, 0], [2, 5]]))
    y = call("MatMul", [x, w], quantized("y", (), UINT8, 1.0))
    v = constant(quantized("v", (2, 1), scale=1.0), np.array([[1], [0]]))
    z = call("MatMul", [y.output, v], quantized("z", (), UINT8, 1.0))
    calls = (replace(c, node=replace(c.node, name=n)) for c, n in ((y, "first"), (z, "second")))
    return graph(*calls)


def on_one_core() -> Lowered:
    program = compiled(network(), mesh(1, 1))
    cuts = [Cuts(space_of(n), np.array([(1, 1, 1)]), 1) for n in group_layers(program.graph)]
    return lower(with_cuts(program, cuts))


def counted(lowered: Lowered, x: Array) -> StageActivity:
    counter = Counter(lowered)
    CoreArray(lowered, counter).run({"x": x})
    return counter.taken()


def numbers(words: Words) -> list[list[int]]:
    return [part.tolist() for part in (words.bits, words.ones, words.toggles)]


def test_products() -> None:
    first, second = (layer.products for layer in counted(on_one_core(), X).layers)
    # 3 positions x 2 inputs x 2 outputs. Of x 3 of 6 values are zero, of w 1 of 4. Not zero are
    # the products of the one value in x's first column with one weight, of two with two: 5.
    assert (first.macs, first.zero_products) == (12, 7)
    assert (first.inputs, first.zero_inputs, first.weights, first.zero_weights) == (6, 3, 4, 1)
    # Column 0, 1, 0 toggles 1 + 1 + 0 bits, 3, 3, 0 toggles 0 + 2 + 2: 6, each for two products.
    # The weights are loaded once, after themselves.
    assert (first.operand_toggles, first.operand_bits) == (12, 8 * (12 + 4))
    # The first column's bits meet one weight that is not zero, the second's two.
    assert first.multiplier_toggles == 2 * 1 + 4 * 2
    # With zeros withheld each multiplier sees 1 after 1, or 3 after 3.
    assert first.gated_toggles == 0
    # 6, 7, 0 toggles 1 + 3 + 2 bits, 15, 15, 0 toggles 0 + 4 + 4, of which nothing meets v's 0.
    assert (second.macs, second.zero_products) == (6, 4)
    assert (second.operand_toggles, second.multiplier_toggles) == (14, 6)
    assert second.gated_toggles == 2  # 6, 7, and 6 again


def test_words() -> None:
    first, second = counted(on_one_core(), X).layers
    # Sums 6, 7, 0 and 15, 15, 0, each after the one before at the same output.
    assert numbers(first.accumulators) == [[6 * 32], [2 + 4 + 3 + 4], [6 + 8]]
    assert numbers(second.accumulators) == [[3 * 32], [2 + 3], [6]]
    assert numbers(first.memory["vectors"]) == [[48], [5], [6]]
    # All of x is one word of the memory port, and comes after itself; so do y, w and v.
    assert numbers(first.memory["received"]) == [[48], [5], [0]]
    assert numbers(first.memory["written"]) == [[48], [13], [0]]
    assert numbers(second.memory["written"]) == [[24], [5], [0]]
    assert numbers(first.memory["parameters"]) == [[32], [4], [0]]
    # x comes out of the framebuffer over one link.
    assert numbers(first.hops["activation"]) == [[48], [5], [0]]
    assert numbers(first.framebuffer) == [[48], [5], [0]]


def test_links_between_four_cores() -> None:
    """The network of `tests/sim/core_array/test_by_hand.py`.

    x = 1, 2 and 3, 4 come along the two rows, two links each. Weights 10, 20 and a bias 5 (2, 2 and
    2 ones) go from core 0 down to core 2; 1, 2, 0 from core 1 to core 3, and as many bytes back.
    Of the second layer's operands, 115 goes up from core 2, 11 from core 3, and the sums 55 and 115
    from core 0 to core 1.
    """
    first, second = counted(four_cores.lowered(), four_cores.X).layers
    bits, ones, toggles = numbers(first.hops["activation"])
    assert (bits, ones, toggles) == ([32, 0, 32, 0], [4, 0, 6, 0], [0] * 4)
    bits, ones, _ = numbers(first.hops["model"])
    assert bits[:2] == [24, 24]
    assert ones[:2] == [6, 2]
    bits, ones, _ = numbers(second.hops["activation"])
    assert (bits, ones) == ([0, 0, 8, 8], [0, 0, 5, 3])
    assert numbers(second.hops["partial_sum"])[0] == [64, 0, 0, 0]
    assert numbers(second.hops["partial_sum"])[1] == [5 + 5, 0, 0, 0]
    # 55 and 115 differ in two bits, 5 and 11 in three: there and back.
    assert second.products.operand_toggles.tolist() == [4, 6, 0, 0]
    # North is away from core 2 into core 0.
    north = second.links["activation"].ones[3 * 4 : 4 * 4]
    assert north.tolist() == [0, 0, 5, 3]


def test_prices_of_the_first_layer() -> None:
    """Its levels and what they do to prices, on paper: 0.26 of a product is paid for zeros, 0.165
    for the clock, a fifth of the rest goes with operand bits, four
    fifths with bits inside."""
    layer = counted(on_one_core(), X).layers[0]
    target = mesh(1, 1)
    plain = layer.levels(gated=False)["macs_8bit"]
    assert plain == level_of_products(1.0, 12 / 128, 10 / 128)
    toggles = 1 - 0.26 - 0.165
    inside = 0.2 * 24 / 128 + 0.8 * 20 / 128
    assert factor("macs_8bit", plain, target) == pytest.approx(0.26 + 0.165 + toggles * inside)
    gated = layer.levels(gated=True)["macs_8bit"]
    expected = 0.26 + 0.165 * 5 / 12 + toggles * 0.2 * 24 / 128
    assert factor("macs_8bit", gated, target) == pytest.approx(expected)
    hops = layer.levels(gated=False)["activation_bit_hops"]
    assert hops == level_of_words(5 / 48, 0)
    price = factor("activation_bit_hops", hops, target)
    assert price == pytest.approx(0.39 + 0.34 * 2 * 5 / 48)
    assert factor("activation_bit_hops", RANDOM, target) == pytest.approx(1)
    assert factor("host_bytes", level_of_words(0, 0), target) == 1
