"""A result as the tables that people read: speed, energy, memory, each with its kind."""

from __future__ import annotations

from zapdeploy.formatting import count, interval, quantity
from zapdeploy.quantities import Provenance
from zapdeploy.sim.documents import widened
from zapdeploy.sim.performance import Performance
from zapdeploy.sim.sequences import sequences_of
from zapdeploy.tables import Table

SIMULATED, MODELLED = Provenance.SIMULATED.value, Provenance.MODELLED.value
Row = tuple[str, str, str]


def summary_table(result: Performance) -> Table:
    """The answer. Times of a schedule are simulated; the compiler's estimates are modelled."""
    program, kind = result.pipeline, result.timing_kind.value
    rows = [*_speed(result, kind), *_energy(result), *_mapping(result, kind)]
    rows += [*_widths(result), *_sequences(result, kind), *_at_frame_rate(result, kind)]
    title = f"{program.model} on {program.on_what}, batch {result.batch}, cycles {result.level}"
    if program.micro_batches > 1:
        title += f" in micro-batches of {program.micro_batch}"
    return Table(title, ("", "value", "kind"), rows)


def _speed(result: Performance, kind: str) -> list[Row]:
    of_bound = result.throughput_fps / result.bound_throughput_fps
    waits_s = result.transfer_latency_s + result.launch_s
    return [
        ("frames per second", count(result.throughput_fps), kind),
        ("  limited by", _bottleneck(result), kind),
        ("  share of the array's upper bound", f"{of_bound:.1%}", kind),
        (f"latency of a batch of {result.batch}", quantity(result.latency_s, "s"), kind),
        ("  of which the array", quantity(result.array_s, "s"), kind),
        ("  of which on the host link", quantity(result.host_s, "s"), MODELLED),
        ("  of which before transfers and launch", quantity(waits_s, "s"), MODELLED),
    ]


def _energy(result: Performance) -> list[Row]:
    boundary, energy = _boundary(result), result.energy_per_frame
    return [
        (f"energy per frame ({boundary})", interval(energy, "J"), MODELLED),
        (f"power ({boundary})", interval(result.power_w, "W"), MODELLED),
        ("frames per joule", count(1 / energy.value), MODELLED),
        ("  intervals", energy.interval, MODELLED),
    ]


def _mapping(result: Performance, kind: str) -> list[Row]:
    fullest = max((stage.memory for stage in result.stages), key=lambda memory: memory.peak)
    memory = f"{fullest.peak / 1024:.0f} of {fullest.limit / 1024:.0f} KiB"
    return [
        ("use of the matrix units", f"{result.utilization:.1%}", kind),
        ("memory of the fullest core", memory, SIMULATED),
        ("a better mapping could save at most", f"{result.mapping_gap:.1%}", MODELLED),
    ]


def _widths(result: Performance) -> list[Row]:
    """Widths that the chip has not: stored, moved and counted at the next one that it has."""
    return [
        (f"tensors of {bits} bits, stored and counted at {stored}", count(number), SIMULATED)
        for (bits, stored), number in widened(result.pipeline).items()
    ]


def _sequences(result: Performance, kind: str) -> list[Row]:
    """Of a network that keeps state, such as a language model with its caches."""
    found = sequences_of(result)
    if found is None:
        return []
    return [
        ("sequences whose state fits at once", count(found.most), SIMULATED),
        ("frames per second with all of them", count(found.frames_per_s), kind),
        ("frames per second of one sequence alone", count(found.alone_fps), kind),
    ]


def _at_frame_rate(result: Performance, kind: str) -> list[Row]:
    rate = result.at_frame_rate
    if rate is None:
        return []
    hertz, energy = f"{rate.frame_rate_hz:g} Hz", interval(rate.energy_per_frame, "J")
    return [
        (f"energy per frame at {hertz}, idle included", energy, MODELLED),
        (f"keeps up with {hertz}", "yes" if rate.keeps_up else "no", kind),
        ("  busy", f"{rate.busy_share:.2%}", kind),
    ]


def _boundary(result: Performance) -> str:
    boundary = result.pipeline.target.energy.boundary
    return boundary if result.chips == 1 else f"all {result.chips} {boundary}s"


def _bottleneck(result: Performance) -> str:
    name = result.limiter.replace("_", " ")
    return name if result.chips == 1 else f"{name} (chip {result.flow.slowest + 1})"


def stage_table(result: Performance) -> Table:
    """One row per chip: which layers it runs, how long it and its link take for a micro-batch."""
    rows = [
        (
            f"{number}: {stage.layers[0].name} ..",
            str(len(stage.layers)),
            quantity(stage.timeline.host_in_s, "s"),
            quantity(stage.timeline.array_s, "s"),
            quantity(stage.timeline.host_out_s, "s"),
            f"{stage.timeline.interval_s / result.flow.interval_s:.0%}",
            stage.timeline.limiter,
            f"{stage.memory.peak / 1024:.0f} KiB",
            quantity(result.stage_energy(stage).value, "J"),
        )
        for number, stage in enumerate(result.stages, 1)
    ]
    columns = (
        *("chip and its first layer", "layers", "arriving", "computing", "leaving", "busy"),
        *("limited by", "fullest core", "energy per frame"),
    )
    return Table("chips", columns, rows)


def layer_table(result: Performance) -> Table:
    """One row per layer: how it is cut, how long it takes, what holds it up."""
    rows = [
        (
            layer.name,
            layer.op,
            "x".join(map(str, layer.cut)),
            f"{layer.bits}" if layer.macs else "",
            count(span.end - span.start),
            count(layer.bound_cycles),
            span.limiter,
        )
        for stage in result.stages
        for layer, span in zip(stage.layers, stage.timeline.spans, strict=True)
    ]
    columns = ("layer", "operators", "cut", "bits", "cycles", "bound", "limited by")
    return Table("layers", columns, rows)


def bound_table(result: Performance) -> Table:
    """The cycles that no mapping and no schedule can go below."""
    rows = [(layer.name, layer.op, count(layer.bound_cycles)) for layer in result.layers]
    everything = "all" if result.chips == 1 else "all of the slowest chip"
    rows.append((everything, "", count(result.bound_cycles)))
    title = f"at best {result.bound_throughput_fps:,.0f} frames per second (batch {result.batch})"
    return Table(title, ("layer", "operators", "cycles at best"), rows)
