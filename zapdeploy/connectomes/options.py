"""How the edges of a file are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zapdeploy.documents import changed_fields
from zapdeploy.errors import UsageError

STRICT, TIDY = "strict", "tidy"


@dataclass(frozen=True)
class EdgeOptions:
    """neuron_table: a file of the neurons, where it is not beside the edges. edges: "strict"
    refuses repeats, self loops and unknown neurons; "tidy" adds repeats up and leaves the others
    out, and says how many. least_synapses: edges of fewer are left out.
    """

    neuron_table: str | None = None
    edges: str = STRICT
    least_synapses: float = 0.0

    def __post_init__(self) -> None:
        if self.edges not in (STRICT, TIDY):
            raise UsageError(f"--edges must be strict or tidy, not '{self.edges}'")
        if not self.least_synapses >= 0:
            raise UsageError(f"--least-synapses must be 0 or more, not {self.least_synapses}")

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return changed_fields(self)
