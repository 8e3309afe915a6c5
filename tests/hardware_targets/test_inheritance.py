"""Files that extend another: what they take from it, what they do not, and what follows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.errors import TargetError
from zapdeploy.hardware_targets import (
    built_in_names,
    load_any_target,
    load_target,
    parse_target,
    target_text,
)
from zapdeploy.hardware_targets.inheritance import extended, toml_text
from zapdeploy.hardware_targets.template import template

HEAD = 'schema = 2\nname = "mine"\nsummary = "s"\nextends = "northpole-sim"\n'
ROWS = '[array]\nrows = { is = "27", kind = "assumed", error = "10 %", why = "a test wants it" }\n'


def test_what_is_not_said_is_the_base_chips() -> None:
    mine, base = parse_target(HEAD + ROWS, "x"), load_target("northpole-sim")
    assert (mine.name, int(mine.array.rows)) == ("mine", 27)
    ours, theirs = dict(mine.figures()), dict(base.figures())
    assert ours.keys() == theirs.keys()
    assert {key for key in ours if ours[key] != theirs[key]} == {"array.rows"}


def test_totals_follow_the_parts_and_published_results_stay_behind() -> None:
    """27 x 16 cores of 768 KiB are 324 MiB; the base restates 192 MiB for its own 256."""
    mine = parse_target(HEAD + ROWS, "x")
    assert mine.derived_totals()["core_memory"] == ("byte", 27 * 16 * 768 * 1024)
    assert mine.totals == {}
    assert mine.published == {}


def test_a_number_is_replaced_whole() -> None:
    """The base's `error` says nothing about a number that has a `low` and a `high`."""
    number = '{ is = "2", low = "1", high = "3", kind = "assumed", why = "a test wants it" }'
    unit = parse_target(f"{HEAD}[core.matrix_unit]\noutputs = {number}\n", "x").core.matrix_unit
    assert (unit.outputs.low, unit.outputs.high) == (1, 3)


def test_formats_take_the_place_of_widths() -> None:
    formats = '[core.matrix_unit.formats]\nint8 = { inputs = { is = "16", kind = "assumed", '
    formats += 'error = "5 %", why = "a test wants it" } }\n'
    unit = parse_target(HEAD + formats, "x").core.matrix_unit
    assert unit.widths == (8,)
    assert unit.macs_per_cycle(8) == 16 * 32


def test_a_chain_of_files_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(HEAD + ROWS)
    two = tmp_path / "two.toml"
    two.write_text('schema = 2\nname = "two"\nsummary = "s"\nextends = "one.toml"\n')
    assert int(load_target(two).array.rows) == 27
    assert parse_target(target_text(two)[1], "the .zap file's text") == load_target(two)


def test_circles_and_strangers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "circle.toml"
    path.write_text(f'schema = 2\nname = "c"\nsummary = "s"\nextends = "{path}"\n')
    with pytest.raises(TargetError, match="extends must end at a chip that extends none"):
        load_target(path)
    path.write_text(HEAD.replace("northpole-sim", "tpu"))
    with pytest.raises(TargetError, match=r"target must be one of .* not 'tpu'"):
        load_target(path)
    path.write_text(HEAD.replace('"northpole-sim"', "3"))
    with pytest.raises(TargetError, match=r"extends must name a target or a \.toml file, not 3"):
        load_target(path)


def test_the_text_of_a_chip_that_extends_none_is_its_file() -> None:
    raw = tomllib.loads(target_text("tile64-sim")[1])
    assert extended(raw, lambda name: {}) == raw


@pytest.mark.parametrize("name", ["northpole-sim", "tile64-sim"])
def test_a_file_written_again_means_the_same(name: str) -> None:
    raw = tomllib.loads(target_text(name)[1])
    assert tomllib.loads(toml_text(raw)) == raw


SCALARS = st.one_of(st.text(), st.integers(-(2**53), 2**53), st.booleans())
TABLES = st.recursive(
    st.dictionaries(st.text(min_size=1), SCALARS | st.lists(SCALARS), max_size=4),
    lambda inner: st.dictionaries(st.text(min_size=1), SCALARS | inner, max_size=4),
    max_leaves=12,
)


@given(TABLES)
def test_any_content_survives_writing(raw: dict[str, object]) -> None:
    assert tomllib.loads(toml_text(raw)) == raw


@pytest.mark.parametrize("base", [*built_in_names(), "loihi2-sim"])
def test_a_new_file_equals_its_base_until_it_is_changed(base: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(template("mine", base))
    mine, theirs = load_any_target(path), load_any_target(base)
    assert dict(mine.figures()) == dict(theirs.figures())
    assert (mine.name, mine.summary) == ("mine", f"{base}, changed")


def test_every_number_of_a_new_file_can_be_uncommented(tmp_path: Path) -> None:
    text = template("mine", "northpole-sim")
    lines = [
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in text.splitlines()
    ]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines).replace('extends = "northpole-sim"', ""))
    assert dict(load_target(path).figures()) == dict(load_target("northpole-sim").figures())
