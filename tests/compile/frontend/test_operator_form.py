"""Integer operators of ONNX and of ONNX Runtime, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.dialects import MICROSOFT
from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import UnsupportedModel, import_model
from zapdeploy.compile.graph import INT32
from zapdeploy.sim.functional import run

RNG = np.random.default_rng(6)


def parameters(scale: Any, zero: Any, kind: Any = np.uint8) -> list[Any]:
    return [np.asarray(scale, np.float32), np.asarray(zero, kind)]


def codes(*shape: int, kind: Any = np.int8) -> Any:
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max + 1, shape).astype(kind)


X, OUT = parameters(0.02, 120), parameters(0.05, 131)
W = [codes(4, 3, 3, 3), *parameters([0.01, 0.02, 0.005, 0.01], [0] * 4, np.int8)]
BIAS = RNG.integers(-900, 900, 4).astype(np.int32)

# Operator, input shape, what follows the codes of x, attributes.
CASES: dict[str, tuple[str, tuple[int, ...], list[Any], dict[str, Any]]] = {
    "QLinearConv": ("QLinearConv", (1, 3, 6, 6), [*X, *W, *OUT, BIAS], {"pads": [1, 1, 1, 1]}),
    "QLinearMatMul": (
        "QLinearMatMul",
        (2, 5, 6),
        [*X, codes(6, 4), *parameters([0.1, 0.2, 0.1, 0.05], [3, 0, -9, 1], np.int8), *OUT],
        {},
    ),
    "QGemm": (
        "QGemm",
        (5, 6),
        [*X, codes(4, 6), *parameters(0.01, -3, np.int8), BIAS, *OUT],
        {"transB": 1},
    ),
    "QGemm per channel": (
        "QGemm",
        (5, 6),
        [*X, codes(6, 4), *parameters([0.1, 0.2, 0.1, 0.05], [0] * 4, np.int8), BIAS, *OUT],
        {},
    ),
    "QGemm to float": (
        "QGemm",
        (6, 5),
        [*X, codes(6, 4), *parameters(0.01, 0, np.int8), BIAS],
        {"transA": 1},
    ),
    "QGemm scaled": (
        "QGemm",
        (5, 6),
        [*X, codes(6, 4), *parameters(0.01, 0, np.int8), None, *OUT],
        {"alpha": 0.5},
    ),
    "QLinearAdd": (
        "QLinearAdd",
        (2, 6),
        [*X, codes(6, kind=np.uint8), *parameters(0.03, 99), *OUT],
        {},
    ),
    "QLinearMul": (
        "QLinearMul",
        (2, 6),
        [*X, codes(2, 6, kind=np.uint8), *parameters(0.03, 99), *OUT],
        {},
    ),
    "QLinearGlobalAveragePool": ("QLinearGlobalAveragePool", (1, 3, 5, 5), [*X, *OUT], {}),
    "QLinearAveragePool": (
        "QLinearAveragePool",
        (1, 3, 6, 6),
        [*X, *OUT],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    ),
    "QLinearSigmoid": ("QLinearSigmoid", (3, 7), [*X, *parameters(1 / 256, 0)], {}),
    "QLinearLeakyRelu": ("QLinearLeakyRelu", (3, 7), [*X, *OUT], {"alpha": 0.1}),
    "QLinearSoftmax": (
        "QLinearSoftmax",
        (3, 7),
        [*X, *parameters(1 / 256, 0)],
        {"axis": -1, "opset": 13},
    ),
}
# ONNX Runtime looks these up in tables that it fills in another arithmetic.
ONE_STEP = ("QLinearSoftmax", "QLinearSigmoid", "QLinearAveragePool")


def written(op: str, shape: tuple[int, ...], more: list[Any], attributes: Any) -> OnnxFile:
    """x -> QuantizeLinear -> operator -> DequantizeLinear, unless the operator gives float32."""
    file = OnnxFile()
    names = ["" if m is None else file.constant(m) for m in more]
    x = file.node("QuantizeLinear", [file.input("x", shape), *names[:2]])
    domain = "" if op in ("QLinearConv", "QLinearMatMul") else MICROSOFT
    y = file.node(op, [x, *names], domain=domain, name="node", **attributes)
    if more[-1] is not BIAS or op == "QLinearConv":
        last = -3 if op == "QLinearConv" else -2
        y = file.node("DequantizeLinear", [y, *names[last:][:2]])
    file.output(y)
    return file


@pytest.mark.parametrize("name", CASES)
def test_operator(tmp_path: Path, name: str) -> None:
    file = written(*CASES[name])
    op, shape, more, _ = CASES[name]
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    inputs = {"x": RNG.normal(0, 1.5, shape).astype(np.float32)}
    (found,) = run(graph, inputs).values()
    (expected,) = reference(file.model(), inputs).values()
    if name == "QGemm to float":
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        return
    step = float((more[-3:-1] if op == "QLinearConv" else more[-2:])[0])
    assert np.abs(found - expected).max() <= (step * 1.001 if op in ONE_STEP else 0)
    assert np.unique(found).size > 2
    assert len(graph.nodes) == 3


def test_concat(tmp_path: Path) -> None:
    """Each input has parameters of its own; the codes of one are those of the output."""
    file = OnnxFile()
    sides = [parameters(0.02, 120), parameters(0.05, 131), parameters(0.1, 0)]
    names = [[file.constant(p) for p in side] for side in sides]
    inputs = []
    for index, side in enumerate(names):
        x = file.input(f"x{index}", (2, 3))
        inputs += [file.node("QuantizeLinear", [x, *side]), *side]
    y = file.node("QLinearConcat", [*names[1], *inputs], domain=MICROSOFT, axis=-1)
    file.output(file.node("DequantizeLinear", [y, *names[1]]))
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    feeds = {f"x{i}": RNG.normal(0, 3, (2, 3)).astype(np.float32) for i in range(3)}
    (found,), (expected,) = (
        r.values() for r in (run(graph, feeds), reference(file.model(), feeds))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("zero", [0, 7])
@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_products_of_plain_integers(tmp_path: Path, op: str, zero: int) -> None:
    """The result is the int32 accumulator itself."""
    file = OnnxFile()
    shape, weights = ((2, 6), (6, 4)) if op == "MatMulInteger" else ((1, 3, 5, 5), (4, 3, 2, 2))
    scale, zeros = file.constant(np.float32(0.05)), file.constant(np.uint8(zero))
    x = file.node("QuantizeLinear", [file.input("x", shape), scale, zeros])
    more = [file.constant(codes(*weights)), zeros]
    y = file.node(op, [x, *more, file.constant(np.int8(0))])
    file.output(file.node("Cast", [y], to=1))
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    inputs = {"x": RNG.normal(0, 3, shape).astype(np.float32)}
    (found,), (expected,) = (
        result.values() for result in (run(graph, inputs), reference(file.model(), inputs))
    )
    np.testing.assert_array_equal(found, expected)
    assert graph.values[y].element == INT32


def test_codes_as_network_inputs_and_outputs(tmp_path: Path) -> None:
    """A file whose host quantizes: uint8 comes in, uint8 goes out."""
    file = OnnxFile()
    names = [file.constant(m) for m in [*X, *W, *OUT, BIAS]]
    x = file.input("x", (1, 3, 6, 6), 2)
    file.output(file.node("QLinearConv", [x, *names], "y"), 2)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert [node.op for node in graph.nodes] == ["Conv"]
    inputs = {"x": codes(1, 3, 6, 6, kind=np.uint8)}
    np.testing.assert_array_equal(run(graph, inputs)["y"], reference(file.model(), inputs)["y"])


def changed(name: str, change: Callable[[list[Any], dict[str, Any]], object]) -> OnnxFile:
    op, shape, more, attributes = CASES[name]
    more, attributes = list(more), dict(attributes)
    change(more, attributes)
    return written(op, shape, more, attributes)


REFUSED: dict[str, tuple[OnnxFile, str]] = {
    "channels last": (
        changed("QLinearGlobalAveragePool", lambda _, a: a.update(channels_last=1)),
        "channels_last must be 0; export the model with channels first",
    ),
    "alpha": (
        changed("QGemm scaled", lambda _, a: a.update(alpha=-1.0)),
        "alpha must be positive, not -1.0",
    ),
    "old softmax": (
        changed("QLinearSoftmax", lambda _, a: a.update(axis=0, opset=11)),
        "axis must be the last one for a softmax of an opset before 13",
    ),
    "bias type": (
        changed("QGemm", lambda m, _: m.__setitem__(5, BIAS.astype(np.float32))),
        "bias must be a constant of 4 int32",
    ),
    "scales per row": (
        changed("QLinearMatMul", lambda m, _: m.__setitem__(3, np.ones((6, 1), np.float32))),
        "scales must be one for the tensor or one for each index of an axis",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    file, reason = REFUSED[name]
    with pytest.raises(UnsupportedModel) as caught:
        import_model(file.save(tmp_path / "model.onnx"))
    assert f"node 'node' ({file.nodes[1].domain}{'.' * bool(file.nodes[1].domain)}" in str(
        caught.value
    )
    assert reason in str(caught.value)
