"""How many cards keep up with a whole brain: ZAPBench's video model, cards against frames a second.

    python -m zapdeploy.benchmarks.experiments.brain_volume

Weights are random, which costs what trained ones cost. Layers are timed by the compiler's closed
form. Where a card's box does not fit, boxes come from the host in turn, round after round. Beside
it a CPU, measured on a crop and scaled by voxels, and what the peaks of published GPUs allow.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.ops.base import Unit
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.compile.regions import whole
from zapdeploy.compile.space.program import SpaceProgram, build_space, suited_grid
from zapdeploy.compile.space.turns_program import build_turns
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import Target, parse_target, target_text
from zapdeploy.sim.space.results import SpaceResult, time_space
from zapdeploy.sim.space.turns_time import TurnsResult, time_turns
from zapdeploy.simplify import soundness

LEAD_TIMES = 32
FRAME_S = 0.9141
SMALL = (4, 4, 4)  # voxels that the network is calibrated on
CROP = (8, 32, 32)  # voxels that the CPU is measured on
# Dense int8 operations/s and the limit of the card in watts, as NVIDIA's data sheets are quoted; a
# multiply-accumulate is two operations.
GPUS = (("NVIDIA A100 SXM", 624e12, 400), ("NVIDIA H100 SXM", 1979e12, 700))
HEAD = "| cards | | frames/s | latency | power | J/frame | limited by | keeps up | compiled in |"
ORIGIN = Origin("video-nunet.onnx", "")


def volume_graph(volume: tuple[int, int, int], bits: int, folder: Path) -> Graph:
    """The network with random weights at so many bits, for a volume (depth, height, width)."""
    import onnx
    from onnx import numpy_helper

    path = _quantized(bits, folder)
    model = onnx.load(path)
    times = [new // old for new, old in zip(volume, SMALL, strict=True)]
    for tensor in model.graph.initializer:  # shapes that were folded into the file
        shape = numpy_helper.to_array(tensor)
        if shape.dtype == np.int64 and shape.shape == (5,):
            larger = np.concatenate([shape[:2], shape[2:] * times])
            tensor.CopyFrom(numpy_helper.from_array(larger, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        for dim, length in zip(list(value.type.tensor_type.shape.dim)[2:], volume, strict=False):
            dim.dim_value = length
    sized = folder / "sized.onnx"
    onnx.save(model, sized)
    # Made here and never computed, so that what guards against files of strangers may give way: a
    # whole brain by 128 channels has 2.2e10 elements.
    usual = soundness.MOST_ELEMENTS
    soundness.MOST_ELEMENTS = max(usual, 1 << 35)
    try:
        return import_model(sized).graph
    finally:
        soundness.MOST_ELEMENTS = usual


def _quantized(bits: int, folder: Path) -> Path:
    import torch

    from zapdeploy.forecasters.video_nunet import VideoNunet
    from zapdeploy.quantize import quantize_onnx

    torch.manual_seed(0)
    example = torch.rand(1, 4, *SMALL), torch.tensor([8.0])
    opened = {2: "depth", 3: "height", 4: "width"}
    path, target = folder / "float.onnx", folder / f"int{bits}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            VideoNunet().eval(), example, str(path), input_names=["input", "lead"],
            output_names=["output"], opset_version=17, dynamo=False,
            dynamic_axes={"input": opened, "output": opened},
        )  # fmt: skip
    rng = np.random.default_rng(0)
    inputs = {
        "input": rng.normal(0, 0.3, (4, 4, *SMALL)).astype(np.float32),
        "lead": np.linspace(32, 1, 4, dtype=np.float32),
    }
    quantize_onnx(path, target, weights=bits, activations=bits, calibration=inputs)
    return target


@dataclass(frozen=True, eq=False)
class Asked:
    """A network at so many bits, of a volume, for a chip."""

    graph: Graph
    bits: int
    target: Target
    toml: str

    def in_space(self, cards: int) -> SpaceProgram:
        """Cut over so many cards, whether it fits or not."""
        options = Options(1, cards, "throughput")
        grid = suited_grid(self.graph, cards)
        return build_space(self.graph, ORIGIN, self.target, self.toml, options, grid)

    def in_turn(self, cards: int) -> TurnsResult:
        """Boxes from the host's memory."""
        options = Options(1, cards, "throughput")
        program = build_turns(self.graph, ORIGIN, self.target, self.toml, options, cards)
        return time_turns(program, passes=LEAD_TIMES)

    def row(self, cards: int) -> str:
        """A line of the table, and why it is in turn where it is."""
        begun = time.monotonic()
        program = self.in_space(cards)
        found: SpaceResult | TurnsResult
        if program.fits:
            found, how = time_space(program, (), LEAD_TIMES), str(program.grid)
            after = ""
        else:
            found = self.in_turn(cards)
            how = f"in turn, {found.program.grid.cards} boxes"
            after = f"\n<!-- {program.why_not} -->"
        power, energy = found.power_w, found.energy_per_frame
        return (
            f"| {cards} ({how}) | int{self.bits} | {found.throughput_fps:.3g} |"
            f" {found.latency_s:.3g} s | {power.value:,.0f} W | {energy.value:,.0f} J |"
            f" {found.limiter} | {_yes(found.throughput_fps * FRAME_S >= 1)} |"
            f" {time.monotonic() - begun:.0f} s |{after}"
        )

    def least(self, most: int) -> str:
        """The least number that keeps up, of those whose largest box is smaller than that of any
        smaller number; found by halving, as if more cards were never slower."""
        numbers = self._worthwhile(most)
        low, high = 0, len(numbers)
        while low < high:
            middle = (low + high) // 2
            if self._rate(numbers[middle]) * FRAME_S >= 1:
                high = middle
            else:
                low = middle + 1
        if low == len(numbers):
            return f"int{self.bits}: no number up to {most} keeps up with {FRAME_S} s"
        best = numbers[low]
        below = numbers[low - 1] if low else 0
        return (
            f"int{self.bits}: {best} cards are the fewest that keep up with {FRAME_S} s "
            f"({self._rate(best):.3g} frames/s; {below}, the next number worth having, do not)"
        )

    def _rate(self, cards: int) -> float:
        program = self.in_space(cards)
        if program.fits:
            return time_space(program, (), LEAD_TIMES).throughput_fps
        return self.in_turn(cards).throughput_fps

    def _worthwhile(self, most: int) -> list[int]:
        found, smallest = [], float("inf")
        (shape,) = (self.graph.values[n].shape for n in self.graph.inputs if n == "input")
        for cards in range(1, most + 1):
            try:
                parts = suited_grid(self.graph, cards).parts
            except UsageError:
                continue
            box = prod(-(-n // part) for n, part in zip(shape[2:], parts, strict=True))
            if box < smallest:
                found.append(cards)
                smallest = box
        return found


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"


def gpu_bounds(macs: int) -> list[str]:
    """What published peaks allow, nothing else in the way; no measurement."""
    return [
        f"| {name} | int8 | at most {peak / (2 * macs * LEAD_TIMES):.3g} | | {power} W (limit) |"
        f" at least {power * 2 * macs * LEAD_TIMES / peak:,.0f} J |"
        " published peak, arithmetic alone | | |"
        for name, peak, power in GPUS
    ]


def cpu_row(volume: tuple[int, int, int], folder: Path, threads: int) -> str:
    """The float network in ONNX Runtime on a crop, scaled by voxels."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(folder / "float.onnx"), options, providers=["CPUExecutionProvider"]
    )
    inputs = {"input": np.zeros((1, 4, *CROP), np.float32), "lead": np.array([8], np.float32)}
    taken = []
    for _ in range(4):  # the first one warms up
        begun = time.monotonic()
        session.run(None, inputs)
        taken.append(time.monotonic() - begun)
    times = prod(volume) / prod(CROP)
    frame_s = float(np.median(taken[1:])) * times * LEAD_TIMES
    crop = " x ".join(map(str, CROP))
    return (
        f"| CPU, {threads} threads | fp32 | {1 / frame_s:.2g} | {frame_s:,.0f} s | | |"
        f" measured on a crop of {crop} voxels, scaled by {times:,.0f} | | |"
    )


def macs_of(graph: Graph) -> int:
    """Multiply-accumulates of a pass."""
    total = 0
    for layer in group_layers(graph):
        if layer.operator.unit is Unit.MATRIX:
            made = whole(layer.anchor.output.shape, (1,))
            total += int(layer.operator.matrix_tile(layer.anchor, made).macs[0])
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", default="1,16,32,64,128,288")
    parser.add_argument(
        "--volumes", default="72x288x512,72x1152x2048", help="depth x height x width in voxels"
    )
    parser.add_argument("--bits", default="8,4")
    parser.add_argument("--least", type=int, default=288, help="search up to so many; 0: do not")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU; 0: leave it out")
    given = parser.parse_args(arguments)
    where, toml = target_text("northpole-sim")
    target = parse_target(toml, where)
    for text in given.volumes.split(","):
        depth, height, width = map(int, text.split("x"))
        print(f"\n{text} voxels, {LEAD_TIMES} lead times a frame")
        print(HEAD)
        print("|---|---|---|---|---|---|---|---|---|")
        for bits in map(int, given.bits.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                graph = volume_graph((depth, height, width), bits, Path(folder))
                if given.threads and bits == int(given.bits.split(",")[0]):
                    print(cpu_row((depth, height, width), Path(folder), given.threads), flush=True)
            asked = Asked(graph, bits, target, toml)
            for cards in map(int, given.cards.split(",")):
                print(asked.row(cards), flush=True)
            if given.least:
                print(asked.least(given.least), flush=True)
        print("\n".join(gpu_bounds(macs_of(graph))), flush=True)


if __name__ == "__main__":
    main()
