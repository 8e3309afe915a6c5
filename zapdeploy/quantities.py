"""Numbers that say what they are: units at the border, provenance and error all the way.

Inside the package a physical quantity is a float in SI units whose name ends in its unit
(`latency_s`, `energy_j`). Text with a unit ("400 MHz") is read here, and only here, with pint over
a small registry of our own: an operation, a cycle and a byte are dimensions, so that bytes cannot
be given where bytes per cycle are wanted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

_BASE_UNITS = (
    "second = [time] = s",
    "meter = [length] = m",
    "joule = [energy] = J",
    "bit = [information] = b",
    "op = [operation]",
    "cycle = [cycle]",
    "hop = [hop]",
    "volt = [voltage] = V",
    "celsius = [temperature]",
    "byte = 8 * bit = B",
    "watt = joule / second = W",
    "hertz = cycle / second = Hz",
    "TOPS = 1e12 * op / second",
)
_PREFIXES = (
    "pico- = 1e-12 = p-",
    "nano- = 1e-9 = n-",
    "micro- = 1e-6 = u-",
    "milli- = 1e-3 = m-",
    "kilo- = 1e3 = k-",
    "mega- = 1e6 = M-",
    "giga- = 1e9 = G-",
    "tera- = 1e12 = T-",
    "kibi- = 1024 = Ki-",
    "mebi- = 1048576 = Mi-",
    "gibi- = 1073741824 = Gi-",
)

_QUANTITY = re.compile(
    r"(?P<number>[-+]?\d+(\.\d*)?([eE][-+]?\d+)?)\s*(?P<unit>[A-Za-z]*( ?[/*] ?[A-Za-z]+)*)"
)


class Provenance(Enum):
    """Where a number that a user sees comes from."""

    MEASURED = "measured"  # a clock or a meter, here
    SIMULATED = "simulated"  # counted by the simulator
    MODELLED = "modelled"  # a formula over assumptions
    PUBLISHED = "published"  # someone else's, with its source


@dataclass(frozen=True)
class Estimate:
    """A value with the interval that the assumptions behind it leave open.

    `interval` says in words which it is.
    """

    value: float
    low: float
    high: float
    kind: Provenance
    interval: str = ""

    def scaled(self, factor: float) -> Estimate:
        """The value and both ends, times a factor."""
        ends = (self.value * factor, self.low * factor, self.high * factor)
        return Estimate(*ends, self.kind, self.interval)

    def as_json(self) -> dict[str, float | str]:
        """Value, ends, kind, and where it is known, what the interval is."""
        ends = {"value": self.value, "low": self.low, "high": self.high, "kind": self.kind.value}
        return {**ends, "interval": self.interval} if self.interval else ends


@cache
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(None)
    for line in (*_PREFIXES, *_BASE_UNITS):
        registry.define(line)
    return registry


def parse(text: str, unit: str) -> float:
    """The number in `text` ("768 KiB") in `unit` ("byte"); unit "" means a bare number.

    Raises ValueError, with a text fit for a user, when the unit is missing or of another kind.
    """
    import pint

    wanted = f"a quantity in {unit}" if unit else "a number without a unit"
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or math.isinf(float(match["number"])):
        raise ValueError(f"must be {wanted}, not {text!r}")
    try:
        given = _registry().Quantity(float(match["number"]), match["unit"])
        return float(given.to(unit).magnitude)
    except pint.UndefinedUnitError as error:
        raise ValueError(f"must be {wanted}, not {text!r}: {error}") from None
    except pint.PintError:
        raise ValueError(f"must be {wanted}, not {text!r}") from None
