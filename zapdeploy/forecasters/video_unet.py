"""A U-Net over the imaged volume, of the kind of ZAPBench's video model, at any size.

Blocks of 3x3x3 convolution, GroupNorm and swish, with a FiLM of the lead time; one forward pass for
each lead time. The benchmark's has 3.6 million parameters and works on 2048 x 1152 x 72 voxels. We
know the kind of its layers, not every width: the default widths are chosen to come to that size.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from zapdeploy.errors import UsageError
from zapdeploy.recordings.zapbench import HORIZON

WIDTHS = (32, 64, 112, 128)
GROUPS = 8
LEAD_FEATURES = 64


class FilmBlock(nn.Module):
    """x + conv(swish(film(norm(conv(swish(norm(x))))))), with a 1x1x1 skip where widths differ.

    x: float [batch, inputs, depth, height, width]; lead: float [batch, 64].
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(inputs), inputs)
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(_groups(outputs), outputs)
        self.film = nn.Linear(LEAD_FEATURES, 2 * outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.swish = nn.SiLU()

    def forward(self, x: Tensor, lead: Tensor) -> Tensor:
        y = self.conv1(self.swish(self.norm1(x)))
        scale, shift = self.film(lead)[:, :, None, None, None].chunk(2, dim=1)
        y = self.norm2(y) * (1 + scale) + shift
        result: Tensor = self.skip(x) + self.conv2(self.swish(y))
        return result


class VideoUNet(nn.Module):
    """dF/F volumes [batch, context, depth, height, width], lead time [batch] (frames, 1 to 32) ->
    the volume at that lead time [batch, 1, depth, height, width].

    Height and width must be divisible by 2 for every width but the first; depth is kept, because
    its voxels are ten times as long. The forecast is the change from the last frame.
    """

    def __init__(self, context: int = 4, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        if context < 1 or len(widths) < 2 or min(widths) < 1:
            raise UsageError(
                f"context must be at least 1 and widths two or more sizes, not {context} and "
                f"{list(widths)} (video U-Net)"
            )
        self.halvings = len(widths) - 1
        self.lead = nn.Sequential(nn.Linear(1, LEAD_FEATURES), nn.SiLU())
        self.enter = nn.Conv3d(context, widths[0], 3, padding=1)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(FilmBlock(a, a) for a, _ in pairs)
        self.shrink = nn.ModuleList(nn.Conv3d(a, b, (1, 2, 2), stride=(1, 2, 2)) for a, b in pairs)
        self.middle = FilmBlock(widths[-1], widths[-1])
        self.grow = nn.ModuleList(
            nn.ConvTranspose3d(b, a, (1, 2, 2), stride=(1, 2, 2)) for a, b in reversed(pairs)
        )
        self.up = nn.ModuleList(FilmBlock(2 * a, a) for a, _ in reversed(pairs))
        self.leave = nn.Conv3d(widths[0], 1, 3, padding=1)

    def forward(self, x: Tensor, lead: Tensor) -> Tensor:
        features = self.lead(lead[:, None] / HORIZON)
        y = self.enter(x)
        kept = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            y = block(y, features)
            kept.append(y)
            y = shrink(y)
        y = self.middle(y, features)
        for block, grow, beside in zip(self.up, self.grow, reversed(kept), strict=True):
            y = block(torch.cat([grow(y), beside], dim=1), features)
        change: Tensor = self.leave(y)
        return change + x[:, -1:]


def check_volume(network: VideoUNet, shape: tuple[int, int, int]) -> None:
    """Raise UsageError unless a volume (depth, height, width) can be halved as often as needed."""
    factor = 2**network.halvings
    if min(shape) < 1 or shape[1] % factor or shape[2] % factor:
        raise UsageError(
            f"height and width must be multiples of {factor}, not {shape[1]} and {shape[2]} "
            "(video U-Net); crop the volume"
        )


def _groups(channels: int) -> int:
    """The most groups, up to 8, that divide the channels."""
    return next(count for count in range(GROUPS, 0, -1) if channels % count == 0)
