"""The host's share of a network that was cut by `--host`: its file, its inputs, its costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.arrays import Array, Arrays
from zapdeploy.benchmarks.measured.cpu_power import cpu_power
from zapdeploy.benchmarks.measured.machine import this_machine
from zapdeploy.benchmarks.measured.meters import find_meter
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.documents import Document
from zapdeploy.errors import UsageError
from zapdeploy.formatting import count, interval, quantity
from zapdeploy.host_part.network import HostNetwork, noted_host_network
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.check import reference_inputs
from zapdeploy.sim.functional import run as run_graph
from zapdeploy.sim.performance import Performance
from zapdeploy.sim.reference import reference
from zapdeploy.simplify import InputShapes
from zapdeploy.simplify.host_split import split_file
from zapdeploy.tables import Table

_RUNS = 5  # at least
_SECONDS = 0.2  # at least


@dataclass(frozen=True)
class HostCost:
    """What the host's parts take per frame on one core of this machine: measured time.

    energy: by meter where one answers, else modelled, as `source` says.
    """

    nodes: tuple[str, ...]
    seconds: float
    energy: Estimate
    source: str

    def as_json(self) -> dict[str, Any]:
        """The document's part."""
        return {
            "nodes": list(self.nodes),
            "time_per_frame_s": self.seconds,
            "time_kind": Provenance.MEASURED.value,
            "energy_per_frame_j": self.energy.as_json(),
            "energy_source": self.source,
        }


def host_network(program: Pipeline) -> HostNetwork | None:
    """What a compiled network leaves to the host; None where that is nothing."""
    if len(program.origins) > 1:
        return None
    return noted_host_network(program.origin.notes, program.model)


def host_cost(host: HostNetwork) -> HostCost:
    """Run the host's parts on random inputs until their time is known."""
    host.run_on_random()  # opens the sessions
    found = find_meter("cpu")
    if found.meter is not None:
        found.meter.start()
    taken: list[float] = []
    while len(taken) < _RUNS or sum(taken) < _SECONDS:
        before = time.perf_counter()
        host.run_on_random()
        taken.append(time.perf_counter() - before)
    seconds = statistics.median(taken) / host.frames
    reading = None if found.meter is None else found.meter.stop()
    if reading is not None:
        joules = reading.joules / len(taken) / host.frames
        energy = Estimate(joules, joules, joules, Provenance.MEASURED)
        return HostCost(host.nodes, seconds, energy, reading.source)
    power = cpu_power(this_machine().cpu, 1)
    source = f"{found.reason or 'the meter gave nothing'}; modelled: {power.source}"
    return HostCost(host.nodes, seconds, power.active.scaled(seconds), source)


def split_for_host(
    model: Path, nodes: Collection[str], destination: Path, shapes: InputShapes
) -> HostNetwork:
    """Write the chip's part of a file, the host's in its metadata; see `split_file`."""
    if not model.is_file():
        raise UsageError(f"model must be one ONNX file for --host, not {str(model)!r}")
    return split_file(model, nodes, destination, shapes)


def settled(shapes: InputShapes) -> InputShapes:
    """What is left to say about the chip's part, in which `split_for_host` wrote shapes down."""
    return replace(shapes, given={}, constants={})


def chip_calibration(host: HostNetwork, arrays: Arrays | None) -> dict[str, Array]:
    """Calibration inputs as the chip's part gets them; what else came with them stays."""
    if arrays is None:
        raise UsageError(
            "--host must have --calibration X.npz: what the host hands to the chip follows from "
            "real inputs; give it"
        )
    inputs = {n: v for n, v in arrays.items() if n in (*host.inputs, "")}
    beside = {n: v for n, v in arrays.items() if n not in inputs}
    return host.for_chip(host.before(inputs)) | beside


def with_host(cost: HostCost, chip: Performance) -> Estimate:
    """Energy per frame of the host and of the chip together."""
    host, other = cost.energy, chip.energy_per_frame
    ends = (host.value + other.value, host.low + other.low, host.high + other.high)
    return Estimate(*ends, Provenance.MODELLED)


