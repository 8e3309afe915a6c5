"""Numbers as people read them."""

from __future__ import annotations

import pytest

from zapdeploy.formatting import quantity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.74e-3, "1.74 mJ"),
        (0.9994, "999 mJ"),
        (0.9996, "1 J"),
        (999.96, "1 kJ"),
        (0.0, "0 J"),
        (-2.5e-6, "-2.5 µJ"),
        (3e-14, "0.03 pJ"),
    ],
)
def test_one_to_three_digits_stand_before_the_point(value: float, text: str) -> None:
    assert quantity(value, "J") == text
