"""Every complaint about a chip's file: one line with the file, the key and what must change."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from zapdeploy.errors import TargetError
from zapdeploy.hardware_targets import built_in_names, load_target, parse_target, target_text

TEXT = target_text("tile64-sim")[1]
CLOCK = next(line for line in TEXT.splitlines() if line.startswith("clock"))
CORE_MEMORY = next(line for line in TEXT.splitlines() if line.startswith("core_memory"))
PEAK = next(line for line in TEXT.splitlines() if line.startswith("peak_8bit"))


def _complaint(text: str) -> str:
    with pytest.raises(TargetError) as error:
        parse_target(text, "target file 'x.toml'")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("target file 'x.toml'")
    return message.removeprefix("target file 'x.toml'")


def _clock(entry: str) -> str:
    return TEXT.replace(CLOCK, f"clock = {entry}")


@pytest.mark.parametrize("name", built_in_names())
def test_built_in_targets_load_under_their_own_name(name: str) -> None:
    assert load_target(name).name == name


def test_both_built_in_targets_are_there() -> None:
    assert {"northpole-sim", "tile64-sim"} <= set(built_in_names())


def test_a_path_reads_the_same_target_as_the_name(tmp_path: Path) -> None:
    path = tmp_path / "mychip.toml"
    path.write_text(TEXT, encoding="utf-8")
    assert load_target(path) == load_target("tile64-sim")
    assert load_target(str(path)) == load_target("tile64-sim")


def test_text_says_where_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "mychip.toml"
    path.write_text("schema = 1")
    assert target_text("tile64-sim")[0] == "tile64-sim.toml"
    assert target_text(path) == (str(path), "schema = 1")


def test_the_package_holds_nothing_but_targets_in_toml() -> None:
    folder = resources.files("zapdeploy.hardware_targets")
    files = {entry.name for entry in folder.iterdir() if entry.name.endswith(".toml")}
    assert files == {f"{name}.toml" for name in built_in_names()}


def test_unknown_name() -> None:
    with pytest.raises(TargetError) as error:
        load_target("tpu")
    names = ", ".join(built_in_names())
    assert str(error.value) == f"target must be one of {names} or a path ending in .toml, not 'tpu'"


def test_missing_file() -> None:
    with pytest.raises(TargetError) as error:
        load_target("nowhere/chip.toml")
    assert (
        str(error.value)
        == "target file 'nowhere/chip.toml' must be readable: No such file or directory"
    )


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TargetError) as error:
        load_target(path)
    assert str(error.value) == f"target file '{path}' must be UTF-8 text"


def test_bad_toml() -> None:
    message = _complaint(TEXT.replace("schema = 1", "schema = = 1"))
    assert message == " must be TOML: Invalid value (at line 8, column 10)"


def test_error_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(TEXT.replace("schema = 1", "schema = 3"))
    with pytest.raises(TargetError) as error:
        load_target(path)
    assert (
        str(error.value) == f"target file '{path}': schema must be 1 or 2, not 3; "
        "update zapdeploy, or write the file by 'zapdeploy targets init'"
    )


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        # units
        ('{ is = "400", kind = "x" }', "must be a quantity in cycle/second, not '400'"),
        ('{ is = "400 MB", kind = "x" }', "must be a quantity in cycle/second, not '400 MB'"),
        (
            '{ is = "400 Mhz", kind = "x" }',
            "must be a quantity in cycle/second, not '400 Mhz':"
            " 'Mhz' is not defined in the unit registry",
        ),
        ("400", 'must be a table { is = "NUMBER UNIT", kind = ... }'),
        ("{ is = 400 }", 'must be a table { is = "NUMBER UNIT", kind = ... }'),
        ('{ kind = "assumed" }', 'must be a table { is = "NUMBER UNIT", kind = ... }'),
        # values
        ('{ is = "-1 MHz", kind = "x" }', "must be 0 or more, not '-1 MHz'"),
        ('{ is = "0 MHz", kind = "x" }', "must be above 0, not '0 MHz'"),
        ('{ is = "1 MHz", value = 1, kind = "x" }', "must give its number in 'is' alone"),
        # provenance
        ('{ is = "1 MHz", kind = "published" }', "a published number must name its source"),
        ('{ is = "1 MHz", kind = "reported" }', "a reported number must name its source"),
        ('{ is = "1 MHz", kind = "derived" }', "a derived number must say from what ('from')"),
        ('{ is = "1 MHz", kind = "assumed", error = "5 %" }', "an assumed number must say why"),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so" }',
            "an assumed number must have an error ('error', or 'low' and 'high')",
        ),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so", error = "0 %" }',
            "an assumed number must have an error ('error', or 'low' and 'high')",
        ),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so", error = "5" }',
            "error must be a percentage such as \"30 %\", not '5'",
        ),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so", error = 5 }',
            'error must be a percentage such as "30 %", not 5',
        ),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so", low = "2 MHz", high = "3 MHz" }',
            "must lie between its low and its high, not '1 MHz'",
        ),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so", error = "-5 %" }',
            "must lie between its low and its high, not '1 MHz'",
        ),
        (
            '{ is = "1 MHz", kind = "assumed", why = "so", low = "0 B", high = "3 MHz" }',
            "must be a quantity in cycle/second, not '0 B'",
        ),
    ],
)
def test_a_wrong_figure(entry: str, complaint: str) -> None:
    assert _complaint(_clock(entry)) == f": array.clock {complaint}"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("schema = 1", "schma = 1", "key 'schema' must be given; unknown key 'schma'; remove it"),
        ("[host]", "[hosts]", "key 'host' must be given; unknown key 'hosts'; remove it"),
        (CLOCK, "", "key 'array.clock' must be given"),
        (CLOCK, f"{CLOCK}\nfan = 3", "unknown key 'array.fan'; remove it or correct its spelling"),
        ("[core.vector_unit]", "[core.vector]", "key 'core.vector_unit' must be given"),
        ("[8, 4]", "[8, 3]", "core.matrix_unit.widths.1 Input should be 16, 8, 4 or 2"),
        (
            'format  = "float32"',
            'format  = "bfloat16"',
            "core.vector_unit.format Input should be 'float16' or 'float32'",
        ),
        (
            'boundary         = "chip"',
            'boundary = "desk"',
            "energy.boundary Input should be 'core array', 'chip', 'card' or 'system'",
        ),
        (
            '{ is = "8", ',
            '{ is = "7.5", ',
            "array.rows must be a whole number of at least 1, not '7.5'",
        ),
        (
            '{ is = "8", ',
            '{ is = "0", ',
            "array.rows must be a whole number of at least 1, not '0'",
        ),
        (
            '{ is = "0.5", low = "0", high = "1"',
            '{ is = "1.5", low = "0", high = "2"',
            "energy calibration must be between 0 and 1, not '1.5'",
        ),
        (
            'source = "KEC"',
            'source = "KEK"',
            "energy.noc_bit_hop.model: source must be one of [sources], not 'KEK'",
        ),
    ],
)
def test_a_wrong_file(old: str, new: str, complaint: str) -> None:
    assert old in TEXT
    assert _complaint(TEXT.replace(old, new, 1)).startswith(f": {complaint}")


def test_kind_must_be_a_known_one() -> None:
    assert _complaint(_clock('{ is = "1 MHz", kind = "guessed" }')) == (
        ": array.clock.kind Input should be 'published', 'reported', 'derived' or 'assumed'"
    )


def test_several_complaints_stand_in_one_line() -> None:
    message = _complaint(TEXT.replace("[host]", "[hosts]").replace(CLOCK, ""))
    assert message == (
        ": key 'array.clock' must be given; key 'host' must be given;"
        " unknown key 'hosts'; remove it or correct its spelling"
    )


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (
            '{ is = "63 MiB", kind = "derived", from = "x" }',
            "the parts give 6.71089e+07 byte, which must be equal to 63 MiB",
        ),
        (
            '{ is = "65 MiB", kind = "derived", from = "x", relation = "at least" }',
            "the parts give 6.71089e+07 byte, which must be at least 65 MiB",
        ),
        ('{ is = "64 W", kind = "derived", from = "x" }', "must be a quantity in byte, not '64 W'"),
        ('{ is = "64 MiB", kind = "derived" }', "a derived number must say from what ('from')"),
        (
            '{ is = "64 MiB", kind = "published", source = "SCI" }',
            "source must be one of [sources], not 'SCI'",
        ),
        (
            '{ is = "64 MiB", kind = "derived", from = "x", relation = "about" }',
            "relation Input should be 'equal' or 'at least'",
        ),
        (
            '{ is = "64 MiB", kind = "derived", from = "x", relatoin = "equal" }',
            "relatoin Extra inputs are not permitted",
        ),
    ],
)
def test_a_wrong_total(entry: str, complaint: str) -> None:
    """64 cores of 2**20 bytes are 67,108,864 bytes; "equal" allows for a rounding of 1 %."""
    text = TEXT.replace(CORE_MEMORY, f"core_memory = {entry}")
    assert _complaint(text) == f": totals.core_memory: {complaint}"


@pytest.mark.parametrize(
    "entry",
    [
        '{ is = "64.5 MiB", kind = "derived", from = "x" }',
        '{ is = "60 MiB", kind = "derived", from = "x", relation = "at least" }',
    ],
)
def test_a_total_may_be_rounded_or_a_lower_limit(entry: str) -> None:
    text = TEXT.replace(CORE_MEMORY, f"core_memory = {entry}")
    assert parse_target(text, "x").cores == 64


def test_a_total_of_nothing_known() -> None:
    assert _complaint(TEXT.replace(PEAK, PEAK.replace("peak_8bit", "peak_3bit"))) == (
        ": totals.peak_3bit: must be one of"
        " core_memory, memory_bandwidth, peak_4bit, peak_8bit, wires_per_core_side"
    )


def test_a_part_that_contradicts_a_total() -> None:
    """Twice the outputs give twice the operations: 209.7 TOPS instead of the stated 104.9."""
    message = _complaint(TEXT.replace('outputs      = { is = "16"', 'outputs      = { is = "32"'))
    assert message == (
        ": totals.peak_8bit: the parts give 2.09715e+14 op/second,"
        " which must be equal to 104.8576 TOPS;"
        " totals.peak_4bit: the parts give 4.1943e+14 op/second,"
        " which must be equal to 209.7152 TOPS"
    )


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("x = { fps = 3 }", 'published.x.fps must be a table { is = "NUMBER UNIT", kind = ... }'),
        (
            'x = { fps = { is = "3", kind = "reported" } }',
            "published.x.fps a reported number must name its source",
        ),
        (
            'x = { fps = { is = "3", kind = "reported", source = "SCI" } }',
            "published.x.fps: source must be one of [sources], not 'SCI'",
        ),
    ],
)
def test_published_results_are_figures_too(entry: str, complaint: str) -> None:
    assert _complaint(f"{TEXT}\n[published]\n{entry}\n") == f": {complaint}"
