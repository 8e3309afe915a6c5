"""Simulated against published, row by row."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.simulated.validation import Prediction, predict
from zapdeploy.formatting import count, quantity
from zapdeploy.progress import Progress
from zapdeploy.tables import Answer, Table

_SHORT = {"byte": "B", "byte/second": "B/s", "op/second": "op/s"}


@dataclass(frozen=True)
class Validation(Answer):
    """Published figures beside ours. Judged are the rows that nothing here was made to fit."""

    rows: tuple[Prediction, ...]

    @property
    def passed(self) -> bool:
        """Whether every published figure that is judged lies in our interval."""
        return not any(row.fails for row in self.rows)

    def __repr__(self) -> str:
        judged = [row for row in self.rows if row.is_judged]
        inside = sum(not row.fails for row in judged)
        return f"<Validation: {inside} of {len(judged)} judged figures inside their intervals>"

    def as_json(self) -> dict[str, Any]:
        """The JSON document of `validate`."""
        return {"passed": self.passed, "rows": self.records()}

    def records(self) -> list[dict[str, Any]]:
        """A row for each published figure."""
        return [row.as_json() for row in self.rows]

    def tables(self) -> tuple[Table, ...]:
        """One table: what is published, what we find, and whether that is judged."""
        columns = ("", "published", "simulated", "interval", "error", "what it is", "inside")
        rows = [_cells(row) for row in self.rows]
        return (Table("northpole-sim against what is published", columns, rows),)

    def _figure(self, graph_objects: Any) -> Any:
        ratios = [(row.simulated, row.low, row.high, row.published) for row in self.rows]
        points = graph_objects.Scatter(
            x=[value / published for value, _, _, published in ratios],
            y=[row.what for row in self.rows],
            mode="markers",
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(high - value) / published for value, _, high, published in ratios],
                "arrayminus": [(value - low) / published for value, low, _, published in ratios],
            },
        )
        figure = graph_objects.Figure(points)
        figure.add_vline(x=1, line_dash="dot")
        figure.update_layout(
            title="northpole-sim over what is published",
            xaxis_title="ratio",
            template="plotly_white",
        )
        return figure


def validate(
    models: str | Path | None = None,
    *,
    progress: Progress = lambda what, done, total: None,
) -> Validation:
    """Compare what is simulated for northpole-sim with what is published of NorthPole.

    Args:
        models: A folder that keeps the network made for it; by default it is thrown away.
        progress: Called with what is done, how far, of how much.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(models or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return Validation(predict(folder, progress))


def _cells(row: Prediction) -> tuple[str, ...]:
    return (
        row.what,
        ("over " if row.at_least else "") + _number(row.published, row.unit),
        _number(row.simulated, row.unit),
        f"{_number(row.low, row.unit)} to {_number(row.high, row.unit)}",
        f"{row.error:+.1%}",
        row.role.value,
        _verdict(row),
    )


def _number(value: float, unit: str) -> str:
    if unit in ("", "1/s", "1/J"):
        return count(value)
    return f"{value:.1f}x" if unit == "x" else quantity(value, _SHORT.get(unit, unit))


def _verdict(row: Prediction) -> str:
    inside = "yes" if row.contains else "no"
    if row.is_judged:
        return inside.upper() if row.fails else inside
    return f"{inside}, not judged"
