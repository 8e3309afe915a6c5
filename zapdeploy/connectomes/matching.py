"""A connectome's neurons found among a recording's, by identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.errors import DataError

NAMED = 5


@dataclass(frozen=True, eq=False)
class Matched:
    """wiring: of the recording's neurons, in its order. matched: how many of them have a place in
    the connectome. unwired, unrecorded: identities of those that have none, and of those that were
    not recorded. lost_edges: that join a neuron which was not recorded.
    """

    wiring: Connectome
    matched: int
    unwired: tuple[str, ...]
    unrecorded: tuple[str, ...]
    lost_edges: int

    @property
    def lines(self) -> tuple[str, ...]:
        """The report, for people."""
        recorded, wiring = self.wiring.neurons, self.wiring
        found = [
            f"{self.matched:,} of {recorded:,} recorded neurons are in the connectome; "
            f"{wiring.edges:,} edges join them"
        ]
        if self.unwired:
            found.append(f"{len(self.unwired):,} recorded without wiring: {_some(self.unwired)}")
        if self.unrecorded:
            found.append(
                f"{len(self.unrecorded):,} wired but not recorded: {_some(self.unrecorded)}; "
                f"{self.lost_edges:,} edges with them left out"
            )
        return (*found, *wiring.notes)

    def as_json(self) -> dict[str, Any]:
        return {
            "recorded": self.wiring.neurons,
            "matched": self.matched,
            "edges": self.wiring.edges,
            "lost_edges": self.lost_edges,
            "unwired": list(self.unwired),
            "unrecorded": list(self.unrecorded),
            "notes": list(self.wiring.notes),
        }


def match(
    connectome: Connectome, names: Sequence[str] | None, columns: Sequence[int], where: str
) -> Matched:
    """The wiring of a recording's neurons. names: their identities; None: the numbers of their
    columns. Raises DataError where too few are found for a wiring to mean anything.
    """
    wanted = np.array([str(c) for c in columns] if names is None else list(names), np.str_)
    known = {name: place for place, name in enumerate(connectome.ids.tolist())}
    places = np.array([known.get(name, -1) for name in wanted.tolist()], np.int64)
    wiring = connectome.chosen(places)
    found = int((places >= 0).sum())
    if not wiring.edges:
        what = "column numbers" if names is None else "names"
        raise DataError(
            f"connectome must have edges among the recorded neurons, not none: {found} of "
            f"{wanted.size} {what} such as '{wanted[0]}' are among its identities such as "
            f"'{connectome.ids[0]}' ({where}); give the recording's names in the neuron table"
        )
    missing = np.ones(connectome.neurons, bool)
    missing[places[places >= 0]] = False
    return Matched(
        wiring,
        found,
        tuple(wanted[places < 0].tolist()),
        tuple(connectome.ids[missing].tolist()),
        connectome.edges - wiring.edges,
    )


def _some(names: Sequence[str]) -> str:
    more = "" if len(names) <= NAMED else ", ..."
    return ", ".join(names[:NAMED]) + more
