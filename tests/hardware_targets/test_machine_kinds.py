"""What files of schema 2 can say of a machine: each key changes the result, by what it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.networks import NetworkBuilder, compiled
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.mapping.cost import output_tiles_and_vectors
from zapdeploy.compile.mapping.pricing import Counts, energy_of
from zapdeploy.compile.ops.base import MatrixTile
from zapdeploy.compile.program.layer import lower
from zapdeploy.errors import ModelError, TargetError
from zapdeploy.hardware_targets import Target, load_target, parse_target
from zapdeploy.hardware_targets.inheritance import toml_text
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.results import summarize
from zapdeploy.sim.schedule import schedule
from zapdeploy.sim.timing import time_program

Tables = Mapping[str, Any]


def number(text: str) -> dict[str, str]:
    return {"is": text, "kind": "assumed", "error": "5 %", "why": "a test wants it"}


VALUES = {"inputs": number("8")}


def chip(changes: Tables, base: str = "northpole-sim") -> Target:
    """The base with other entries: {"core.memory": "1 MiB"}; others are taken as they are."""
    raw: dict[str, Any] = {"schema": 2, "name": "mine", "summary": "s", "extends": base}
    for key, value in changes.items():
        table = raw
        *path, last = key.split(".")
        for part in path:
            table = table.setdefault(part, {})
        table[last] = number(value) if str(value)[:1].isdigit() else value
    return parse_target(toml_text(raw), "x")


def network(bits: int = 8, channels: int = 64) -> Graph:
    net = NetworkBuilder("net")
    x = net.input("x", (1, 3, 16, 16))
    x = net.conv(x, channels, 7, 2, name="first", bits=bits, weight_bits=bits)
    x = net.conv(x, channels, 3, 1, name="second", bits=bits, weight_bits=bits)
    return net.graph(x)


def cycles(target: Target, graph: Graph | None = None) -> int:
    return schedule(compiled(graph or network(), target)).cycles


def test_several_positions_at_once_take_fewer_cycles() -> None:
    """4 positions a cycle: four times the peak, and a quarter of the tile passes' cycles."""
    four = chip(
        {"core.matrix_unit.positions_per_cycle": "4", "core.memory_port.width": "1 KiB/cycle"}
    )
    base = chip({"core.memory_port.width": "1 KiB/cycle"})
    peaks = [t.derived_totals()["peak_8bit"][1] for t in (four, base)]
    assert peaks[0] == 4 * peaks[1]
    assert cycles(four) < cycles(base)
    assert four.core.matrix_unit.input_bytes(8) == 4 * 32


def test_packed_taps_fill_the_vectors() -> None:
    """Seven rows of 7 x 3 values are 147: 5 vectors of 32 instead of 7."""
    one = np.ones((1, 1), np.int64)
    tile = MatrixTile(49 * one, one, 64 * one, 7 * one, 21 * one)
    packed = chip({"core.matrix_unit.packs_taps": True})
    assert output_tiles_and_vectors(tile, 8, packed)[1] == 5
    assert output_tiles_and_vectors(tile, 8, load_target("northpole-sim"))[1] == 7
    assert cycles(packed) < cycles(chip({}))


def test_resident_weights_travel_no_more_and_take_more_memory() -> None:
    resident, shared = chip({"core.weights": "resident"}), chip({})
    cut = compiled(network(), shared)
    same = compiled(network(), resident)
    moved = [sum(layer.counts.model_bit_hops for layer in p.layers) for p in (same, cut)]
    assert moved[0] == 0 < moved[1]
    kept = [p.memory.bytes_of("parameters") for p in (same, cut)]
    assert kept[0] > kept[1]
    assert schedule(same).cycles > 0


def test_cores_that_are_off_get_no_work() -> None:
    off = chip({"array.cores_off": "56"})
    assert off.derived_totals()["core_memory"][1] == 200 * 768 * 1024
    for events in lower(compiled(network(), off)).layers:
        assert not events.cuts.output.volume[0, 200:].any()


def test_all_cores_cannot_be_off() -> None:
    with pytest.raises(TargetError, match="cores_off must be below the 256 cores of the array"):
        chip({"array.cores_off": "256"})


def test_sixteen_bit_numbers_have_a_rate_and_a_price() -> None:
    formats = {"fp16": {"inputs": number("8")}, "int4": {"inputs": number("64")}}
    wide = chip({"core.matrix_unit.formats": formats, "energy.mac_16bit": "0.5 pJ"})
    program = compiled(network(8), wide)
    assert [layer.bits for layer in program.layers] == [16, 16]
    counts = sum((layer.counts for layer in program.layers), Counts())
    assert counts.macs_16bit == sum(layer.macs for layer in program.layers)
    priced = energy_of(Counts(macs_16bit=10**12), 0.0, wide)
    assert priced.low < 0.5 < priced.high
    assert cycles(wide) > cycles(chip({}))


