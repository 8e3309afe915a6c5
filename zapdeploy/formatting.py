"""Numbers as people read them."""

from __future__ import annotations

from zapdeploy.quantities import Estimate

_PREFIXES = (
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def quantity(value: float, unit: str, digits: int = 3) -> str:
    """A number with an SI prefix: 1.74e-3 J is "1.74 mJ"."""
    if value == 0:
        return f"0 {unit}"
    scale, prefix = prefix_of(value)
    return f"{value / scale:.{digits}g} {prefix}{unit}"


def prefix_of(value: float) -> tuple[float, str]:
    """The SI prefix under which a value has one to three digits before the point.

    With three digits, 999.6 is rounded to 1,000: the next prefix is meant from 999.5 on.
    """
    return next((pair for pair in _PREFIXES if abs(value) >= 0.9995 * pair[0]), _PREFIXES[-1])


def interval(estimate: Estimate, unit: str) -> str:
    """A value with what its assumptions leave open."""
    low, high = quantity(estimate.low, unit), quantity(estimate.high, unit)
    return f"{quantity(estimate.value, unit)} ({low} to {high})"


def count(value: float) -> str:
    """A whole number with commas between thousands."""
    return f"{value:,.0f}"
