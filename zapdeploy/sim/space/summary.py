"""A result of a network cut over space as the tables that people read."""

from __future__ import annotations

from zapdeploy.formatting import count, interval, quantity
from zapdeploy.quantities import Provenance
from zapdeploy.sim.space.passes import PassCosts
from zapdeploy.sim.space.performance import SpacePerformance
from zapdeploy.tables import Table

Row = tuple[str, str, str]
MODELLED = Provenance.MODELLED.value


def space_table(result: SpacePerformance) -> Table:
    """The answer: speed, energy, what it waits for."""
    program, kind = result.program, result.timing_kind.value
    fullest = max((one.memory for one in program.programs), key=lambda memory: memory.peak)
    memory = f"{fullest.peak / 1024:.0f} of {fullest.limit / 1024:.0f} KiB"
    rows: list[Row] = [
        ("frames per second", f"{result.throughput_fps:,.3g}", kind),
        ("  limited by", result.limiter.replace("_", " "), kind),
        ("latency of a frame", quantity(result.latency_s, "s"), kind),
        ("a pass of all cards", quantity(result.pass_s, "s"), kind),
        ("  of which waiting for halos", quantity(result.waits_s["halos"], "s"), MODELLED),
        ("  of which waiting for sums", quantity(result.waits_s["sums"], "s"), MODELLED),
        ("  on the busiest link", quantity(result.link_s, "s"), MODELLED),
        ("sent by all cards in a pass", f"{count(int(result.flow.out_bytes.sum()))} B", kind),
        *energy_rows(result),
        ("kinds of cards", str(len(program.programs)), kind),
        ("memory of the fullest core", memory, Provenance.SIMULATED.value),
    ]
    if result.passes > 1:
        rows.insert(2, ("  passes for a frame", str(result.passes), kind))
    return answer_table(result, rows)


def energy_rows(result: PassCosts) -> list[Row]:
    """What a frame takes of all chips at full rate."""
    chips, energy, kind = f"(all {result.cards} chips)", result.energy_per_frame, MODELLED
    return [
        (f"energy per frame {chips}", interval(energy, "J"), kind),
        (f"power {chips}", interval(result.power_w, "W"), kind),
        ("  intervals", energy.interval, kind),
    ]


def answer_table(result: PassCosts, rows: list[Row]) -> Table:
    """These rows, and what the frame rate makes of them where one was asked for."""
    program, waiting = result.program, result.energy_at_frame_rate
    if waiting is not None:
        rate, verdict = f"{result.frame_rate_hz:g} Hz", "yes" if result.keeps_up else "no"
        priced = (f"energy per frame at {rate}, idle included", interval(waiting, "J"), MODELLED)
        rows = [*rows, priced, (f"keeps up with {rate}", verdict, result.timing_kind.value)]
    title = f"{program.model} on {program.on_what}, cycles {result.level}"
    return Table(title, ("", "value", "kind"), rows)


def kinds_table(result: SpacePerformance) -> Table:
    """A row for each kind of card."""
    program = result.program
    rows = []
    for kind, (one, timeline) in enumerate(zip(program.programs, result.timelines, strict=True)):
        cards = [card for card, each in enumerate(program.cards.kinds) if each == kind]
        first = cards[0]
        rows.append(
            (
                f"{kind + 1}: card {first} ..",
                str(len(cards)),
                str(len(one.layers)),
                quantity(timeline.array_s, "s"),
                quantity(float(result.flow.halo_wait_s[first]), "s"),
                quantity(float(result.flow.sum_wait_s[first]), "s"),
                count(int(result.flow.in_bytes[first])),
                f"{one.memory.peak / 1024:.0f} KiB",
            )
        )
    columns = (
        "kind and its first card", "cards", "layers", "computing", "waiting for halos",
        "waiting for sums", "bytes received", "fullest core",
    )  # fmt: skip
    return Table("kinds of cards", columns, rows)
