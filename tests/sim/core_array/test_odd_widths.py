"""Widths that the chip has not are stored at the next one that it has, and come out exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.api import compile_model, simulate
from zapdeploy.compile.mapping.cost import storage_bits, widened
from zapdeploy.hardware_targets import load_target
from zapdeploy.sim.check import reference_inputs
from zapdeploy.sim.core_array import agreement

QONNX = "qonnx.custom_op.general"


def quantized(file: OnnxFile, x: str, bits: int, dialect: str) -> str:
    """QONNX, or QCDQ: int8 with a Clip to the true width."""
    scale = file.constant(np.float32(0.25))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if dialect == "QONNX":
        numbers = [file.constant(np.float32(v)) for v in (0, bits)]
        return file.node("Quant", [x, scale, *numbers], domain=QONNX, signed=1, narrow=0)
    zero = file.constant(np.int8(0))
    codes = file.node("QuantizeLinear", [x, scale, zero])
    bounds = [file.constant(np.int8(bound)) for bound in (low, high)]
    return file.node("DequantizeLinear", [file.node("Clip", [codes, *bounds]), scale, zero])


@pytest.mark.parametrize("dialect", ["QONNX", "QCDQ"])
@pytest.mark.parametrize("bits", [3, 5, 6, 7])
def test_core_by_core_is_exact(tmp_path: Path, bits: int, dialect: str) -> None:
    """A product and a convolution of odd sizes, so that cores hold odd numbers of elements."""
    file = OnnxFile()
    random = np.random.default_rng(bits)
    x = quantized(file, file.input("x", (5, 3, 7, 7)), bits, dialect)
    kernel = file.constant(random.normal(0, 1, (9, 3, 3, 3)).astype(np.float32))
    y = file.node("Conv", [x, quantized(file, kernel, bits, dialect)])
    y = file.node("Flatten", [quantized(file, file.node("Relu", [y]), bits, dialect)])
    weights = file.constant(random.normal(0, 1, (225, 13)).astype(np.float32))
    y = file.node("MatMul", [y, quantized(file, weights, bits, dialect)])
    file.output(quantized(file, y, bits, dialect))
    pipeline = compile_model(file.save(tmp_path / "model.onnx"))
    found = agreement(pipeline, reference_inputs(pipeline.graph))
    assert found.passed, found
    document = simulate(pipeline).as_json()
    stored = 4 if bits == 3 else 8
    assert [(row["bits"], row["stored_bits"]) for row in document["widened"]] == [(bits, stored)]
    assert document["counts"][f"macs_{stored}bit"] > 0


def test_the_next_width_is_the_target_s(tmp_path: Path) -> None:
    """2 bits on a chip that multiplies 8 and 4 are stored, and counted, as 4."""
    file = OnnxFile()
    x = quantized(file, file.input("x", (4, 6)), 2, "QONNX")
    file.output(file.node("Sigmoid", [x]))
    graph = compile_model(file.save(tmp_path / "model.onnx")).graph
    codes = next(v for v in graph.values.values() if v.element.bits == 2)
    northpole, tile = load_target("northpole-sim"), load_target("tile64-sim")
    assert storage_bits(codes, northpole) == 2
    assert widened(graph, northpole) == {}
    assert storage_bits(codes, tile) == 4
    assert widened(graph, tile) == {(2, 4): 1}


def test_scalars_are_scheduled(tmp_path: Path) -> None:
    """A tensor without dimensions is one element, at every level."""
    file = OnnxFile()
    x = quantized(file, file.input("x", ()), 4, "QONNX")
    total = file.node("Relu", [file.node("Sub", [x, x])])
    file.output(quantized(file, total, 4, "QONNX"))
    pipeline = compile_model(file.save(tmp_path / "model.onnx"))
    assert agreement(pipeline, reference_inputs(pipeline.graph)).passed
    scheduled = simulate(pipeline)
    assert scheduled.cycles > 0
    assert scheduled.counts.as_json() == simulate(pipeline).counts.as_json()
