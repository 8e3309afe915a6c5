"""What a core-array chip's file must say.

Schema 2 says more than schema 1 could; a file of schema 1 is one of schema 2 that leaves this out.
What a file does not give is not there: no framebuffer, no memory beside the cores, no latency of
the host; networks that are not given are carried by the activation network.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from zapdeploy.hardware_targets.energy import Energy
from zapdeploy.hardware_targets.figures import (
    Bytes,
    BytesPerCycle,
    BytesPerSecond,
    Celsius,
    Count,
    Cycles,
    CyclesPerHop,
    Figure,
    Hertz,
    Number,
    OpsPerCycle,
    Part,
    SchemaVersion,
    Seconds,
    Volts,
    Watts,
    figures_of,
    seconds,
)
from zapdeploy.hardware_targets.formats import FormatName, bits_of, holds
from zapdeploy.hardware_targets.totals import Total, derived_totals, total_errors, totals_of


class CoreArray(Part):
    """The grid of cores, and its clock."""

    rows: Count
    columns: Count
    clock: Hertz
    transistors: Number | None = None
    cores_off: Count | None = None

    @property
    def cores(self) -> int:
        return int(self.rows) * int(self.columns)

    @property
    def usable_cores(self) -> int:
        """Cores that compute; those that are switched off are the last of the array."""
        return self.cores - (0 if self.cores_off is None else int(self.cores_off))

    @model_validator(mode="after")
    def _something_is_left(self) -> CoreArray:
        if self.usable_cores < 1:
            raise ValueError(f"cores_off must be below the {self.cores} cores of the array")
        return self


class NumberFormat(Part):
    """What the matrix unit takes of one kind of number: values in an input vector."""

    inputs: Count


class MatrixUnit(Part):
    """Multiplies input vectors by a matrix of `outputs` columns, every cycle.

    `positions_per_cycle` vectors at once meet the same matrix. `packs_taps`: rows of a convolution
    window that are short share a vector. The widths and how many values a vector holds follow from
    `input_width` and `widths`, or are given format by format.
    """

    input_width: BytesPerCycle
    outputs: Count
    widths: tuple[Literal[16, 8, 4, 2], ...] = ()
    formats: dict[FormatName, NumberFormat] = Field(default={})
    positions_per_cycle: Count | None = None
    packs_taps: bool = False
    ops_per_mac: Number
    accumulators: Bytes
    latency: Cycles

    @model_validator(mode="before")
    @classmethod
    def _widths_of_formats(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("formats"), dict):
            return raw
        if "widths" in raw:
            raise ValueError("must give widths or formats, not both")
        bits = [bits_of(name) for name in raw["formats"] if isinstance(name, str)]
        if len(set(bits)) < len(bits):
            raise ValueError("formats must each have a width of their own")
        return {**raw, "widths": tuple(sorted(bits, reverse=True))}

    @model_validator(mode="after")
    def _some_width(self) -> MatrixUnit:
        if not self.widths:
            raise ValueError("key 'widths' (or 'formats') must be given")
        return self

    @property
    def at_once(self) -> int:
        """Positions that are multiplied in one cycle."""
        return 1 if self.positions_per_cycle is None else int(self.positions_per_cycle)

    def inputs(self, bits: int) -> int:
        """Values of this width in one input vector."""
        for name, given in self.formats.items():
            if bits_of(name) == bits:
                return int(given.inputs)
        return int(self.input_width) * 8 // bits

    def input_bytes(self, bits: int) -> int:
        """Bytes of all input vectors of a cycle."""
        if not self.formats:
            return int(self.input_width) * self.at_once
        return -(-self.inputs(bits) * bits // 8) * self.at_once

    def macs_per_cycle(self, bits: int) -> int:
        return self.inputs(bits) * int(self.outputs) * self.at_once

    def fitting(self, bits: int) -> int | None:
        """The narrowest width that holds integers of so many bits; None: there is none."""
        return min((w for w in self.widths if self._held(w) >= bits), default=None)

    @property
    def widest(self) -> int:
        """Bits of the widest integers that the unit multiplies."""
        return max(map(self._held, self.widths))

    def _held(self, width: int) -> int:
        names = {bits_of(name): name for name in self.formats}
        return holds(names.get(width, f"int{width}"))


class SimdUnit(Part):
    """A unit that computes on vectors."""

    rate: OpsPerCycle
    latency: Cycles
    format: Literal["float16", "float32"]


class MemoryPort(Part):
    """What a core's memory hands out in a cycle."""

    width: BytesPerCycle


class Core(Part):
    """`weights`: stored once and sent to the cores that share them ("shared"), or stored by every
    core that uses them ("resident")."""

    memory: Bytes
    weights: Literal["shared", "resident"] = "shared"
    matrix_unit: MatrixUnit
    vector_unit: SimdUnit
    activation_unit: SimdUnit
    memory_port: MemoryPort


class Network(Part):
    """A mesh: every core has a link of `width` to each neighbour and one port, each direction."""

    width: BytesPerCycle
    hop_latency: CyclesPerHop