def test_float16_holds_integers_of_eleven_bits() -> None:
    """2048 is the last integer up to which float16 leaves none out."""
    assert float(np.float16(2048)) == 2048
    assert float(np.float16(2049)) != 2049
    unit = chip(
        {"core.matrix_unit.formats": {"fp16": {"inputs": number("8")}}, "energy.mac_16bit": "1 pJ"}
    ).core.matrix_unit
    assert (unit.fitting(11), unit.fitting(12)) == (16, None)


def test_formats_that_hold_too_little_are_refused() -> None:
    narrow = chip({"core.matrix_unit.formats": {"int4": {"inputs": number("64")}}})
    with pytest.raises(ModelError, match="matrix operands must have at most 4 bits on mine, not 8"):
        compiled(network(8), narrow)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"core.matrix_unit.formats": {"int8": VALUES}, "core.matrix_unit.widths": [8]},
            "core.matrix_unit must give widths or formats, not both",
        ),
        (
            {"core.matrix_unit.formats": {"fp8": VALUES, "int8": VALUES}},
            "core.matrix_unit formats must each have a width of their own",
        ),
        (
            {"core.matrix_unit.formats": {"fp16": VALUES}},
            "key 'energy.mac_16bit' must be given: the matrix unit has 16 bits",
        ),
        ({"core.matrix_unit.widths": []}, "core.matrix_unit key 'widths'"),
        ({"energy.zero_gating": "1.5"}, "energy zero_gating must be between 0 and 1, not '1.5'"),
        ({"core.weights": "rented"}, "core.weights Input should be 'shared' or 'resident'"),
    ],
)
def test_a_machine_that_cannot_be(changes: Tables, complaint: str) -> None:
    with pytest.raises(TargetError, match=re.escape(complaint)):
        chip(changes)


def test_networks_that_are_not_given_are_the_activation_networks() -> None:
    """tile64-sim with one network in its file: all traffic has the activation network's links."""
    raw = (
        'schema = 2\nname = "one"\nsummary = "s"\nextends = "tile64-sim"\n'
        '[networks.activation]\nwidth = { is = "16 B/cycle", kind = "assumed", error = "5 %",'
        ' why = "a test wants it" }\n'
    )
    several = parse_target(raw, "x")
    own = several.networks.model_copy(update={"own_model": None, "own_partial_sum": None})
    one = several.model_copy(update={"networks": own})
    assert one.networks.model == one.networks.activation
    assert cycles(one) > cycles(several)


def test_without_a_framebuffer_inputs_lie_in_the_cores() -> None:
    base = load_target("northpole-sim")
    bare = base.model_copy(update={"framebuffer": None})
    program = compiled(network(), bare)
    inputs = 3 * 16 * 16 + 64 * 8 * 8
    assert program.memory.bytes_of("boundary") == -(-2 * inputs // 256)
    assert time_program(program).double_buffered
    x = np.random.default_rng(1).integers(0, 256, (1, 3, 16, 16)).astype(np.uint8)
    found, expected = (
        CoreArray(lower(p)).run({"x": x}) for p in (program, compiled(network(), base))
    )
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_zero_gating_lowers_the_price_of_products_alone() -> None:
    """Half of the energy saved, at the stated value; between 47.5 and 52.5 %."""
    gated = chip({"energy.zero_gating": "0.5"})
    base = chip({"energy.mac_8bit": {**number("0.069 pJ"), "low": "0.03 pJ", "high": "0.16 pJ"}})
    macs = Counts(macs_8bit=10**9)
    saved = energy_of(macs, 0.0, gated).low / energy_of(macs, 0.0, base).low
    assert saved == pytest.approx(0.475, rel=0.01)
    others = Counts(memory_bytes=10**9)
    assert energy_of(others, 0.0, gated) == energy_of(others, 0.0, base)


def test_latency_is_transfers_launch_and_array() -> None:
    """Two transfers of 10 us and a launch of 5 us come on top; a stream hides them."""
    slow = chip({"host.transfer_latency": "10 us", "host.launch_latency": "5 us"})
    none = slow.host.model_copy(update={"transfer_latency": None, "launch_latency": None})
    fast = slow.model_copy(update={"host": none})
    found, before = (summarize(compiled(network(), t)) for t in (slow, fast))
    assert found.latency_s - before.latency_s == pytest.approx(25e-6)
    assert found.flow.latency_s - before.flow.latency_s == pytest.approx(25e-6)
    assert found.throughput_fps == before.throughput_fps
