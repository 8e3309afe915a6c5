"""What the built-in files say, against the publications that they quote."""

from __future__ import annotations

import tomllib

import pytest

from zapdeploy.hardware_targets import (
    Target,
    built_in_names,
    load_target,
    parse_target,
    target_text,
)

# SCI: Modha et al., Science 382:329-335 (2023). ISSCC: Cassidy et al., ISSCC 2024.
# HC: the Hot Chips 2023 talk. In SI units.
NORTHPOLE_FACTS = {
    "array.rows": (16, "SCI"),
    "array.columns": (16, "SCI"),
    "array.clock": (400e6, "ISSCC"),
    "array.transistors": (22e9, "SCI"),
    "core.memory": (768 * 1024, "SCI"),
    "core.vector_unit.rate": (256, "HC"),
    "core.activation_unit.rate": (32, "HC"),
    "core.memory_port.width": (128, "ISSCC"),
    "framebuffer.memory": (32 * 2**20, "SCI"),
}


WHOLE = ("northpole-sim", "tile64-sim")  # files that extend none
NO_PRICES = ("energy.calibration", "energy.activity.")


@pytest.fixture(params=built_in_names())
def target(request: pytest.FixtureRequest) -> Target:
    return load_target(request.param)


def test_every_assumed_number_has_a_reason_and_an_error(target: Target) -> None:
    assumed = [(key, figure) for key, figure in target.figures() if figure.kind == "assumed"]
    assert assumed
    for key, figure in assumed:
        assert len(figure.why or "") > 10, key
        assert figure.low < figure.high or not figure.value, key
        assert figure.low <= figure.value <= figure.high, key


def test_every_other_number_has_a_source_or_a_derivation(target: Target) -> None:
    for key, figure in target.figures():
        assert figure.kind == "assumed" or figure.source or figure.derivation, key


@pytest.mark.parametrize("name", WHOLE)
def test_sources_are_all_used(name: str) -> None:
    target = load_target(name)
    figures = [figure for _, figure in target.figures()]
    figures += [figure for row in target.published.values() for figure in row.values()]
    used = {name for figure in figures for name in (figure.source or "").split()}
    used |= {name for raw in target.totals.values() for name in raw.get("source", "").split()}
    assert used == set(target.sources)


def test_prices_lie_in_their_brackets(target: Target) -> None:
    energy = target.energy
    for key, figure in target.figures():
        if key.startswith("energy.") and not key.startswith(NO_PRICES):
            assert figure.low < energy.price(figure) < figure.high, key


@pytest.mark.parametrize("name", WHOLE)
def test_prices_are_given_at_the_middle_of_their_brackets(name: str) -> None:
    """`is` is the geometric mean of `low` and `high`, within the two digits it is written with."""
    target = load_target(name)
    for key, figure in target.figures():
        if key.startswith("energy.") and not key.startswith(NO_PRICES):
            middle = (figure.low * figure.high) ** 0.5
            assert figure.value == pytest.approx(middle, rel=0.04), key


def test_narrower_values_run_faster(target: Target) -> None:
    """The input vector has a fixed number of bytes, so rate goes with 1 / width."""
    unit = target.core.matrix_unit
    for bits in unit.widths:
        assert unit.macs_per_cycle(bits) * bits == unit.macs_per_cycle(8) * 8


def test_figures_come_with_their_keys_in_the_order_of_the_file(target: Target) -> None:
    raw = tomllib.loads(target_text(target.name)[1])
    for key, figure in target.figures():
        entry = raw
        for part in key.split("."):
            entry = entry[part]
        assert entry["is"] == figure.text, key
    keys = [key for key, _ in target.figures()]
    assert keys[:3] == ["array.rows", "array.columns", "array.clock"]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("key", NORTHPOLE_FACTS)
def test_northpole_figures_equal_the_publications(key: str) -> None:
    figure = dict(load_target("northpole-sim").figures())[key]
    value, source = NORTHPOLE_FACTS[key]
    assert figure.value == value
    assert figure.source == source
    assert figure.kind in ("published", "reported", "derived")


def test_northpole_totals_equal_the_publications() -> None:
    """2048 / 4096 / 8192 operations per core and cycle (SCI) x 256 x 400 MHz; 192 MiB; 13 TB/s."""
    target = load_target("northpole-sim")
    totals = {name: value for name, (_, value) in target.derived_totals().items()}
    assert totals["peak_8bit"] == pytest.approx(209.7e12, rel=1e-3)
    assert totals["peak_4bit"] == pytest.approx(419.4e12, rel=1e-3)
    assert totals["peak_2bit"] == pytest.approx(838.9e12, rel=1e-3)
    assert totals["core_memory"] == 192 * 2**20
    assert totals["memory_bandwidth"] == pytest.approx(13.1e12, rel=1e-3)
    assert totals["wires_per_core_side"] == 4096
    assert set(target.totals) == set(totals)


