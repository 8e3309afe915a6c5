"""Counts times prices: the parts, the interval, the calibration."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import northpole, small_cnn_program
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.cost import own_loads
from zapdeploy.compile.mapping.pricing import (
    Counts,
    energy_of,
    energy_parts,
    price_loads,
)
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.hardware_targets import Target, load_target
from zapdeploy.quantities import Provenance

# northpole-sim has no 16-bit mode, and no price for it.
EVENTS = [field.name for field in fields(Counts) if field.name != "macs_16bit"]
PRICES = {
    "macs_8bit": "mac_8bit",
    "macs_4bit": "mac_4bit",
    "macs_2bit": "mac_2bit",
    "vector_ops": "vector_op",
    "activation_ops": "activation_op",
    "accumulator_bytes": "accumulator_byte",
    "memory_bytes": "memory_byte",
    "model_bit_hops": "noc_bit_hop.model",
    "activation_bit_hops": "noc_bit_hop.activation",
    "partial_sum_bit_hops": "noc_bit_hop.partial_sum",
    "instruction_bit_hops": "noc_bit_hop.instruction",
    "framebuffer_bytes": "framebuffer_byte",
    "host_bytes": "host_byte",
    "core_cycles": "core_cycle",
}


def at(calibration: float) -> Target:
    target = northpole()
    figure = target.energy.calibration.model_copy(update={"value": calibration})
    return target.model_copy(
        update={"energy": target.energy.model_copy(update={"calibration": figure})}
    )


def unmeasured() -> Target:
    """northpole-sim, had its power not been published."""
    return northpole().model_copy(update={"calibration": None})


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    return Counts(**{name: draw(st.integers(0, 10**12)) for name in EVENTS})


def test_every_event_has_a_price_of_its_own() -> None:
    """A million events of one kind cost a million times that price; the interval of a price that
    nothing was measured about is its bracket."""
    assert set(PRICES) == set(EVENTS)
    figures, bare = dict(northpole().figures()), unmeasured()
    for event, key in PRICES.items():
        figure = figures[f"energy.{key}"]
        found = energy_of(Counts(**{event: 10**6}), 0.0, bare)
        assert found.low == pytest.approx(1e6 * figure.low, rel=0.05)
        assert found.high == pytest.approx(1e6 * figure.high, rel=0.05)
        assert found.value == pytest.approx(1e6 * northpole().energy.price(figure))


def test_every_price_of_the_target_is_used() -> None:
    """But for the powers, which are priced by time, the calibration itself, and how prices follow
    the values, which the prices by activity use.
    """
    keys = {key for key, _ in northpole().figures() if key.startswith("energy.")}
    keys = {key for key in keys if not key.startswith("energy.activity.")}
    others = {"static_power", "idle_power", "calibration"}
    assert keys == {f"energy.{key}" for key in {*PRICES.values(), *others}}


def test_energy_by_hand() -> None:
    """At the low end: 10^9 MACs of 0.0075 pJ, 10^6 bytes of 0.25 pJ, 1 ms of 10 W."""
    found = energy_of(Counts(macs_4bit=10**9, memory_bytes=10**6), 1e-3, at(0.0))
    assert found.value == pytest.approx(7.5e-6 + 2.5e-7 + 1e-2)
    assert found.kind is Provenance.MODELLED


@settings(deadline=None, max_examples=50)
@given(counts(), st.floats(0, 10))
def test_parts_add_up(events: Counts, seconds: float) -> None:
    whole, parts = (
        energy_of(events, seconds, northpole()),
        energy_parts(events, seconds, northpole()),
    )
    assert set(parts) == {*EVENTS, "static"}
    total = sum(part.value for part in parts.values())
    assert total == pytest.approx(whole.value, rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(counts(), st.floats(0, 10), st.floats(0, 1), st.floats(0, 1))
def test_calibration_moves_the_value_one_way(
    events: Counts, seconds: float, a: float, b: float
) -> None:
    """Upwards with the calibration; the ends of the interval stay where they are."""
    lower, higher = (energy_of(events, seconds, at(place)) for place in sorted((a, b)))
    assert lower.value <= higher.value * (1 + 1e-12)
    assert (lower.low, lower.high) == (higher.low, higher.high)


def test_energy_is_what_happens_and_what_passes() -> None:
    events = Counts(macs_8bit=10**9)
    target = northpole()
    static = energy_of(Counts(), 2.0, target)
    assert static.value == pytest.approx(2 * northpole().energy.price(target.energy.static_power))
    assert energy_of(events, 2.0, target).value == pytest.approx(
        energy_of(events, 0.0, target).value + static.value
    )


def test_waiting_has_its_own_power() -> None:
    """tile64-sim gates its clock: 1 to 4 W instead of 2.5 to 10 W."""
    tile = load_target("tile64-sim")
    waiting, standing = energy_of(Counts(), 0.0, tile, 3.0), energy_of(Counts(), 3.0, tile)
    assert (waiting.low, waiting.value, waiting.high) == pytest.approx((3.0, 6.0, 12.0), rel=0.05)
    assert (standing.low, standing.high) == pytest.approx((7.5, 30.0), rel=0.05)


def test_counts_add_field_by_field() -> None:
    one = Counts(**{name: i for i, name in enumerate(EVENTS)})
    two = one + one
    assert [getattr(two, name) for name in EVENTS] == [2 * i for i in range(len(EVENTS))]
    assert one + Counts() == one


def test_counts_as_json_group_the_networks() -> None:
    found = Counts(macs_4bit=7, model_bit_hops=1, partial_sum_bit_hops=3).as_json()
    assert found["macs_4bit"] == 7
    assert found["noc_bit_hops"] == {
        "model": 1,
        "activation": 0,
        "partial_sum": 3,
        "instruction": 0,
    }
    assert not any(str(key).endswith("_bit_hops") and key != "noc_bit_hops" for key in found)
    assert len(found) == len(fields(Counts)) - 4 + 1


def test_candidates_are_priced_as_their_counts() -> None:
    """What the mapper compares is what the Program's events cost, where both know them.

    The Program rounds each count up: less than one event of each kind.
    """
    program, target = small_cnn_program(), northpole()
    layers = {layer.name: layer for layer in group_layers(program.graph)}
    fetched = ("activation_bit_hops", "instruction_bit_hops", "framebuffer_bytes", "host_bytes")
    for made in program.layers:
        layer = layers[made.name]
        cuts = Cuts(space_of(layer), np.array([made.cut]), target.cores)
        joules = price_loads(own_loads(layer, cuts, target), target)[0]
        moved = sum(f.total_received_bytes for f in made.fetches)
        moved += sum(f.total_sent_bytes for f in made.fetches if not f.from_framebuffer)
        own = replace(
            made.counts,
            **dict.fromkeys(fetched, 0),
            memory_bytes=made.counts.memory_bytes - moved,
        )
        one_of_each = energy_of(Counts(**dict.fromkeys(EVENTS, 1)), 0.0, target).value
        assert joules == pytest.approx(energy_of(own, 0.0, target).value, rel=0, abs=one_of_each)
