"""A chip at another voltage, clock or temperature than the one that its numbers are stated for."""

from __future__ import annotations

import math

from zapdeploy.hardware_targets.energy import Energy
from zapdeploy.hardware_targets.figures import Figure, Part
from zapdeploy.hardware_targets.schema import Target

_NOT_THE_CORES = ("host_byte",)  # the link has a supply of its own
_SHARES = ("calibration", "zero_gating", "activity")
_POWERS = ("static_power", "idle_power")


def at_operating_point(target: Target) -> Target:
    """The target at the operating point that its file or the caller chose, if any."""
    if target.operating_point is None:
        return target
    point, nominal = target.operating_points[target.operating_point], target.operation
    assert nominal is not None
    clock = point.clock or target.array.clock
    volts = (point.voltage or nominal.voltage).value / nominal.voltage.value
    hotter = (point.temperature or nominal.temperature).value - nominal.temperature.value
    faster = clock.value / target.array.clock.value
    leakage = volts**3 * math.exp(hotter / nominal.leakage_scale.value)
    share = nominal.leakage_share.value
    power = share * leakage + (1 - share) * volts**2 * faster
    energy = _scaled_energy(target.energy, volts**2, power)
    array = target.array.model_copy(update={"clock": clock})
    return target.model_copy(update={"array": array, "energy": energy})


def _scaled_energy(energy: Energy, price: float, power: float) -> Energy:
    changed: dict[str, Part] = {}
    for name in type(energy).model_fields:
        figure = getattr(energy, name)
        if name in (*_SHARES, *_NOT_THE_CORES) or not isinstance(figure, Part):
            continue
        factor = power if name in _POWERS else price
        changed[name] = _scaled(figure, factor)
    return energy.model_copy(update=changed)


def _scaled(part: Part, factor: float) -> Part:
    """A number, or all numbers of a table, times a factor."""
    if isinstance(part, Figure):
        ends = {end: getattr(part, end) * factor for end in ("value", "low", "high")}
        return part.model_copy(update=ends)
    below = {name: getattr(part, name) for name in type(part).model_fields}
    return part.model_copy(
        update={n: _scaled(v, factor) for n, v in below.items() if isinstance(v, Part)}
    )
