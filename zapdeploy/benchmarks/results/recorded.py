"""Rows that were measured on another machine, shown beside those of this one.

A folder of results that `zapdeploy bench` wrote there is all it takes. Its measured rows are
copied with the name of their machine, and stay "measured"; tables call them recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from zapdeploy.benchmarks.models.workloads import Workload
from zapdeploy.benchmarks.results.results import load_result
from zapdeploy.benchmarks.results.rows import Row
from zapdeploy.errors import UsageError
from zapdeploy.quantities import Provenance


def recorded_rows(
    folder: str | Path, workloads: Sequence[Workload], frame_rate_hz: float | None = None
) -> tuple[Row, ...]:
    """The measured rows of the same networks at the same size, or of the same files.

    Raises DataError where the folder holds no results, UsageError where none is of these networks.
    """
    rows = tuple(_rows(folder, workloads, frame_rate_hz))
    if not rows:
        names = ", ".join(workload.name for workload in workloads)
        raise UsageError(
            f"--recorded must hold measured rows of {names} at this size, not none ({folder}); run "
            "the same zapdeploy bench there"
        )
    return rows


def _rows(
    folder: str | Path, workloads: Sequence[Workload], frame_rate_hz: float | None
) -> Iterator[Row]:
    by_identity = {workload.identity[:12]: workload.name for workload in workloads}
    for row in load_result(folder).rows:
        name = by_identity.get(_identity(row))
        if row.kind is Provenance.MEASURED and name is not None:
            machine, same_rate = row.recorded_on or row.machine, row.frame_rate_hz == frame_rate_hz
            yield replace(
                row,
                key=row.key if row.recorded_on else f"recorded|{machine}|{row.key}",
                model=name,
                source=row.source.replace("measured here", f"measured on {machine}"),
                recorded_on=machine,
                frame_rate_hz=frame_rate_hz,
                energy_at_frame_rate=row.energy_at_frame_rate if same_rate else None,
            )


def _identity(row: Row) -> str:
    """The network's part of a measured row's key, which ends in target, precision and scenario."""
    parts = row.key.rsplit("|", 4)
    return parts[1] if len(parts) == 5 else ""
