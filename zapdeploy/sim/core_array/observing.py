"""Who looks on while a Program is carried out core by core, and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zapdeploy.compile.graph import Array
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.core_array.local import Together
from zapdeploy.sim.core_array.parameters import Slices
from zapdeploy.sim.core_array.tiles import Tiles


class Observer(Protocol):
    """Called in the order in which things happen; changes nothing."""

    def fetched(self, events: LayerEvents, number: int, stream: Array, tiles: Tiles) -> None:
        """What every core receives of the layer's read `number` [cores, elements], and what it then
        has of it."""

    def parameters(self, events: LayerEvents, slices: Slices) -> None:
        """The slices that every core has been sent."""

    def operands(
        self,
        events: LayerEvents,
        some: Together,
        cores: IntArray,
        inputs: Sequence[Tiles | None],
    ) -> None:
        """Some of the cores that multiply together, with what each has of the anchor's inputs."""

    def sums(self, events: LayerEvents, sums: Array) -> None:
        """All sums as they stand in the accumulators [cores, elements], passed on and added up."""

    def written(self, events: LayerEvents, tiles: Tiles) -> None:
        """The layer's output as every core stores it."""
