"""GraphML, as networkx, igraph and Gephi write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zapdeploy.connectomes.tables import Columns
from zapdeploy.errors import DataError
from zapdeploy.extras import load


def read_graphml(path: Path) -> tuple[Columns, Columns]:
    """Columns of edges and of neurons, under the names of the graph's attributes."""
    networkx = load("networkx", "connectomes", f"read {path.name}")
    try:
        graph = networkx.read_graphml(path)
    except Exception as error:  # of the parser and of networkx: damage has no type of its own
        line = " ".join(str(error).split())[:160]
        raise DataError(f"GraphML must be readable, not damaged: {line} ({path})") from None
    if not graph.is_directed():
        raise DataError(f"GraphML must be of a directed graph, not an undirected one ({path})")
    edges = list(graph.edges(data=True))
    columns: Columns = {
        "pre": np.array([str(a) for a, _, _ in edges], np.str_),
        "post": np.array([str(b) for _, b, _ in edges], np.str_),
    }
    columns |= _attributes([data for _, _, data in edges], {"id"})
    nodes = list(graph.nodes(data=True))
    neurons: Columns = {"id": np.array([str(n) for n, _ in nodes], np.str_)}
    return columns, neurons | _attributes([data for _, data in nodes], {"id"})


def _attributes(rows: list[dict[str, object]], left_out: set[str]) -> Columns:
    """Attributes that every row has."""
    shared = set.intersection(*(set(row) for row in rows)) if rows else set()
    return {
        name.lower(): np.array([row[name] for row in rows])
        for name in sorted(shared)
        if name.lower() not in left_out | {"pre", "post"}
    }
