"""The volumetric forecaster from torch to a Program: 3-D convolutions, both ways, and GroupNorm."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch")

from zapdeploy.compile.frontend import import_model  # noqa: E402
from zapdeploy.compile.graph import Array, Graph  # noqa: E402
from zapdeploy.compile.program.build import build_program  # noqa: E402
from zapdeploy.compile.program.layer import lower  # noqa: E402
from zapdeploy.compile.program.program import Options, Origin, Program  # noqa: E402
from zapdeploy.forecasters.video_unet import VideoUNet  # noqa: E402
from zapdeploy.hardware_targets import parse_target, target_text  # noqa: E402
from zapdeploy.quantize import quantize_onnx  # noqa: E402
from zapdeploy.sim.check import check  # noqa: E402
from zapdeploy.sim.core_array import CoreArray  # noqa: E402
from zapdeploy.sim.functional import run  # noqa: E402

Shape = tuple[int, int, int]
CONTEXT = 2


def inputs(count: int, volume: Shape) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.3, (count, CONTEXT, *volume)).astype(np.float32)
    return {"x": x, "lead": np.linspace(32, 1, count, dtype=np.float32)}


def quantized(folder: Path, widths: tuple[int, ...], volume: Shape, bits: int) -> Path:
    """A U-Net of these widths, quantized from its ONNX file alone; the volume's size stays open."""
    torch.manual_seed(0)
    network = VideoUNet(CONTEXT, widths).eval()
    example = torch.rand(1, CONTEXT, *volume), torch.tensor([8.0])
    open_sizes = {2: "depth", 3: "height", 4: "width"}
    path, target = folder / "float.onnx", folder / f"int{bits}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, example, str(path), input_names=["x", "lead"], output_names=["y"],
            opset_version=17, dynamo=False, dynamic_axes={"x": open_sizes, "y": open_sizes},
        )  # fmt: skip
    quantize_onnx(path, target, weights=bits, activations=bits, calibration=inputs(4, volume))
    return with_volume(target, volume)


def with_volume(path: Path, volume: Shape) -> Path:
    """The file for volumes of this size, and so are the shapes that were folded into it."""
    model = onnx.load(path)
    own = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]]
    times = [new // old for new, old in zip(volume, own, strict=True)]
    for tensor in model.graph.initializer:
        shape = numpy_helper.to_array(tensor)
        if shape.dtype == np.int64 and shape.shape == (5,):
            larger = np.concatenate([shape[:2], shape[2:] * times])
            tensor.CopyFrom(numpy_helper.from_array(larger, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        for dim, length in zip(list(dims)[2:], volume, strict=False):
            dim.dim_value = length
    onnx.save(model, path)
    return path


def compiled(graph: Graph) -> Program:
    where, text = target_text("northpole-sim")
    options = Options(batch=1, chips=1, objective="throughput")
    return build_program(graph, Origin("u.onnx", "", ()), parse_target(text, where), text, options)


def agrees_with_onnx_runtime(graph: Graph, path: Path, volume: Shape) -> None:
    """Layer by layer, by the rules of docs/numbers.md."""
    feeds = {name: array[:1] for name, array in inputs(4, volume).items()}
    found = check(graph, path, feeds)
    assert found.failures == ()
    assert {"Conv", "ConvTranspose", "Concat", "Reshape"} <= {node.op for node in found.nodes}


@pytest.mark.parametrize("bits", [8, 4])
def test_a_small_one_agrees(tmp_path: Path, bits: int) -> None:
    volume = (2, 8, 12)
    path = quantized(tmp_path, (4, 16), volume, bits)
    agrees_with_onnx_runtime(import_model(path).graph, path, volume)


def test_a_small_one_core_by_core(tmp_path: Path) -> None:
    """Normalization is spread over the cores, and each core's part adds up to the whole."""
    volume = (2, 8, 12)
    program = compiled(import_model(quantized(tmp_path, (4, 16), volume, 8)).graph)
    assert program.fits
    assert "ConvTranspose" in [layer.op for layer in program.layers]
    norms = [layer for layer in program.layers if "InstanceNormalization" in layer.name]
    assert max(_cores(layer.cut) for layer in norms) > 100
    feeds = {name: array[:1] for name, array in inputs(4, volume).items()}
    core_by_core = CoreArray(lower(program)).run(feeds)
    for name, array in run(program.graph, feeds).items():
        np.testing.assert_array_equal(core_by_core[name], array)


def _cores(cut: tuple[int, ...]) -> int:
    return int(np.prod(cut))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_a_medium_one(tmp_path: Path, bits: int) -> None:
    """1.3 billion multiplications over a volume of 4 x 64 x 64."""
    volume = (4, 64, 64)
    path = quantized(tmp_path, (16, 32, 48), volume, bits)
    graph = import_model(path).graph
    agrees_with_onnx_runtime(graph, path, volume)
    program = compiled(graph)
    assert program.fits
    assert sum(layer.macs for layer in program.layers) > 1.3e9


def test_the_full_volume_does_not_fit(tmp_path: Path) -> None:
    """Said from shapes alone: two frames of 170 million voxels are never made."""
    path = with_volume(quantized(tmp_path, (4, 8), (1, 4, 4), 8), (72, 2048, 1152))
    tracemalloc.start()
    program = compiled(import_model(path).graph)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    assert program.violation is not None
    assert program.violation.what == "framebuffer (network inputs and outputs)"
    # Two frames as bytes; the lead time, and the sum with the last frame, in the chip's 16 bits.
    assert program.violation.demanded == (2 + 2) * 72 * 2048 * 1152 + 2
    assert program.layers == ()
