"""How many cards keep up with a whole brain: ZAPBench's video model, cards against frames a second.

    python -m zapdeploy.benchmarks.experiments.brain_volume --cards 16,32,64,128,288

Weights are random, which costs what trained ones cost. Layers are timed by the compiler's closed
form. Where a card's box does not fit, boxes come from the host in turn; that row is a bound from
the bytes that must cross the links and the multiply-accumulates, nothing scheduled.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.ops.base import Unit
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.compile.regions import whole
from zapdeploy.compile.space.program import build_space, suited_grid
from zapdeploy.compile.space.turns import rounds_of
from zapdeploy.hardware_targets import Target, parse_target, target_text
from zapdeploy.sim.space.results import SpaceResult, time_space

LEAD_TIMES = 32
FRAME_S = 0.9141
SMALL = (4, 4, 4)  # voxels that the network is calibrated on
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
    return import_model(sized).graph


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


def row(graph: Graph, target: Target, toml: str, cards: int, bits: int) -> str:
    """A line of the table."""
    begun = time.monotonic()
    options = Options(1, cards, "throughput")
    program = build_space(graph, ORIGIN, target, toml, options, suited_grid(graph, cards))
    if program.fits:
        found = time_space(program, (), LEAD_TIMES, 1 / FRAME_S)
        return _line(found, cards, bits, time.monotonic() - begun)
    seconds, what = in_turn_s(graph, target, cards, bits)
    rate = 1 / (LEAD_TIMES * seconds)
    return f"| {cards} | int{bits} | at most {rate:.3g} | | | | in turn: {what} | |"


def _line(found: SpaceResult, cards: int, bits: int, took_s: float) -> str:
    keeps = "yes" if found.keeps_up else "no"
    return (
        f"| {cards} ({found.program.grid}) | int{bits} | {found.throughput_fps:.3g} |"
        f" {found.latency_s:.3g} s | {found.power_w.value:,.0f} W |"
        f" {found.energy_per_frame.value:,.0f} J | {found.limiter}; keeps up: {keeps} |"
        f" {took_s:.0f} s |"
    )


def in_turn_s(graph: Graph, target: Target, cards: int, bits: int) -> tuple[float, str]:
    """The least seconds of a pass whose boxes come from the host, and what sets them."""
    boxes = cards
    while True:
        rounds = rounds_of(graph, suited_grid(graph, boxes))
        moved = [each.moved_bytes(target) for each in rounds]
        if max(sum(pair) for pair in moved) / boxes <= target.framebuffer_bytes / 2:
            break
        boxes *= 2
    link = sum(max(pair) for pair in moved) / (cards * float(target.host.bandwidth.value))
    unit = target.core.matrix_unit
    array = macs_of(graph) / (cards * target.cores * unit.macs_per_cycle(bits) * target.clock_hz)
    what = f"{boxes} boxes, host link" if link > array else f"{boxes} boxes, matrix"
    return max(link, array), what


def macs_of(graph: Graph) -> int:
    """Multiply-accumulates of a pass."""
    total = 0
    for layer in group_layers(graph):
        if layer.operator.unit is Unit.MATRIX:
            made = whole(layer.anchor.output.shape, (1,))
            total += int(layer.operator.matrix_tile(layer.anchor, made).macs[0])
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", default="1,16,32,64,128,288")
    parser.add_argument("--volume", default="72,288,512", help="depth, height, width in voxels")
    parser.add_argument("--bits", default="8,4")
    given = parser.parse_args(arguments)
    depth, height, width = map(int, given.volume.split(","))
    where, toml = target_text("northpole-sim")
    target = parse_target(toml, where)
    print("| cards | | frames/s | latency | power | J/frame | limited by | compiled in |")
    print("|---|---|---|---|---|---|---|---|")
    for bits in map(int, given.bits.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            graph = volume_graph((depth, height, width), bits, Path(folder))
        for cards in map(int, given.cards.split(",")):
            print(row(graph, target, toml, cards, bits), flush=True)


if __name__ == "__main__":
    main()
