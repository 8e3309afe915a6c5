"""The answer of `simulate --activity`."""

from __future__ import annotations

from typing import Any

from zapdeploy.sim.activity.costs import ActivityCosts
from zapdeploy.sim.activity.tables import (
    activity_table,
    layer_activity_table,
    network_activity_table,
)
from zapdeploy.tables import Answer, Table


class ActivityResult(ActivityCosts, Answer):
    """Energy by values. In a notebook: tables; `to_frame()` has a row for each layer."""

    def __repr__(self) -> str:
        return f"<ActivityResult of {len(self.records())} layers>"

    def tables(self) -> tuple[Table, ...]:
        """Energy by values, then layers and networks."""
        return activity_table(self), layer_activity_table(self), network_activity_table(self)

    def records(self) -> list[dict[str, Any]]:
        """The layers, as in the JSON document."""
        layers: list[dict[str, Any]] = self.as_json()["layers"]
        return layers
