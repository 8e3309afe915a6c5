"""What a user reads: the keys of the contract, and the arithmetic behind the numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.networks import (
    changed_target,
    compiled,
    mlp,
    northpole,
    resnet50_program,
    small_cnn_program,
)
from zapdeploy.compile.mapping.pricing import Counts, energy_of
from zapdeploy.compile.program.program import Program
from zapdeploy.quantities import Provenance
from zapdeploy.sim.documents import program_json
from zapdeploy.sim.results import Result, summarize

NUMBER = (int, float)
NETWORKS = ("model", "activation", "partial_sum", "instruction")
# The contract of the command line: every key and what stands there.
KEYS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "target": str,
    "digest": str,
    "batch": int,
    "chips": int,
    "fits": bool,
    "unfit": type(None),
    "clock_hz": NUMBER,
    "cycles": int,
    "latency_s": float,
    "throughput_fps": float,
    "bound_throughput_fps": float,
    "utilization": float,
    "energy_per_frame_j": dict,
    "power_w": dict,
    "energy_at_frame_rate_j": (dict, type(None)),
    "memory": dict,
    "counts": dict,
    "layers": list,
}
MEMORY = (
    "weights_bytes",
    "activations_peak_bytes",
    "program_bytes",
    "per_core_peak_bytes",
    "per_core_limit_bytes",
)
LAYER: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "op": str,
    "cut": list,
    "cycles": int,
    "bound_cycles": int,
    "limiter": str,
    "macs": int,
    "bits": int,
    "energy_j": float,
}


@pytest.fixture(params=["resnet50", "northpole-sim", "tile64-sim", "groq-tsp-sim"], scope="module")
def program(request: pytest.FixtureRequest) -> Program:
    return resnet50_program() if request.param == "resnet50" else small_cnn_program(request.param)


def as_json(result: Result) -> dict[str, Any]:
    """As a reader of the printed document sees it."""
    found: dict[str, Any] = json.loads(json.dumps(result.as_json(), allow_nan=False))
    return found


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_keys_of_the_contract(program: Program, rate: float | None) -> None:
    found = as_json(summarize(program, rate))
    for key, kind in KEYS.items():
        assert isinstance(found[key], kind), key
    assert (found["energy_at_frame_rate_j"] is None) == (rate is None)
    for key in MEMORY:
        assert type(found["memory"][key]) is int, key
    assert len(found["layers"]) == len(program.layers)
    for layer in found["layers"]:
        for key, kind in LAYER.items():
            assert isinstance(layer[key], kind), key
        assert layer["limiter"] in layer["unit_cycles"]


def test_counts_of_the_contract(program: Program) -> None:
    counts = as_json(summarize(program))["counts"]
    for bits in (8, 4, 2):
        assert type(counts[f"macs_{bits}bit"]) is int
    for key in ("memory_bytes", "host_bytes"):
        assert type(counts[key]) is int
    assert set(counts["noc_bit_hops"]) == set(NETWORKS)
    assert all(type(hops) is int for hops in counts["noc_bit_hops"].values())


@pytest.mark.parametrize("key", ["energy_per_frame_j", "power_w", "energy_at_frame_rate_j"])
def test_intervals_of_the_contract(program: Program, key: str) -> None:
    found = as_json(summarize(program, 100.0))[key]
    assert set(found) == {"value", "low", "high", "kind", "interval"}
    assert found["interval"].startswith("90 %, ")
    assert 0 < found["low"] <= found["value"] <= found["high"]
    assert found["kind"] == "modelled"


def test_a_network_that_does_not_fit_has_the_keys_that_it_can() -> None:
    program = compiled(mlp(8), changed_target({"framebuffer.memory": "512 B"}), batch=8)
    found = json.loads(json.dumps(program_json(program)))
    assert found["fits"] is False
    assert set(found["unfit"]) == {"layer", "what", "demanded", "limit", "hints"}
    assert found["unfit"]["demanded"] == 768
    assert found["unfit"]["limit"] == 512
    assert found["unfit"]["hints"] == ["a smaller --batch", "inputs and outputs in fewer bits"]
    for key in ("model", "target", "digest", "batch", "chips", "memory"):
        assert key in found


def test_boundary_and_provenance_are_named(program: Program) -> None:
    found = as_json(summarize(program))
    assert found["energy_boundary"] == program.target.energy.boundary
    assert found["timing_kind"] == "modelled"


# ---------------------------------------------------------------- the numbers


def test_counts_are_those_of_the_program(program: Program) -> None:
    expected = sum((layer.counts for layer in program.layers), program.boundary_counts)
    assert summarize(program).counts == expected


def test_energy_per_frame_by_hand(program: Program) -> None:
    """All events and the static power over the time between batches, shared by the frames."""
    result = summarize(program)
    energy = program.target.energy
    static = energy.price(energy.static_power) * result.flow.interval_s
    events = energy_of(result.counts, 0.0, program.target).value
    assert result.energy_per_frame.value == pytest.approx((events + static) / result.batch)
    assert result.energy_per_frame.kind is Provenance.MODELLED


def test_parts_add_up(program: Program) -> None:
    result = summarize(program)
    total = sum(part.value for part in result.energy_parts.values())
    assert total == pytest.approx(result.energy_per_frame.value)


def test_layers_and_boundary_add_up(program: Program) -> None:
    """Energies of the layers, of the output's way out and of what belongs to no layer."""
    result = summarize(program)
    layers = sum(layer["energy_j"] for layer in result.as_json()["layers"]) * result.batch
    outside = result.flow.interval_s - result.array_s
    outside += program.output_cycles / program.target.clock_hz
    rest = energy_of(program.boundary_counts, outside, program.target).value
    assert layers + rest == pytest.approx(result.batch * result.energy_per_frame.value)


