"""What crosses between cards, counted by hand, and when."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import ORIGIN, NetworkBuilder
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.program.program import Options
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.program import SpaceProgram, build_space
from zapdeploy.hardware_targets import parse_target, target_text
from zapdeploy.sim.space.flow import traffic_of
from zapdeploy.sim.space.results import SpaceResult, time_space


def two_convolutions(size: tuple[int, int] = (8, 12), stride: int = 1, bits: int = 8) -> Graph:
    net = NetworkBuilder("two")
    x = net.conv(net.input("image", (1, 4, *size)), 8, 3, name="first", bits=bits)
    return net.graph(net.conv(x, 4, 3, stride, name="second", bits=bits))


def compiled(made: Graph, *parts: int) -> SpaceProgram:
    where, text = target_text("northpole-sim")
    options = Options(1, 1, "throughput")
    return build_space(made, ORIGIN, parse_target(text, where), text, options, Grid(parts))


@pytest.mark.parametrize(("bits", "each"), [(8, 88), (4, 44)])
def test_halo_of_a_layer_on_four_cards(bits: int, each: int) -> None:
    """The second layer's 3 x 3 window reads one row and one column of 8 channels beyond the 4 x 6
    positions of a card: 6 above or below, 4 beside, 1 in the corner, so (6 + 4 + 1) x 8 = 88
    elements into every card, and as many out of it. The first layer's come from the host.
    """
    program = compiled(two_convolutions(bits=bits), 2, 2)
    (only,) = traffic_of(program.cards, program.target)
    assert only.value == "first_out"
    assert only.in_bytes.tolist() == only.out_bytes.tolist() == [each] * 4
    result = time_space(program)
    assert int(result.flow.in_bytes.sum()) == 4 * each
    assert result.as_json()["exchanges"][0]["bytes"] == 4 * each


def test_halo_of_a_stride() -> None:
    """Two cards over 9 rows, of which the strided layer makes 5: the first card makes 2 of them
    and reads rows -1 to 3, the other 3 and reads rows 3 to 9. The first has rows 0 to 2 (2 of 5
    of 9), so it gets row 3 of 7 x 8 elements, and the other has rows from 3 on and gets none."""
    program = compiled(two_convolutions((9, 7), stride=2), 2, 1)
    assert program.cards.cut.owned["first_out"].high[:, 2].tolist() == [3, 9]
    (only,) = traffic_of(program.cards, program.target)
    assert (only.in_bytes.tolist(), only.out_bytes.tolist()) == ([56, 0], [0, 56])


def test_sums_go_to_every_card() -> None:
    """Two cards each have a sum of 8 bytes for each of 8 channels; both are given both."""
    from tests.compile.ops.build import UINT8, graph, quantized
    from tests.space_networks import Drawing

    d = Drawing(np.random.default_rng(0))
    d.norm(quantized("x", (1, 4, 6, 6), UINT8, 0.03, 9))
    program = compiled(graph(*d.calls), 2, 1)
    sums = traffic_of(program.cards, program.target)
    groups = 2
    assert [each.in_bytes.tolist() for each in sums] == [[2 * groups * 8] * 2] * 2


def result_of(*parts: int) -> SpaceResult:
    return time_space(compiled(two_convolutions((16, 32)), *parts))


def test_one_card_waits_for_nobody() -> None:
    """One card alone takes what it takes as a single chip, and sends nothing."""
    result = result_of(1, 1)
    assert not result.flow.traffic
    assert result.pass_s == pytest.approx(result.timelines[0].array_s, rel=1e-12)


def test_waiting_adds_up() -> None:
    """Working and waiting are the whole pass of every card; a halo's way takes two transfers."""
    result = result_of(2, 2)
    host = result.program.target.host
    for card, kind in enumerate(result.program.cards.kinds):
        timeline = result.timelines[kind]
        working = timeline.spans[-1].end / timeline.clock_hz
        waited = result.flow.halo_wait_s[card] + result.flow.sum_wait_s[card]
        assert result.flow.ended_s[card] == pytest.approx(working + waited, rel=1e-9)
        assert 0 < waited < 2 * host.transfer_latency_s + 1e-6


def test_energy_parts_add_up() -> None:
    result = result_of(2, 2)
    parts = sum(part.value for part in result.energy_parts.values())
    assert parts == pytest.approx(result.energy_per_frame.value, rel=1e-9)


def test_passes_make_a_frame() -> None:
    once, often = result_of(2, 2), time_space(compiled(two_convolutions((16, 32)), 2, 2), passes=4)
    assert often.throughput_fps == pytest.approx(once.throughput_fps / 4)
    assert often.energy_per_frame.value == pytest.approx(4 * once.energy_per_frame.value)
