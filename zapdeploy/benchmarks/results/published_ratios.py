"""Published efficiency ratios, worked out again from the published rows, and ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zapdeploy.benchmarks.results.published import MODEL, published_rows
from zapdeploy.benchmarks.results.rows import Row, Scenario
from zapdeploy.documents import Document
from zapdeploy.quantities import Estimate, Provenance

NORTHPOLE = "IBM NorthPole (Science 2023)"
TOLERANCE = 0.1
_PAPER = "Modha et al., Science 382:329-335, 2023"


@dataclass(frozen=True)
class Ratio(Document):
    """Frames per joule of `device` over those of `other`.

    claimed: what a publication says, and `agrees` whether `value` is within 10 % of it; None where
    nothing is claimed or the claim's device is not in the file.
    """

    device: str
    other: str
    value: float
    kind: str
    claimed: float | None
    agrees: bool | None
    note: str


@dataclass(frozen=True)
class _Opponent:
    target: str
    claimed: float
    comparable: bool
    note: str


_OPPONENTS = (
    _Opponent("NVIDIA H100-SXM (v2.1)", 5.0, True, f"{_PAPER}: 5x frames/J of H100"),
    _Opponent(
        "NVIDIA T4 (v3.0)",
        25.0,
        False,
        f"{_PAPER}: 25x frames/s/W of a 12 nm GPU that what we could read does not name",
    ),
)


def published_ratios(rows: Sequence[Row] = ()) -> tuple[Ratio, ...]:
    """NorthPole as published and every simulated ResNet-50 row of `rows` against published GPUs.

    A GPU's energy is its datasheet's limit, so the true ratio may be smaller; NorthPole's boundary
    (chip or card) is not stated, a simulated row's is in the row.
    """
    published = {
        row.target: row for row in published_rows(MODEL) if row.scenario is Scenario.OFFLINE
    }
    simulated = [
        row
        for row in rows
        if row.model == MODEL
        and row.kind is Provenance.SIMULATED
        and row.scenario is Scenario.OFFLINE
    ]
    return tuple(
        _ratio(device, published[opponent.target], opponent)
        for opponent in _OPPONENTS
        for device in (published[NORTHPOLE], *simulated)
    )


def _ratio(device: Row, other: Row, opponent: _Opponent) -> Ratio:
    energy, value = _energy(device), _energy(other).value / _energy(device).value
    if energy.kind is not Provenance.PUBLISHED:
        note = f"boundary: {device.boundary} against {other.boundary}"
        name = f"{device.target} {device.precision}"
        return Ratio(name, other.target, value, energy.kind.value, None, None, note)
    claimed = opponent.claimed
    agrees = abs(value / claimed - 1) <= TOLERANCE if opponent.comparable else None
    return Ratio(
        device.target, other.target, value, energy.kind.value, claimed, agrees, opponent.note
    )


def _energy(row: Row) -> Estimate:
    if row.energy_per_frame is None:
        raise AssertionError(f"row has an energy: {row.target}")
    return row.energy_per_frame
