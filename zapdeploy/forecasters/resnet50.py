"""ResNet-50 v1.5 in plain torch: 25,557,032 parameters, 4.089 GMAC per image of 224 x 224.

"v1.5" puts the stride of a down-sampling bottleneck in its 3x3 convolution (He et al. 2015 had it
in the first 1x1); it is the network that MLPerf and the chip makers publish. Parameter names are
torchvision's, so that its checkpoints load unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STAGE_BLOCKS = (3, 4, 6, 3)
STAGE_CHANNELS = (64, 128, 256, 512)
EXPANSION = 4
CLASSES = 1000
# Random residual branches are kept small against their shortcuts, as trained ones are. At full gain
# each block would amplify rounding noise, and int8 would look 9 dB worse than on a trained network.
BRANCH_GAIN = 0.25


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand, each with BatchNorm, added to the shortcut.

    x: float [batch, inputs, height, width] -> [batch, 4 * channels, height / stride, ...]
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = channels * EXPANSION
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        result: Tensor = self.relu(y + shortcut)
        return result


class ResNet50(nn.Module):
    """Images float [batch, 3, 224, 224], ImageNet-normalised -> class scores [batch, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = 64
        for index, (blocks, channels) in enumerate(zip(STAGE_BLOCKS, STAGE_CHANNELS, strict=True)):
            stage = _stage(inputs, channels, blocks, stride=1 if index == 0 else 2)
            self.add_module(f"layer{index + 1}", stage)
            inputs = channels * EXPANSION
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for index in range(len(STAGE_BLOCKS)):
            x = self.get_submodule(f"layer{index + 1}")(x)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(inputs: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """Bottlenecks of one resolution; the first one changes size and channel count."""
    first = Bottleneck(inputs, channels, stride)
    rest = [Bottleneck(channels * EXPANSION, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def random_resnet50(seed: int, frames: Tensor) -> ResNet50:
    """A network with seeded random weights whose activations are sane on real photographs.

    frames: float [n, 3, 224, 224]. In training mode each BatchNorm normalises with the statistics
    of what reaches it and stores them, so one pass calibrates every layer after the ones before it.
    """
    generator = torch.Generator().manual_seed(seed)
    network = ResNet50()
    branches = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # store this batch's statistics, forget the initial 0 and 1
            _randomise_affine(module, generator)
        elif isinstance(module, Bottleneck):
            branches.append(module.bn3)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
            nn.init.normal_(module.bias, std=0.01, generator=generator)
    network.train()
    with torch.no_grad():
        for norm in branches:
            norm.weight.mul_(BRANCH_GAIN)
        network(frames)
    return network.eval()


def _randomise_affine(norm: nn.BatchNorm2d, generator: torch.Generator) -> None:
    """Give each channel its own gain and offset, as training does; equal ones flatter int4."""
    with torch.no_grad():
        norm.weight.copy_(torch.exp(0.3 * torch.randn(norm.num_features, generator=generator)))
        norm.bias.copy_(0.2 * torch.randn(norm.num_features, generator=generator))


def fold_batchnorm(network: ResNet50) -> ResNet50:
    """The same function in evaluation mode, with every BatchNorm folded into its convolution.

    Changes `network` in place and returns it.
    """
    network.eval()
    _fold_pair(network, "conv1", "bn1")
    for module in network.modules():
        if not isinstance(module, Bottleneck):
            continue
        for index in (1, 2, 3):
            _fold_pair(module, f"conv{index}", f"bn{index}")
        if module.downsample is not None:
            _fold_pair(module.downsample, "0", "1")
    return network


def _fold_pair(parent: nn.Module, convolution: str, norm: str) -> None:
    conv, batchnorm = parent.get_submodule(convolution), parent.get_submodule(norm)
    if isinstance(conv, nn.Conv2d) and isinstance(batchnorm, nn.BatchNorm2d):
        setattr(parent, convolution, nn.utils.fuse_conv_bn_eval(conv, batchnorm))
        setattr(parent, norm, nn.Identity())
