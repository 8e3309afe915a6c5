"""ConvTranspose is quantized like Conv: per output channel, its bias in the accumulator's unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.quantize.networks import Floats, node, random_weights, run, save, signal_to_noise_db
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import ModelError
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.functional import run as simulate


def decoder(path: Path, group: int = 1) -> Path:
    """Down by a strided convolution, up again by two transposed ones: [1, 3, 8, 8] -> itself."""
    nodes = [
        node("Conv", "input w1 b1", "c1", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c1", "r1"),
        node("ConvTranspose", "r1 w2 b2", "t2", strides=[2, 2], group=group),
        node("Relu", "t2", "r2"),
        node("ConvTranspose", "r2 w3", "output", pads=[1, 1, 1, 1]),
    ]
    shapes = {
        "w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 6 // group, 2, 2), "b2": (6,), "w3": (6, 3, 3, 3),
    }  # fmt: skip
    return save(path, nodes, random_weights(shapes), ([1, 3, 8, 8], [1, 3, 8, 8]))


def images(count: int, seed: int = 0) -> dict[str, Floats]:
    return {"input": np.random.default_rng(seed).normal(1, 1, (count, 3, 8, 8)).astype(np.float32)}


@pytest.mark.parametrize(
    ("weights", "form", "least_db"), [(8, "qdq", 30), (4, "packed", 12), (4, "qcdq", 12)]
)
def test_forms(tmp_path: Path, weights: int, form: str, least_db: float) -> None:
    source, target = decoder(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    record = quantize_onnx(
        source,
        target,
        weights=weights,
        form=form,
        calibration=images(8),
        keep_first_last=weights,  # type: ignore[arg-type]
    )
    assert [layer.operator for layer in record.layers] == ["Conv", "ConvTranspose", "ConvTranspose"]
    inputs = images(4, seed=1)["input"]
    quantized = run(target, inputs)
    assert signal_to_noise_db(run(source, inputs), quantized) > least_db
    graph = import_model(target).graph
    assert [n.op for n in graph.nodes][1:-1] == ["Conv", "ConvTranspose", "ConvTranspose"]
    steps = np.concatenate(
        [next(iter(simulate(graph, {"input": x[None]}).values())) for x in inputs]
    )
    scale = graph.call(graph.nodes[-1]).input(0).quantization
    assert scale is not None
    difference = np.abs(np.rint((steps - quantized) / scale.scale[0]))
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= 0.01  # over three layers


def test_the_mean_error_of_the_weights_is_taken_out_of_the_bias(tmp_path: Path) -> None:
    """At 2 bits rounding shifts the mean of every channel; the bias brings it back.

    With stride 2 and a kernel of 2, each output meets one weight in four of each channel.
    """
    path = save(
        tmp_path / "net.onnx",
        [node("ConvTranspose", "input w b", "output", strides=[2, 2])],
        random_weights({"w": (3, 4, 2, 2), "b": (4,)}),
        ([1, 3, 8, 8], [1, 4, 16, 16]),
    )
    quantize_onnx(path, tmp_path / "q.onnx", weights=2, keep_first_last=2, calibration=images(8))
    inputs = images(8)["input"]
    expected, found = run(path, inputs), run(tmp_path / "q.onnx", inputs)
    offset = (found - expected).mean(axis=(0, 2, 3))
    model = onnx.load(tmp_path / "q.onnx")
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    step = float(values["output_scale"])
    assert np.abs(offset).max() < 0.5 * step


def test_no_integer_operator_for_the_operator_form(tmp_path: Path) -> None:
    source = decoder(tmp_path / "net.onnx")
    with pytest.raises(ModelError) as caught:
        quantize_onnx(source, tmp_path / "q.onnx", form="qoperator", calibration=images(8))
    assert str(caught.value) == (
        "form must be qdq, qcdq or packed for a ConvTranspose, not qoperator "
        "(node 'ConvTranspose_t2'): no integer operator of ONNX Runtime computes it"
    )


def test_groups_stay_in_floating_point(tmp_path: Path) -> None:
    """ONNX has one scale for the same output channel of every group; our layers want one each."""
    source = decoder(tmp_path / "net.onnx", group=2)
    record = quantize_onnx(source, tmp_path / "q.onnx", calibration=images(8))
    assert [layer.operator for layer in record.layers] == ["Conv", "ConvTranspose"]
