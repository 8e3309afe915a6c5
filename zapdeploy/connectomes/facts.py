"""What a connectome is, in numbers and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.ordering import BLOCK, BlockFacts, Ordering, block_facts, ordering

BINS = 20


@dataclass(frozen=True, eq=False)
class ConnectomeFacts:
    """A connectome, an order of its neurons, and how many blocks hold an edge before and after."""

    connectome: Connectome
    ordering: Ordering
    before: BlockFacts
    after: BlockFacts

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        known = self.connectome
        signs = [int((known.signs == s).sum()) for s in (1, -1, 0)]
        found = [
            ("connectome", known.source),
            ("neurons", f"{known.neurons:,}"),
            ("edges", f"{known.edges:,}, {known.edges / known.neurons**2:.3%} of all pairs"),
            ("synapses", f"{known.synapses.sum():,.0f}, {known.synapses.mean():.3g} an edge"),
            ("signs", "{:,} excite, {:,} inhibit, {:,} unknown".format(*signs)),
            ("inputs of a neuron", _spread(known.in_degrees)),
            ("outputs of a neuron", _spread(known.out_degrees)),
            ("types", ", ".join(known.types[:8]) or "unknown"),
            ("positions", "known" if known.positions is not None else "unknown"),
            (
                f"blocks of {BLOCK} x {BLOCK} with an edge",
                f"{self.before.share:.1%} as given, {self.after.share:.1%} in the order of "
                f"{self.ordering.method} (an edge in {self.after.fill:.1%} of their places)",
            ),
        ]
        return tuple(found + [("note", note) for note in known.notes])

    def as_json(self) -> dict[str, Any]:
        known = self.connectome
        return {
            "source": known.source,
            "neurons": known.neurons,
            "edges": known.edges,
            "density": known.edges / known.neurons**2,
            "synapses": float(known.synapses.sum()),
            "excitatory": int((known.signs == 1).sum()),
            "inhibitory": int((known.signs == -1).sum()),
            "in_degree": _quantiles(known.in_degrees),
            "out_degree": _quantiles(known.out_degrees),
            "types": list(known.types),
            "has_positions": known.positions is not None,
            "ordering": self.ordering.method,
            "block": BLOCK,
            "blocks_before": self.before.blocks,
            "blocks_after": self.after.blocks,
            "blocks": self.after.of,
            "notes": list(known.notes),
        }


def connectome_facts(connectome: Connectome, method: str | None = None) -> ConnectomeFacts:
    """Count, and put into order by a method (None: the best that is installed)."""
    found = ordering(connectome, method)
    before = block_facts(connectome, np.arange(connectome.neurons))
    return ConnectomeFacts(connectome, found, before, block_facts(connectome, found.order))


def distances(connectome: Connectome) -> FloatArray | None:
    """Length of every edge in the unit of positions; None where these are unknown."""
    places = connectome.positions
    if places is None:
        return None
    return np.linalg.norm(places[connectome.post] - places[connectome.pre], axis=1)


def _quantiles(degrees: Any) -> dict[str, float]:
    low, middle, high = np.percentile(degrees, (5, 50, 95)).tolist()
    mean, most, none = float(degrees.mean()), int(degrees.max()), int((degrees == 0).sum())
    return {"mean": mean, "5": low, "50": middle, "95": high, "max": most, "none": none}


def _spread(degrees: Any) -> str:
    q = _quantiles(degrees)
    return (
        f"{q['mean']:.4g} on average, {q['5']:.0f} to {q['95']:.0f} for nine in ten, at most "
        f"{q['max']:,.0f}; {q['none']:,} have none"
    )
