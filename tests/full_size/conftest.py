"""Networks at their real size, made once per run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make("resnet50", 4, "qcdq") -> the quantized ONNX file."""
    folder = tmp_path_factory.mktemp("networks")

    def quantized(name: str, bits: int, form: str, width: int | None = None) -> Path:
        source = folder / f"{name}-{width}.onnx"
        if not source.exists():
            export_model(name, source, width=width)
        path = folder / f"{name}-{width}-{bits}-{form}.onnx"
        if not path.exists():
            samples = sample_inputs(name, 4)
            quantize_onnx(
                source, path, weights=bits, activations=bits, form=form, calibration=samples
            )
        return path

    return quantized
