"""ResNet-50 in int8 and int4, made once, and the reference that speeds are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.speed.comparing import REFERENCE_KEY
from tests.speed.reference import reference_s
from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx


@pytest.fixture(scope="session")
def resnet50(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Paths by precision: "fp32", "int8" (QDQ), "int4" (packed)."""
    folder = tmp_path_factory.mktemp("resnet50")
    made = {"fp32": export_model("resnet50", folder / "resnet50.onnx")}
    frames = sample_inputs("resnet50", 4)
    for name, bits in (("int8", 8), ("int4", 4)):
        made[name] = folder / f"resnet50-{name}.onnx"
        quantize_onnx(made["fp32"], made[name], weights=bits, activations=bits, calibration=frames)
    return made


@pytest.fixture
def speed(benchmark: Any) -> Iterator[Any]:
    """A benchmark with the reference's time in its record, the least of before and after."""
    before = reference_s() if benchmark.enabled else 0.0
    yield benchmark
    if benchmark.enabled:
        benchmark.extra_info[REFERENCE_KEY] = min(before, reference_s())
