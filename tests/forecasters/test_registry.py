"""The list of models against what is published."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zapdeploy.errors import UsageError
from zapdeploy.forecasters import find_model, list_models


def test_parameters_are_the_published_ones() -> None:
    """ResNet-50: torchvision's model page. TSMixer: ZAPBench's own count at 71,721 neurons."""
    assert {info.name: info.parameters for info in list_models()} == {
        "resnet50": 25_557_032,
        "tsmixer-c4": 73_586_458,
        "tsmixer-c256": 37_148_100,
    }


@pytest.mark.parametrize(
    ("name", "context", "width"), [("tsmixer-c4", 4, 256), ("tsmixer-c256", 256, 128)]
)
def test_forecaster_work_by_hand(name: str, context: int, width: int) -> None:
    """Two time mixes C x C x N, two feature mixes C x 2 N d, and the last layer C x 32 x N."""
    neurons = 71_721
    time_mixes = 2 * context * context * neurons
    feature_mixes = 2 * context * 2 * neurons * width
    info = find_model(name)
    assert info.macs == time_mixes + feature_mixes + context * 32 * neurons
    assert info.input_shape == (context, neurons)
    assert info.output_shape == (32, neurons)


def test_an_unknown_name_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        find_model("resnet18")
    assert str(caught.value) == (
        "model must be one of resnet50, tsmixer-c4, tsmixer-c256, not 'resnet18'; "
        "run: zapdeploy models list"
    )


@pytest.mark.parametrize("package", ["zapdeploy.forecasters", "zapdeploy.quantize"])
def test_importing_loads_nothing_heavy(package: str) -> None:
    program = (
        f"import sys, {package}; heavy = {{'torch', 'sklearn', 'onnxruntime', 'PIL', 'numba'}}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
