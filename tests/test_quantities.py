from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.quantities import Estimate, Provenance, parse


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("768 KiB", "byte", 768 * 1024),
        ("768 kB", "byte", 768_000),
        ("192 MiB", "byte", 192 * 2**20),
        ("2 GiB", "byte", 2**31),
        ("12 GB/s", "byte/second", 12e9),
        ("13.1 TB/s", "byte/second", 13.1e12),
        ("400 MHz", "cycle/second", 4e8),
        ("0.4 GHz", "cycle/second", 4e8),
        ("32 B/cycle", "byte/cycle", 32),
        ("256 b/cycle", "byte/cycle", 32),
        ("1024 bit/cycle", "byte/cycle", 128),
        ("200 TOPS", "op/second", 2e14),
        ("256 op/cycle", "op/cycle", 256),
        ("0.069 pJ", "joule", 0.069e-12),
        ("44 pJ/B", "joule/byte", 44e-12),
        ("5.5 pJ/b", "joule/byte", 44e-12),
        ("0.16 pJ/bit/hop", "joule/bit/hop", 0.16e-12),
        ("1 cycle/hop", "cycle/hop", 1),
        ("17 W", "watt", 17),
        ("17 J/s", "watt", 17),
        ("17000 mW", "watt", 17),
        ("22e9", "", 22e9),
        ("1e-3", "", 1e-3),
        ("-2", "", -2),
        (" 16 ", "", 16),
        ("3KiB", "byte", 3072),
        ("2 * 1", "", None),
    ],
)
def test_parse(text: str, unit: str, value: float | None) -> None:
    """Expected values: powers of 1024 for Ki, Mi, Gi; of 1000 otherwise; 8 bits a byte."""
    if value is None:
        with pytest.raises(ValueError, match="must be a number without a unit"):
            parse(text, unit)
    else:
        assert parse(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("768", "byte", "must be a quantity in byte, not '768'"),
        ("768 J", "byte", "must be a quantity in byte, not '768 J'"),
        ("128 B", "byte/cycle", "must be a quantity in byte/cycle, not '128 B'"),
        ("128 B/s", "byte/cycle", "must be a quantity in byte/cycle, not '128 B/s'"),
        ("400 MHz", "op/second", "must be a quantity in op/second, not '400 MHz'"),
        ("1 pJ/b", "joule/bit/hop", "must be a quantity in joule/bit/hop, not '1 pJ/b'"),
        ("16 B", "", "must be a number without a unit, not '16 B'"),
        ("", "byte", "must be a quantity in byte, not ''"),
        ("many B", "byte", "must be a quantity in byte, not 'many B'"),
        ("1 B; 2 B", "byte", "must be a quantity in byte, not '1 B; 2 B'"),
        ("nan B", "byte", "must be a quantity in byte, not 'nan B'"),
        ("inf B", "byte", "must be a quantity in byte, not 'inf B'"),
        ("1e999 B", "byte", "must be a quantity in byte, not '1e999 B'"),
        ("1 **2", "", "must be a number without a unit, not '1 **2'"),
        ("__import__('os')", "", "must be a number without a unit, not \"__import__('os')\""),
        (
            "1 quux",
            "byte",
            "must be a quantity in byte, not '1 quux': 'quux' is not defined in the unit registry",
        ),
    ],
)
def test_parse_error(text: str, unit: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        parse(text, unit)


@given(st.floats(min_value=1e-9, max_value=1e9, allow_nan=False))
def test_prefixes_scale_by_1000(number: float) -> None:
    assert parse(f"{number!r} MB", "byte") == pytest.approx(1000 * parse(f"{number!r} kB", "byte"))


def test_estimate_scales_all_its_ends() -> None:
    scaled = Estimate(2.0, 1.0, 4.0, Provenance.MODELLED).scaled(0.5)
    assert scaled == Estimate(1.0, 0.5, 2.0, Provenance.MODELLED)


def test_estimate_as_json() -> None:
    found = Estimate(2.0, 1.0, 4.0, Provenance.SIMULATED).as_json()
    assert found == {"value": 2.0, "low": 1.0, "high": 4.0, "kind": "simulated"}


def test_the_four_words_of_provenance() -> None:
    words = {"measured", "simulated", "modelled", "published"}
    assert {kind.value for kind in Provenance} == words
