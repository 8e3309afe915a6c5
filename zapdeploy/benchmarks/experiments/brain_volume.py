"""How many cards keep up with a whole brain: ZAPBench's video model, cards against frames a second.

    python -m zapdeploy.benchmarks.experiments.brain_volume -o rows.jsonl

Weights are random, which costs what trained ones cost. Layers are timed by the compiler's closed
form. Where a card's box does not fit, boxes come from the host in turn, round after round. Beside
it a CPU, measured on a crop and scaled by voxels, and what the peaks of published GPUs allow.
Rows are kept in the file of `-o` as they are found: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from zapdeploy import version
from zapdeploy.benchmarks.experiments.brain_volume_network import (
    CROP,
    crop_seconds,
    macs_of,
    volume_graph,
    write_networks,
)
from zapdeploy.benchmarks.results.journal import Journal
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.compile.space.program import SpaceProgram, build_space, suited_to
from zapdeploy.compile.space.turns_program import build_turns
from zapdeploy.errors import UsageError
from zapdeploy.formatting import quantity
from zapdeploy.hardware_targets import Target, parse_target, target_text
from zapdeploy.sim.space.results import SpaceResult, time_space
from zapdeploy.sim.space.turns_results import TurnsResult, time_turns

LEAD_TIMES = 32
FRAME_S = 0.9141
# Dense int8 operations/s and the limit of the card in watts, as NVIDIA's data sheets are quoted; a
# multiply-accumulate is two operations.
GPUS = (("NVIDIA A100 SXM", 624e12, 400), ("NVIDIA H100 SXM", 1979e12, 700))
COLUMNS = (
    "cards", "", "frames/s", "latency", "power", "J/frame", "limited by", "keeps up", "found in"
)  # fmt: skip
Row = dict[str, Any]
ORIGIN = Origin("video-nunet.onnx", "")


@dataclass(eq=False)
class Rows:
    """Rows by what they are of, made once: in this run, or in an earlier one with the same file."""

    file: Journal | None
    target_toml: str
    known: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file is not None:
            self.file.repair()
            self.known.update(self.file.read())

    def row(self, name: str, make: Callable[[], Row]) -> Row:
        """The row of this name, for this chip and this version."""
        of = hashlib.sha256(f"{self.target_toml}{version()}".encode()).hexdigest()[:8]
        key = f"{name}, {of}"
        if key not in self.known:
            begun = time.monotonic()
            print(f"row {len(self.known) + 1}: {name} ...", file=sys.stderr, flush=True)
            self.known[key] = {"key": key, **make(), "found_in_s": time.monotonic() - begun}
            if self.file is not None:
                self.file.append(self.known[key])
        return self.known[key]


@dataclass(frozen=True, eq=False)
class Asked:
    """A volume (depth, height, width) and its network at so many bits, for a chip.

    `folder`: where the network's files are made, when they are needed.
    """

    volume: tuple[int, int, int]
    bits: int
    target: Target
    rows: Rows
    folder: Path

    @cached_property
    def graph(self) -> Graph:
        return volume_graph(self.volume, self.bits, self.folder)

    def in_space(self, cards: int) -> SpaceProgram:
        """Cut over so many cards, whether it fits or not."""
        options = Options(1, cards, "throughput")
        grid = suited_to(self.volume, cards)
        return build_space(self.graph, ORIGIN, self.target, self.rows.target_toml, options, grid)

    def in_turn(self, cards: int) -> TurnsResult:
        """Boxes from the host's memory."""
        options, toml = Options(1, cards, "throughput"), self.rows.target_toml
        program = build_turns(self.graph, ORIGIN, self.target, toml, options, cards)
        return time_turns(program, passes=LEAD_TIMES)

    def of_cards(self, cards: int) -> Row:
        """What so many cards do, in turn where they do not hold the volume."""
        return self.rows.row(f"{self._name}, {cards} cards", lambda: self._measured(cards))

    def macs(self) -> int:
        """Multiply-accumulates of a pass."""
        found = self.rows.row(f"{self._name}, work", lambda: {"macs": macs_of(self.graph)})
        return int(found["macs"])

    def cpu(self, threads: int) -> Row:
        """The float network on a crop, by ONNX Runtime."""

        def measured() -> Row:
            write_networks(self.bits, self.folder)
            return {"crop": CROP, "crop_s": crop_seconds(self.folder, threads)}

        return self.rows.row(f"a crop on a CPU of {threads} threads", measured)

    @property
    def _name(self) -> str:
        return f"{'x'.join(map(str, self.volume))}, int{self.bits}"

    def _measured(self, cards: int) -> Row:
        program = self.in_space(cards)
        found: SpaceResult | TurnsResult
        if program.fits:
            found, how = time_space(program, (), LEAD_TIMES), str(program.grid)
        else:
            found = self.in_turn(cards)
            how = f"in turn, {found.program.grid.cards} boxes"
        return {
            "bits": self.bits,
            "cards": cards,
            "how": how,
            "throughput_fps": found.throughput_fps,
            "latency_s": found.latency_s,
            "power_w": found.power_w.as_json(),
            "energy_per_frame_j": found.energy_per_frame.as_json(),
            "limiter": found.limiter,
            "keeps_up": found.throughput_fps * FRAME_S >= 1,
            "why_in_turn": program.why_not,
        }

    def least(self, most: int) -> tuple[Row | None, Row | None]:
        """The least number that keeps up and the next smaller one, of those whose largest box is
        smaller than that of any smaller number; found by halving, as if more cards were never
        slower."""
        numbers = self._worthwhile(most)
        low, high = 0, len(numbers)
        while low < high:
            middle = (low + high) // 2
            if self.of_cards(numbers[middle])["keeps_up"]:
                high = middle
            else:
                low = middle + 1
        best = self.of_cards(numbers[low]) if low < len(numbers) else None
        return best, self.of_cards(numbers[low - 1]) if low else None

    def _worthwhile(self, most: int) -> list[int]:
        found, smallest = [], float("inf")
        for cards in range(1, most + 1):
            try:
                parts = suited_to(self.volume, cards).parts
            except UsageError:
                continue
            box = prod(-(-n // part) for n, part in zip(self.volume, parts, strict=True))
            if box < smallest:
                found.append(cards)
                smallest = box
        return found


def card_line(row: Mapping[str, Any], note: str = "") -> str:
    """A row of cards as a line of the table."""
    power, energy = row["power_w"]["value"], row["energy_per_frame_j"]["value"]
    return _line(
        f"{row['cards']}{note} ({row['how']})",
        f"int{row['bits']}",
        f"{row['throughput_fps']:.3g}",
        quantity(row["latency_s"], "s"),
        quantity(power, "W"),
        quantity(energy, "J"),
        row["limiter"].replace("_", " "),
        "yes" if row["keeps_up"] else "no",
        f"{row['found_in_s']:.0f} s",
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def least_line(found: tuple[Row | None, Row | None], bits: int, most: int) -> str:
    """The sentence below a table."""
    best, below = found
    if best is None:
        return f"int{bits}: no number up to {most} keeps up with {FRAME_S} s"
    sentence = f"int{bits}: {best['cards']} cards are the fewest that keep up with {FRAME_S} s"
    if below is None:
        return sentence
    return f"{sentence}; {below['cards']}, the next number worth having, do not"


def gpu_bounds(macs: int) -> list[str]:
    """What published peaks allow, nothing else in the way; no measurement."""
    return [
        _line(
            name,
            "int8",
            f"at most {(fps := peak / (2 * macs * LEAD_TIMES)):.3g}",
            "",
            f"{power} W (limit)",
            f"{quantity(power / fps, 'J')} at that limit",
            "arithmetic: the published peak, nothing else in the way",
            "perhaps" if fps * FRAME_S >= 1 else "no",
            "",
        )
        for name, peak, power in GPUS
    ]


def cpu_line(volume: tuple[int, int, int], row: Mapping[str, Any], threads: int) -> str:
    """The crop scaled by voxels."""
    times = prod(volume) / prod(CROP)
    frame_s = row["crop_s"] * times * LEAD_TIMES
    crop = " x ".join(map(str, CROP))
    measured = f"measured on a crop of {crop} voxels, scaled by {times:,.0f}"
    keeps_up = "yes" if frame_s <= FRAME_S else "no"
    return _line(
        f"CPU, {threads} threads", "fp32", f"{1 / frame_s:.2g}", quantity(frame_s, "s"), "", "",
        measured, keeps_up, "",
    )  # fmt: skip


def print_table(asked: Sequence[Asked], cards: Sequence[int], most: int, threads: int) -> None:
    """The table of one volume at every width, line after line as they are found."""
    volume = asked[0].volume
    print(f"\n{' x '.join(map(str, volume))} voxels, {LEAD_TIMES} lead times a frame\n")
    print(_line(*COLUMNS))
    print("|" + "---|" * len(COLUMNS), flush=True)
    found = []
    for one in asked:
        for number in cards:
            print(card_line(one.of_cards(number)), flush=True)
        if most:
            found.append(least_line(one.least(most), one.bits, most))
            best = one.least(most)[0]
            if best is not None and best["cards"] not in cards:
                print(card_line(best, ", the fewest that keep up"), flush=True)
    if threads:
        print(cpu_line(volume, asked[0].cpu(threads), threads))
    print("\n".join([*gpu_bounds(asked[0].macs()), *(["", *found] if found else [])]), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; see --help."""
    given = _arguments(arguments)
    where, toml = target_text("northpole-sim")
    with ExitStack() as stack:
        rows = Rows(Journal(given.output) if given.output else None, toml)
        if rows.known:
            print(f"{given.output} has {len(rows.known)} rows already")
        for text in given.volumes.split(","):
            depth, height, width = map(int, text.split("x"))
            asked = []
            for bits in map(int, given.bits.split(",")):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                target = parse_target(toml, where)
                asked.append(Asked((depth, height, width), bits, target, rows, folder))
            print_table(asked, list(map(int, given.cards.split(","))), given.least, given.threads)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", default="1,16,32,64,128,288")
    parser.add_argument(
        "--volumes", default="72x288x512,72x1152x2048", help="depth x height x width in voxels"
    )
    parser.add_argument("--bits", default="8,4")
    parser.add_argument("--least", type=int, default=288, help="search up to so many; 0: do not")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU; 0: leave it out")
    parser.add_argument("-o", "--output", type=Path, help="keep rows here, and go on from them")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
