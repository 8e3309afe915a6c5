"""ZAPBench's video model for a brain of any size: its files, its work, its time on a CPU."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np

from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.ops.base import Unit
from zapdeploy.compile.regions import whole
from zapdeploy.simplify import soundness

SMALL = (4, 4, 4)  # voxels that the network is calibrated on
CROP = (8, 32, 32)  # voxels that the CPU is measured on


def volume_graph(volume: tuple[int, int, int], bits: int, folder: Path) -> Graph:
    """The network with random weights at so many bits, for a volume (depth, height, width)."""
    import onnx
    from onnx import numpy_helper

    path = write_networks(bits, folder)
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


def write_networks(bits: int, folder: Path) -> Path:
    """The network for any volume in float and quantized, in `folder`; the latter's file."""
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


def macs_of(graph: Graph) -> int:
    """Multiply-accumulates of a pass."""
    total = 0
    for layer in group_layers(graph):
        if layer.operator.unit is Unit.MATRIX:
            made = whole(layer.anchor.output.shape, (1,))
            total += int(layer.operator.matrix_tile(layer.anchor, made).macs[0])
    return total


def crop_seconds(folder: Path, threads: int) -> float:
    """A pass of the float network in ONNX Runtime on a crop: the median of three."""
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
    return float(np.median(taken[1:]))