def cost_json(cost: HostCost, chip: Performance) -> dict[str, Any]:
    """The document's part: the host's cost, and both together."""
    return cost.as_json() | {
        "energy_with_chip_j": with_host(cost, chip).as_json(),
        "throughput_with_chip_fps": both_fps(cost, chip),
    }


def cost_table(cost: HostCost, chip: Performance) -> Table:
    """The host's time and energy per frame beside the chip's, and both together."""
    energy, measured = chip.energy_per_frame, Provenance.MEASURED.value
    both = f"{chip.timing_kind.value} and {measured}"
    total, of_energy = with_host(cost, chip), cost.energy.kind.value
    latency_s = chip.latency_s + cost.seconds * chip.batch
    rows = [
        ("host, time per frame", quantity(cost.seconds, "s"), measured),
        ("host, energy per frame", interval(cost.energy, "J"), of_energy),
        ("chip, energy per frame", interval(energy, "J"), energy.kind.value),
        ("both, energy per frame", interval(total, "J"), total.kind.value),
        (f"both, latency of a batch of {chip.batch}", quantity(latency_s, "s"), both),
        ("both, frames per second", count(both_fps(cost, chip)), both),
    ]
    title = f"with the host's part ({len(cost.nodes)} nodes in float; energy: {cost.source})"
    return Table(title, ("", "value", "kind"), rows)


def both_fps(cost: HostCost, chip: Performance) -> float:
    """Frames per second of host and chip, which work side by side on frames one after the other."""
    return min(chip.throughput_fps, 1 / cost.seconds)


@dataclass(frozen=True)
class WholeOutput(Document):
    """An output of the whole network, whose chip's part was run by us and by the reference.

    max_difference: in the output's own unit.
    """

    name: str
    elements: int
    equal: int
    max_difference: float

    def __str__(self) -> str:
        return (
            f"whole network, host's part included: {self.equal:,} of {self.elements:,} elements of "
            f"'{self.name}' equal, at most {self.max_difference:.3g} apart"
        )


@dataclass(frozen=True, eq=False)
class WholeInputs:
    """Inputs of a compiled network and of its host's part.

    `known` is all that the latter read and made, `for_chip` what the chip is given; without such a
    part they are the same.
    """

    host: HostNetwork | None
    known: Mapping[str, Array]
    for_chip: Mapping[str, Array]

    @classmethod
    def of(cls, host: HostNetwork | None, arrays: Arrays) -> WholeInputs:
        """The host's part before the chip's is run on them."""
        if host is None:
            return cls(None, arrays, arrays)
        known = host.before(arrays)
        return cls(host, known, host.for_chip(known))

    def outputs(self, found: Mapping[str, Array]) -> dict[str, Array]:
        """The whole network's, of the chip's."""
        return dict(found) if self.host is None else self.host.after({**self.known, **found})


def first_batch(program: Pipeline, arrays: Arrays | None, seed: int) -> WholeInputs:
    """What --check runs on: the first batch of the inputs, or random ones of the whole network."""
    host = host_network(program)
    if host is None or (arrays is None and not host.front):
        given = reference_inputs(program.graph, seed) if arrays is None else arrays
        return WholeInputs(host, given, given)
    frames = program.micro_batch
    if arrays is None:
        return WholeInputs.of(host, host.random_inputs(seed, frames // host.frames))
    cut = {name: array[:frames] if array.ndim else array for name, array in arrays.items()}
    return WholeInputs.of(host, cut)


def compare_whole(
    program: Pipeline, model: Path, given: WholeInputs, first: Mapping[str, Array]
) -> tuple[WholeOutput, ...]:
    """Every output of the whole network; none where the host has no part in it."""
    if given.host is None:
        return ()
    graph = program.graph
    judge = reference(graph, model, first).values
    theirs = given.outputs({name: judge[name] for name in graph.outputs if name in judge})
    ours = given.outputs(run_graph(graph, first))
    return tuple(_compared(name, ours[name], theirs[name]) for name in ours)


def _compared(name: str, ours: Array, theirs: Array) -> WholeOutput:
    apart = np.abs(ours.astype(np.float64) - theirs)
    return WholeOutput(name, ours.size, int((apart == 0).sum()), float(apart.max(initial=0)))