def test_power_is_energy_times_throughput(program: Program) -> None:
    result = summarize(program)
    assert result.power_w.value == pytest.approx(
        result.energy_per_frame.value * result.throughput_fps
    )
    energy = program.target.energy
    assert result.power_w.value > energy.price(energy.static_power)


def test_throughput_is_below_its_bound(program: Program) -> None:
    result = summarize(program)
    assert result.throughput_fps <= result.bound_throughput_fps
    assert result.bound_cycles == sum(layer.bound_cycles for layer in program.layers)
    assert 0 < result.utilization <= 1


def test_utilization_of_resnet50_by_hand() -> None:
    """8028.5 cycles of full matrix units per frame (see test_bound), over the cycles it takes."""
    result = summarize(resnet50_program())
    assert result.utilization == pytest.approx(32 * 8028.5 / result.cycles, rel=1e-4)


def test_memory_by_hand(program: Program) -> None:
    found = program_json(program)["memory"]
    plan, cores = program.memory, program.target.cores
    assert found["per_core_peak_bytes"] == plan.peak <= found["per_core_limit_bytes"]
    assert found["program_bytes"] == cores * 2 * int(program.target.programs.bytes_per_layer)
    assert found["weights_bytes"] == cores * sum(
        b.size for b in plan.buffers if b.kind == "parameters"
    )


def test_room_for_weights_is_no_less_than_the_weights() -> None:
    """ResNet-50 has 25.5 million weights, 4 bits each but for the first and the last layer."""
    found = program_json(resnet50_program())["memory"]["weights_bytes"]
    weights = 25_502_912
    eight_bit = 64 * 147 + 2048 * 1000
    assert found >= (weights - eight_bit) / 2 + eight_bit


# ---------------------------------------------------------------- at a frame rate


def test_energy_at_a_frame_rate_by_hand() -> None:
    """A frame a millisecond: its own energy, and idle power for the rest of the millisecond."""
    program = small_cnn_program("tile64-sim")
    result = summarize(program, 1000.0)
    rate = result.at_frame_rate
    assert rate is not None
    busy = result.flow.interval_s / 2
    assert rate.busy_share == pytest.approx(busy / 1e-3)
    waiting = 1e-3 - busy
    found, watts = rate.energy_per_frame, 2.0  # idle_power of tile64-sim: 1 to 4 W
    assert found.value == pytest.approx(result.energy_per_frame.value + watts * waiting)
    assert found.low == pytest.approx(result.energy_per_frame.value + 1.0 * waiting, rel=0.05)
    assert found.high == pytest.approx(result.energy_per_frame.value + 4.0 * waiting, rel=0.05)
    assert rate.keeps_up


def test_keeping_up_ends_at_the_throughput() -> None:
    program = resnet50_program()
    throughput = summarize(program).throughput_fps
    for factor, keeps_up in ((0.5, True), (0.999, True), (1.001, False), (2.0, False)):
        result = summarize(program, factor * throughput)
        rate = result.at_frame_rate
        assert rate is not None
        assert rate.keeps_up is keeps_up
        assert rate.busy_share == pytest.approx(factor)
        assert result.as_json()["keeps_up"] is keeps_up


def test_a_chip_that_does_not_keep_up_never_waits() -> None:
    program = resnet50_program()
    result = summarize(program, 2 * summarize(program).throughput_fps)
    assert result.at_frame_rate is not None
    assert result.at_frame_rate.energy_per_frame == result.energy_per_frame


def test_slower_frames_cost_more_each() -> None:
    program = small_cnn_program()
    energies = []
    for frame_rate in (10.0, 100.0, 1000.0):
        rate = summarize(program, frame_rate).at_frame_rate
        assert rate is not None
        energies.append(rate.energy_per_frame.value)
    assert energies == sorted(energies, reverse=True)
    idle = northpole().energy.price(northpole().energy.idle_power)
    assert energies[0] == pytest.approx(idle / 10, rel=1e-2), "a tenth of a second, almost all idle"


def test_a_slow_host_link_costs_static_energy() -> None:
    """The array waits, powered, for the next batch."""
    program = resnet50_program()
    slow = replace(program, target=changed_target({"host.bandwidth": "1 GB/s"}))
    fast_result, slow_result = summarize(program), summarize(slow)
    assert slow_result.counts == fast_result.counts
    energy = program.target.energy
    longer = slow_result.flow.interval_s - fast_result.flow.interval_s
    assert longer > 0
    assert slow_result.energy_per_frame.value - fast_result.energy_per_frame.value == pytest.approx(
        energy.price(energy.static_power) * longer / 32
    )


def test_an_event_more_costs_its_price_more() -> None:
    program = small_cnn_program()
    more = replace(program, boundary_counts=program.boundary_counts + Counts(host_bytes=10**6))
    difference = summarize(more).energy_per_frame.value - summarize(program).energy_per_frame.value
    energy = program.target.energy
    assert difference == pytest.approx(1e6 * energy.price(energy.host_byte) / 2)  # two frames
