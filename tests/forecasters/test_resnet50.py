"""ResNet-50 as a torch module."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from zapdeploy.forecasters.resnet50 import (  # noqa: E402
    Bottleneck,
    ResNet50,
    fold_batchnorm,
    random_resnet50,
)


def test_parameter_count_is_the_published_one() -> None:
    """25,557,032: torchvision's documentation of resnet50."""
    assert sum(value.numel() for value in ResNet50().parameters()) == 25_557_032


def test_parameters_carry_torchvisions_names() -> None:
    names = set(ResNet50().state_dict())
    assert {
        "conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.bias", "layer4.2.bn3.weight", "fc.weight", "fc.bias",
    } <= names  # fmt: skip
    assert len(names) == 320  # entries of torchvision's checkpoint


def test_the_stride_is_in_the_3x3_convolution() -> None:
    block = Bottleneck(256, 128, stride=2)
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


def test_random_activations_are_sane_and_reproducible() -> None:
    frames = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = random_resnet50(0, frames)
    with torch.no_grad():
        scores = network(frames)
        again = random_resnet50(0, frames)(frames)
    assert not network.training
    assert torch.isfinite(scores).all()
    assert 0.1 < scores.std() < 3
    assert torch.equal(scores, again)
    assert not torch.equal(scores, random_resnet50(1, frames)(frames))


def test_batchnorm_statistics_are_those_of_the_frames() -> None:
    frames = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = random_resnet50(0, frames)
    with torch.no_grad():
        first = network.conv1(frames)
    torch.testing.assert_close(network.bn1.running_mean, first.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(network.bn1.running_var, first.var(dim=(0, 2, 3)))


def test_folding_keeps_the_function() -> None:
    frames = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = random_resnet50(0, frames)
    with torch.no_grad():
        before = network(frames)
        after = fold_batchnorm(network)(frames)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