def test_northpole_operations_per_core_and_cycle() -> None:
    """2048, 4096 and 8192 at 8, 4 and 2 bit (SCI), at two operations per MAC."""
    unit = load_target("northpole-sim").core.matrix_unit
    operations = [unit.macs_per_cycle(bits) * int(unit.ops_per_mac) for bits in (8, 4, 2)]
    assert operations == [2048, 4096, 8192]


def test_northpole_widths_are_ordered_as_drawn() -> None:
    """Model widest, then partial sums, then activations, about equal to instructions (SCI)."""
    networks = load_target("northpole-sim").networks
    widths = [networks.model, networks.partial_sum, networks.activation, networks.instruction]
    values = [network.width.value for network in widths]
    assert values[0] > values[1] > values[2] == values[3]


def test_northpole_published_result() -> None:
    """42,460 frames/s at 74 W: what the chip's authors report for ResNet-50 (571 frames/s/W)."""
    resnet50 = load_target("northpole-sim").published["resnet50"]
    throughput, power = resnet50["throughput_fps"], resnet50["power_w"]
    assert (throughput.value, power.value) == (42_460, 74)
    assert throughput.value / power.value == pytest.approx(571, rel=0.01)


def test_tile64_is_another_chip_in_every_table() -> None:
    """8 x 8 cores of 1 MiB at 800 MHz, 8 and 4 bit, float32; all of it assumed."""
    tile, northpole = load_target("tile64-sim"), load_target("northpole-sim")
    assert (int(tile.array.rows), int(tile.array.columns), tile.cores) == (8, 8, 64)
    assert tile.clock_hz == 800e6
    assert int(tile.core.memory) == 2**20
    assert tile.core.matrix_unit.widths == (8, 4)
    assert tile.core.vector_unit.format == tile.core.activation_unit.format == "float32"
    assert all(figure.kind == "assumed" for _, figure in tile.figures())
    ours, theirs = dict(tile.figures()), dict(northpole.figures())
    for table in ("array", "core", "networks", "framebuffer", "host", "programs", "energy"):
        keys = [key for key in ours if key.startswith(table)]
        assert any(ours[key].value != theirs[key].value for key in keys), table


def test_tile64_totals() -> None:
    """64 cores x 64 x 16 MACs x 2 x 800 MHz = 104.9 TOPS; 64 MiB; 64 x 256 B x 800 MHz."""
    totals = {
        name: value for name, (_, value) in load_target("tile64-sim").derived_totals().items()
    }
    assert totals["peak_8bit"] == 64 * 64 * 16 * 2 * 800e6
    assert totals["peak_4bit"] == 2 * totals["peak_8bit"]
    assert "peak_2bit" not in totals
    assert totals["core_memory"] == 64 * 2**20
    assert totals["memory_bandwidth"] == 64 * 256 * 800e6
    assert set(load_target("tile64-sim").totals) == set(totals)


def test_a_figure_cannot_be_changed() -> None:
    target = load_target("tile64-sim")
    with pytest.raises(ValueError, match="frozen"):
        target.array.clock.value = 1.0


def test_a_relative_error_opens_an_interval() -> None:
    """25 % around 800 MHz."""
    clock = load_target("tile64-sim").array.clock
    assert (clock.low, clock.high) == (600e6, 1000e6)


def test_an_error_above_100_percent_ends_at_zero() -> None:
    """800 MHz, wrong by up to 250 %: between 0 and 2.8 GHz."""
    text = target_text("tile64-sim")[1].replace('error = "25 %"', 'error = "250 %"')
    clock = parse_target(text, "x").array.clock
    assert clock.low == 0
    assert clock.high == pytest.approx(2.8e9)


@pytest.mark.parametrize(
    ("calibration", "price"),
    [(0.0, 1.0), (0.25, 3**0.5), (0.5, 3.0), (0.75, 300**0.5), (1.0, 100.0)],
)
def test_calibration_is_a_place_on_a_logarithmic_scale(calibration: float, price: float) -> None:
    """Half of the way is the stated 3; a quarter of it is halfway from 1 to 3, by ratio."""
    energy = load_target("tile64-sim").energy
    middle = energy.calibration.model_copy(update={"value": calibration})
    energy = energy.model_copy(update={"calibration": middle})
    figure = energy.memory_byte.model_copy(update={"low": 1.0, "value": 3.0, "high": 100.0})
    assert energy.price(figure) == pytest.approx(price)


def test_a_bracket_down_to_zero_has_no_logarithm() -> None:
    energy = load_target("tile64-sim").energy
    figure = energy.memory_byte.model_copy(update={"low": 0.0, "value": 3.0, "high": 100.0})
    assert energy.price(figure) == 3.0
