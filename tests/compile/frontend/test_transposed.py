"""ConvTranspose and Conv in three dimensions, from QDQ files: in every bit what ONNX Runtime has.

Scales are powers of two and sums small, so that its floating point is exact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.messages import message
from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.errors import ModelError
from zapdeploy.sim.functional import run

BYTE = Kind(8, True, 2.0**-5, 3)
OUT = Kind(8, True, 0.25, -2)
SOME = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def product(
    op: str,
    shape: tuple[int, ...],
    weights: tuple[int, ...],
    *,
    seed: int = 3,
    per_channel: int | None = None,
    clipped: bool = False,
    bias: int = 0,
    **attributes: Any,
) -> OnnxFile:
    """x (quantized), a convolution with quantized weights, a quantizer."""
    file, rng = OnnxFile(), np.random.default_rng(seed)
    writer = Writer(file)
    x = writer.start("x", shape, BYTE).name
    codes = file.constant(rng.integers(-8, 8, weights).astype(np.int8))
    if clipped:
        codes = file.node("Clip", [codes, *(file.constant(np.int8(v)) for v in (-8, 7))])
    scale: Any = 2.0**-5
    if per_channel is not None:
        scale = 2.0 ** rng.integers(-7, -3, weights[per_channel])
    w = writer.dequantize(codes, Kind(8, True, scale), axis=per_channel or 0)
    inputs = [x, w]
    if bias:
        inputs.append(file.constant(rng.integers(-8, 8, bias).astype(np.float32) / 4))
    real = file.node(op, inputs, name="node", **attributes)
    file.output(writer.activation(real, OUT).name)
    return file


def equal(folder: Path, file: OnnxFile, shape: tuple[int, ...]) -> Graph:
    """Import, and compare with ONNX Runtime; returns the graph."""
    graph = import_model(file.save(folder / "model.onnx")).graph
    inputs = {"x": np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)}
    expected = reference(file.model(), inputs)
    for name, array in run(graph, inputs).items():
        np.testing.assert_array_equal(array, expected[name])
    return graph


@SOME
@given(data=st.data())
def test_random_transposed_convolutions(tmp_path: Path, data: Any) -> None:
    rank, small = data.draw(st.integers(1, 3)), st.integers(1, 3)
    group, inputs, outputs = (data.draw(small) for _ in range(3))
    spatial, kernel = (tuple(data.draw(small) for _ in range(rank)) for _ in range(2))
    strides = [data.draw(small) for _ in range(rank)]
    dilations = [data.draw(st.integers(1, 2)) for _ in range(rank)]
    # ONNX Runtime wants output_padding below stride or dilation.
    extra = [data.draw(st.integers(0, max(s, 1) - 1)) for s in strides]
    room = [
        min((n - 1) * s + d * (k - 1), 3)
        for n, s, d, k in zip(spatial, strides, dilations, kernel, strict=True)
    ]
    pads = [data.draw(st.integers(0, r // 2)) for r in (*room, *room)]
    shape = (data.draw(small), inputs * group, *spatial)
    file = product(
        "ConvTranspose",
        shape,
        (inputs * group, outputs, *kernel),
        seed=data.draw(st.integers(0, 99)),
        per_channel=data.draw(st.sampled_from([None, 1])),
        bias=data.draw(st.sampled_from([0, outputs * group])),
        strides=strides,
        dilations=dilations,
        output_padding=extra,
        pads=pads,
        group=group,
    )
    graph = equal(tmp_path, file, shape)
    assert [node.op for node in graph.nodes] == ["Quantize", "ConvTranspose", "Dequantize"]


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("target", [None, [8, 7]])
def test_padding_that_is_worked_out(tmp_path: Path, mode: str, target: list[int] | None) -> None:
    shape = (1, 2, 4, 3)
    attributes: dict[str, Any] = {} if target is None else {"output_shape": target}
    file = product(
        "ConvTranspose", shape, (2, 3, 3, 4), strides=[2, 3], auto_pad=mode, **attributes
    )
    equal(tmp_path, file, shape)


def test_weights_behind_a_clip_keep_scales_per_channel(tmp_path: Path) -> None:
    """QCDQ: the weights are codes only once constants are folded."""
    for per_channel in (None, 1):
        file = product("ConvTranspose", (1, 4, 5), (4, 3, 3), per_channel=per_channel, clipped=True)
        graph = equal(tmp_path, file, (1, 4, 5))
        (w,) = (v for v in graph.values.values() if v.is_constant)
        assert w.element.name == "int4"


@SOME
@given(data=st.data())
def test_random_convolutions_of_volumes(tmp_path: Path, data: Any) -> None:
    small = st.integers(1, 3)
    group, inputs, outputs = data.draw(st.integers(1, 2)), data.draw(small), data.draw(small)
    kernel, strides, dilations = (tuple(data.draw(small) for _ in range(3)) for _ in range(3))
    spatial = tuple(
        d * (k - 1) + 1 + data.draw(st.integers(0, 4))
        for k, d in zip(kernel, dilations, strict=True)
    )
    shape = (data.draw(st.integers(1, 2)), inputs * group, *spatial)
    file = product(
        "Conv",
        shape,
        (outputs * group, inputs, *kernel),
        per_channel=data.draw(st.sampled_from([None, 0])),
        bias=data.draw(st.sampled_from([0, outputs * group])),
        strides=strides,
        dilations=dilations,
        pads=[data.draw(st.integers(0, 2)) for _ in range(6)],
        group=group,
    )
    graph = equal(tmp_path, file, shape)
    assert [node.op for node in graph.nodes] == ["Quantize", "Conv", "Dequantize"]


@pytest.mark.parametrize(
    ("weights", "attributes", "reason"),
    [
        ((2, 3, 2), {"output_padding": [0, 0]}, "output_padding must be 1 numbers of at least 0"),
        ((2, 3, 2), {"kernel_shape": [3]}, "kernel_shape must be that of the weights, [2]"),
        ((2, 3, 2), {"auto_pad": "SOME"}, "auto_pad must be NOTSET, VALID, SAME_UPPER or"),
        ((4, 3, 2), {}, "channels must be those of the weights, 4, in groups"),
        ((2, 3, 2, 2), {}, "input and weights must have the same 3 to 5 dimensions"),
    ],
)
def test_refusals(
    tmp_path: Path, weights: tuple[int, ...], attributes: dict[str, Any], reason: str
) -> None:
    file = product("ConvTranspose", (1, 2, 5), weights, **attributes)
    assert reason in message(file.save(tmp_path / "model.onnx"))


def test_pads_that_leave_nothing(tmp_path: Path) -> None:
    file = product("ConvTranspose", (1, 2, 5), (2, 3, 1), pads=[3, 3])
    with pytest.raises(ModelError) as caught:
        import_model(file.save(tmp_path / "model.onnx"))
    assert str(caught.value) == ("pads must leave some of the output, not [3, 3] (node 'node')")
