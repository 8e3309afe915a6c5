"""ResNet-50 in int8 and int4, made once and kept in a cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

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