class Networks(Part):
    """Of each class of traffic its network; what is not given goes over the activation network."""

    own_model: Network | None = Field(default=None, alias="model")
    own_partial_sum: Network | None = Field(default=None, alias="partial_sum")
    activation: Network
    own_instruction: Network | None = Field(default=None, alias="instruction")

    @property
    def model(self) -> Network:
        return self.own_model or self.activation

    @property
    def partial_sum(self) -> Network:
        return self.own_partial_sum or self.activation

    @property
    def instruction(self) -> Network:
        return self.own_instruction or self.activation


class Framebuffer(Part):
    """The memory beside the array, where frames wait."""

    memory: Bytes
    width: BytesPerCycle


class Host(Part):
    """`transfer_latency`: of one transfer, before its first byte; `launch_latency`: from the
    command to the first layer's start."""

    bandwidth: BytesPerSecond
    transfer_latency: Seconds | None = None
    launch_latency: Seconds | None = None

    @property
    def transfer_latency_s(self) -> float:
        return seconds(self.transfer_latency)

    @property
    def launch_latency_s(self) -> float:
        return seconds(self.launch_latency)


class Programs(Part):
    """The program of one layer: stored once, sent to all cores while the layer before runs."""

    bytes_per_layer: Bytes
    start_latency: Cycles


class Operation(Part):
    """Where clock and energies hold. Dynamic energy goes with the square of the voltage, leakage
    (`leakage_share` of the static power) with its cube and by e every `leakage_scale` degrees."""

    voltage: Volts
    temperature: Celsius
    leakage_share: Number
    leakage_scale: Celsius


class OperatingPoint(Part):
    """Where the figures hold."""

    clock: Hertz | None = None
    voltage: Volts | None = None
    temperature: Celsius | None = None


class Calibration(Part):
    """A published power, and what the chip did meanwhile as the simulator counts it: events of one
    batch, which takes `time`."""

    network: str
    power: Watts
    time: Seconds
    counts: dict[str, int]


def _is_text(raw: Any) -> Any:
    if not isinstance(raw, str) or not raw:
        raise ValueError(f"must be text, not {raw!r}")
    return raw


class Target(Part):
    """A core-array chip, as its file describes it."""

    schema_version: SchemaVersion = Field(alias="schema")
    kind: Literal["core-array"] = "core-array"
    name: Annotated[str, BeforeValidator(_is_text)]
    summary: str
    sources: dict[str, str]
    array: CoreArray
    core: Core
    networks: Networks
    framebuffer: Framebuffer | None = None
    host: Host
    programs: Programs
    energy: Energy
    operation: Operation | None = None
    operating_points: dict[str, OperatingPoint] = Field(default={})
    operating_point: str | None = None
    calibration: Calibration | None = None
    totals: dict[str, dict[str, Any]] = Field(default={})
    published: dict[str, dict[str, Number]] = Field(default={})

    @property
    def cores(self) -> int:
        return self.array.cores

    @property
    def clock_hz(self) -> float:
        return self.array.clock.value

    @property
    def framebuffer_bytes(self) -> int:
        """Room for network inputs and outputs beside the core memories; without a framebuffer they
        lie in these, which the memory plan sees to."""
        return sys.maxsize if self.framebuffer is None else int(self.framebuffer.memory)

    @property
    def boundary_width(self) -> float:
        """Bytes of network inputs or outputs that enter or leave the array in a cycle."""
        if self.framebuffer is not None:
            return self.framebuffer.width.value
        return int(self.array.rows) * self.networks.activation.width.value

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        wrong = [*self._wrong_sources(), *self._wrong_parts(), *total_errors(self)]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _wrong_sources(self) -> Iterator[str]:
        stated = {
            f"published.{network}.{key}": figure
            for network, results in self.published.items()
            for key, figure in results.items()
        }
        for key, figure in (*self.figures(), *stated.items()):
            if figure.source and not set(figure.source.split()) <= set(self.sources):
                yield f"{key}: source must be one of [sources], not {figure.source!r}"

    def _wrong_parts(self) -> Iterator[str]:
        for bits in self.core.matrix_unit.widths:
            if self.energy.mac(bits) is None:
                yield f"key 'energy.mac_{bits}bit' must be given: the matrix unit has {bits} bits"
        if self.operating_points and self.operation is None:
            yield "table 'operation' must be given: operating points differ from it"
        if self.operating_point and self.operating_point not in self.operating_points:
            known = ", ".join(self.operating_points) or "there are none"
            yield f"operating point must be one of {known}, not {self.operating_point!r}"

    def stated_totals(self) -> dict[str, Total]:
        """The published totals, by name."""
        return totals_of(self)

    def derived_totals(self) -> dict[str, tuple[str, float]]:
        """Totals that follow from the parts: name -> (unit, value)."""
        return derived_totals(self)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every number with its key, in the file's order."""
        found = dict(figures_of(self))
        return ((k, f) for k, f in found.items() if not k.startswith("published."))
