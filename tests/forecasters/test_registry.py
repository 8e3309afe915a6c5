"""The list of models against what is published."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zapdeploy.errors import UsageError
from zapdeploy.forecasters import find_model, list_models


def test_parameters_are_the_published_ones() -> None:
    """ResNet-50: torchvision's model page. The others: ZAPBench's own counts at 71,721 neurons.

    Of BERT-base and the decoder layer, the sums of their matrices, biases and gains. POCO's kind:
    71,721 x 128 (embedding) + 353,440 for the rest, which test_transformers counts part by part.

    The residual MLP is ours: C 128 + 128 + 2 x 128 (norm) + 128 N (embedding) + (N + 1) 64 +
    (64 C + 1) 128 + 3 x (128 x 129 + 2 x 128) + 129 x 32.
    """
    assert {info.name: info.parameters for info in list_models()} == {
        "resnet50": 25_557_032,
        "linear-c4": 160,
        "linear-c256": 8_224,
        "time-mix-c4": 260,
        "time-mix-c256": 480_626,
        "tsmixer-c4": 73_586_458,
        "tsmixer-c256": 37_148_100,
        "tide-c4": 577_762,
        "tide-c256": 650_338,
        "residual-mlp-c4": 13_858_720,
        "residual-mlp-c256": 15_955_360,
        "video-unet": 3_572_721,
        "bert-base": 12 * (4 * 769 * 768 + 769 * 3072 + 3073 * 768 + 4 * 768),
        "decoder-layer": 2048 * (2 * 2048 + 2 * 512 + 3 * 8192 + 2),
        "poco-c4": 9_533_728,
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


@pytest.mark.parametrize("context", [4, 256])
def test_work_of_the_other_forecasters_by_hand(context: int) -> None:
    """TiDE: per neuron a hidden layer twice, the decoder, 32 temporal MLPs and the skip; per frame
    32 covariate MLPs, the encoder's and the temporal MLPs' shares of the stimuli.
    """
    neurons, hidden = 71_721, 128
    temporal = 32 * (32 * hidden + hidden + 32)
    decoder = hidden * hidden + 2 * hidden * 1024
    tide = neurons * (2 * context * hidden + hidden**2 + decoder + temporal + 32 * context)
    tide += 32 * (26 * hidden + hidden * 32 + 26 * 32) + 2 * 1024 * hidden + 32 * (32 * hidden + 32)
    mlp = neurons * (context * hidden + 3 * hidden**2 + hidden * 32)
    mlp += context * 64 * neurons + context * 64 * hidden
    assert find_model(f"linear-c{context}").macs == context * 32 * neurons
    assert find_model(f"time-mix-c{context}").macs == (5 * context + 32) * context * neurons
    assert find_model(f"tide-c{context}").macs == tide
    assert find_model(f"residual-mlp-c{context}").macs == mlp


def test_an_unknown_name_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        find_model("resnet18")
    assert str(caught.value) == (
        "model must be one of resnet50, linear-c4, linear-c256, time-mix-c4, time-mix-c256, "
        "tsmixer-c4, tsmixer-c256, tide-c4, tide-c256, residual-mlp-c4, residual-mlp-c256, "
        "video-unet, bert-base, decoder-layer, poco-c4, not 'resnet18'; run: zapdeploy models list"
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
