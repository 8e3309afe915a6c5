"""Time mixes whose neurons have scales of their own: file, graph, Program, cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.compile.ops.build import (
    UINT8,
    call,
    convolution,
    graph,
    plain,
    quantized,
    real_bias,
    weights,
)
from tests.sim.networks import renamed, save
from zapdeploy.api import compile_model, load
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import ElementType, Graph, Value
from zapdeploy.sim.check import check, reference_inputs
from zapdeploy.sim.functional import run
from zapdeploy.sim.reference import FLOAT

NEURONS = 1200
UINT4 = ElementType("uint", 4)


def activation(
    name: str, frames: int, element: ElementType, rng: np.random.Generator, floor: float
) -> Value:
    """Heavy-tailed ranges from `floor` (negative) up, a twentieth of them clipped to the same."""
    high = np.minimum(0.05 * np.exp(rng.normal(0, 1, NEURONS)), 1.5)
    levels = (1 << element.bits) - 1
    scales = (high - floor * high) / levels
    zeros = np.rint(-floor * high / scales).astype(int)
    return quantized(name, (1, frames, NEURONS), element, scales.tolist(), zeros.tolist(), 2)


def time_mix(element: ElementType, seed: int = 0) -> Graph:
    """x + relu(dense(x)), then a map from 4 to 8 frames; the sum's range has 8 bits."""
    rng = np.random.default_rng(seed)
    x = call("Quantize", [plain("input", (1, 4, NEURONS))], activation("x", 4, element, rng, -0.3))
    mixed = convolution(
        x.output, weights((4, 4, 1), 0), activation("mixed", 4, element, rng, 0.0), real_bias(4)
    )
    total = call("Add", [x.output, mixed.output], activation("total", 4, UINT8, rng, -0.3))
    other = weights((8, 4, 1), 0)
    y = convolution(
        total.output,
        replace(other, name="w_last"),
        activation("y", 8, UINT8, rng, -0.3),
        replace(real_bias(8), name="b_last"),
    )
    return renamed(graph(x, mixed, total, y, call("Dequantize", [y.output], plain("output", ()))))


@pytest.mark.parametrize("element", [UINT8, UINT4], ids=["8 bits", "4 bits"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_imported_file_keeps_to_the_rule(
    tmp_path: Path, element: ElementType, packed: bool
) -> None:
    """ONNX Runtime has no integer kernel for such scales: its float kernels judge each layer."""
    made = time_mix(element)
    path = save(made, tmp_path, packed=packed)
    found = import_model(path).graph
    assert {n.op for n in found.nodes} == {"Quantize", "Conv", "Add", "Dequantize"}
    inputs = reference_inputs(found)
    result = check(found, path, inputs)
    assert result.passed, result.failures
    assert result.reference == FLOAT
    np.testing.assert_array_equal(
        run(found, inputs)["output"], run(made, inputs)["output"], strict=True
    )


def test_a_program_carries_the_scales(tmp_path: Path) -> None:
    made = time_mix(UINT8)
    compile_model(save(made, tmp_path), "northpole-sim", output=tmp_path / "p.zap")
    (again,) = load(tmp_path / "p.zap").stages
    inputs = reference_inputs(made)
    np.testing.assert_array_equal(
        run(again.graph, inputs)["output"], run(made, inputs)["output"], strict=True
    )
