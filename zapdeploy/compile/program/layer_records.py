"""The layers of compiled Programs as rows, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zapdeploy.compile.program.program import Program
from zapdeploy.formatting import count
from zapdeploy.tables import Table


def layer_records(programs: Iterable[Program], part: str) -> list[dict[str, Any]]:
    """A row for each layer; `part` is what the Programs are called: a stage, a kind of card.

    `cycles` are the compiler's estimate, `bound_cycles` the least that any cut could take.
    """
    return [
        {
            part: index,
            "name": layer.name,
            "op": layer.op,
            "cut": " x ".join(map(str, layer.cut)),
            "cycles": layer.cycles,
            "bound_cycles": layer.bound_cycles,
            "limiter": layer.limiter,
            "macs": layer.macs,
            "bits": layer.bits,
        }
        for index, program in enumerate(programs)
        for layer in program.layers
    ]


def layer_table(title: str, records: list[dict[str, Any]], part: str) -> Table:
    """The rows for people."""
    columns = ("layer", part, "operator", "cut", "bits", "cycles (modelled)", "bottleneck")
    rows = [
        (
            row["name"],
            str(row[part]),
            row["op"],
            row["cut"],
            str(row["bits"]),
            count(row["cycles"]),
            row["limiter"],
        )
        for row in records
    ]
    return Table(title, columns, rows)


def layer_bars(graph_objects: Any, title: str, records: list[dict[str, Any]]) -> Any:
    """Cycles of each layer beside the least possible."""
    names = [row["name"] for row in records]
    bars = [
        graph_objects.Bar(x=names, y=[row[key] for row in records], name=name)
        for key, name in (("cycles", "modelled"), ("bound_cycles", "least possible"))
    ]
    figure = graph_objects.Figure(bars)
    figure.update_layout(title=title, yaxis_title="cycles", template="plotly_white")
    return figure
