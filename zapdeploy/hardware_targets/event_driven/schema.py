"""What the file of an event-driven chip must say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from zapdeploy.hardware_targets.figures import (
    Count,
    Figure,
    Joules,
    Part,
    SchemaVersion,
    Seconds,
    figures_of,
)


class Chip(Part):
    """Limits of a chip: neurons and synapses of a core, and how tiles of cores are laid out."""

    cores: Count
    neurons_per_core: Count
    synapses_per_core: Count
    tile_columns: Count
    cores_per_tile: Count
    weight_bits: Count
    state_bits: Count


class EventEnergy(Part):
    """Joules of each kind of event, and what they cover."""

    boundary: Literal["core array", "chip", "card", "system"]
    synaptic_op_dense: Joules
    synaptic_op_conv: Joules
    neuron_access: Joules
    neuron_update: Joules
    spike_out: Joules
    message_out: Joules
    hop_east_west: Joules
    hop_north_south: Joules


class EventLatency(Part):
    """Time that an event takes in its core; cores work side by side and meet at a barrier."""

    synaptic_op_dense: Seconds
    synaptic_op_conv: Seconds
    neuron_access: Seconds
    neuron_update: Seconds
    spike_out: Seconds
    message_out: Seconds
    message_in: Seconds
    barrier: Seconds


class EventTarget(Part):
    """An event-driven chip, as its file describes it."""

    schema_version: SchemaVersion = Field(alias="schema")
    kind: Literal["event-driven"] = "event-driven"
    name: str
    summary: str
    sources: dict[str, str]
    chip: Chip
    energy: EventEnergy
    latency: EventLatency

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every number with its key, in the file's order."""
        yield from figures_of(self)

    @model_validator(mode="after")
    def _sources_are_named(self) -> EventTarget:
        wrong = [
            f"{key}: source must be one of [sources], not {figure.source!r}"
            for key, figure in self.figures()
            if figure.source and not set(figure.source.split()) <= set(self.sources)
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self
