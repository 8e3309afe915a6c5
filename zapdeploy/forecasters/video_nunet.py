"""ZAPBench's own video model: residual blocks over the imaged volume, with a FiLM of the lead time.

Its name there is Nunet, and its published configuration (zapbench/video_forecasting/config.py) has
128 channels at every resolution, four residual blocks, GroupNorm of 32 groups, swish, a sinusoidal
embedding of the lead time, and no resampling at all; average pooling and upsampling to nearest
neighbours come with `resample`. One forward pass for each lead time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from zapdeploy.errors import UsageError

WIDTH = 128
BLOCKS = 4
GROUPS = 32
EPSILON = 1e-6  # Flax's, which is not torch's
LEAD_FEATURES = 32
STIMULUS_FEATURES = 256
Factor = tuple[int, int, int]  # along depth, height and width


def sinusoidal_embedding(lead: Tensor, features: int = LEAD_FEATURES) -> Tensor:
    """cos and sin of the lead time at `features` / 2 frequencies ("Attention is all you need").

    lead: float [batch], frames -> float [batch, features].
    """
    steps = torch.arange(0, features, 2, dtype=torch.float32)
    angles = lead[:, None] * torch.exp(-math.log(1e4) * steps / features)[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=1)


class Film(nn.Module):
    """shift + x (1 + scale), both linear in what is known of the frame; the identity at first."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        shift, scale = self.linear(known)[:, :, None, None, None].chunk(2, dim=1)
        moved: Tensor = shift + x * (scale + 1)
        return moved


class NunetBlock(nn.Module):
    """x + conv(swish(film(norm(conv(swish(norm(x))))))).

    x: float [batch, channels, depth, height, width]; known: one tensor [batch, features] for each
    FiLM.
    """

    def __init__(self, inputs: int, channels: int, features: Sequence[int]) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(inputs), group_norm(channels)
        self.conv1 = nn.Conv3d(inputs, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.films = nn.ModuleList(Film(each, channels) for each in features)
        self.skip = nn.Conv3d(inputs, channels, 1) if inputs != channels else nn.Identity()
        self.swish = nn.SiLU()

    def forward(self, x: Tensor, known: Sequence[Tensor]) -> Tensor:
        y = self.norm2(self.conv1(self.swish(self.norm1(x))))
        for film, each in zip(self.films, known, strict=True):
            y = film(y, each)
        result: Tensor = self.skip(x) + self.conv2(self.swish(y))
        return result


class VideoNunet(nn.Module):
    """dF/F volumes [batch, context, depth, height, width], lead time [batch] (frames, 1 to 32) ->
    the volume at that lead time [batch, 1, depth, height, width].

    stimuli: features of a frame's stimulus, 0 for none; forward() then takes those of the context
    [batch, context, stimuli] and of the frame to come [batch, 1, stimuli], too. resample: factors
    by which the volume is pooled, level by level; `blocks` residual blocks run at every level on
    the way back, and what was pooled is added, or joined where `joins`. skips: a weighted mean of
    the context's frames is added to the forecast, which then begins as the naive mean; not in the
    published one.
    """

    def __init__(
        self,
        context: int = 4,
        width: int = WIDTH,
        blocks: int = BLOCKS,
        resample: Sequence[Factor] = (),
        *,
        joins: bool = False,
        stimuli: int = 0,
        skips: bool = False,
    ) -> None:
        super().__init__()
        if min(context, width, blocks) < 1:
            raise UsageError(
                f"context, width and blocks must be at least 1, not {context}, {width} and "
                f"{blocks} (video Nunet)"
            )
        self.context, self.resample, self.joins = context, tuple(resample), joins
        self.stimuli = stimuli
        self.skip = _mean_of_frames(context) if skips else None
        features = [STIMULUS_FEATURES, STIMULUS_FEATURES] if stimuli else []
        features.append(LEAD_FEATURES)
        if stimuli:
            self.past = nn.Sequential(nn.Linear(context * stimuli, STIMULUS_FEATURES), nn.SiLU())
            self.coming = nn.Sequential(nn.Linear(stimuli, STIMULUS_FEATURES), nn.SiLU())
        self.enter = nn.Conv3d(context, width, 3, padding=1)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                NunetBlock(2 * width if joins and level and not block else width, width, features)
                for block in range(blocks)
            )
            for level in range(len(self.resample) + 1)
        )
        self.norm = group_norm(width)
        self.films = nn.ModuleList(Film(each, width) for each in features)
        self.swish = nn.SiLU()
        self.leave = nn.Conv3d(width, 1, 3, padding=1)
        if skips:  # begin as the mean of the frames
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    @property
    def factor(self) -> Factor:
        """What depth, height and width must be multiples of."""
        found = [math.prod(each[d] for each in self.resample) for d in range(3)]
        return found[0], found[1], found[2]

    def forward(
        self, x: Tensor, lead: Tensor, past: Tensor | None = None, coming: Tensor | None = None
    ) -> Tensor:
        known = [sinusoidal_embedding(lead)]
        if self.stimuli:
            assert past is not None
            assert coming is not None
            known = [self.past(past.flatten(1)), self.coming(coming.flatten(1)), *known]
        pooled = [self.enter(x)]
        for factor in self.resample:
            pooled.append(functional.avg_pool3d(pooled[-1], factor))
        y = pooled[-1]
        for level, blocks in enumerate(self.levels):
            if level:
                y = _upsample(y, self.resample[-level])
                beside = pooled[-1 - level]
                y = torch.cat([beside, y], dim=1) if self.joins else beside + y
            for block in blocks:  # type: ignore[attr-defined]
                y = block(y, known)
        y = self.norm(y)
        for film, each in zip(self.films, known, strict=True):
            y = film(y, each)
        forecast: Tensor = self.leave(self.swish(y))
        return forecast if self.skip is None else forecast + self.skip(x)


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or as many as there are channels where these are fewer."""
    groups = next(count for count in range(min(GROUPS, channels), 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, EPSILON)


def _mean_of_frames(context: int) -> nn.Conv3d:
    skip = nn.Conv3d(context, 1, 1)
    nn.init.constant_(skip.weight, 1 / context)
    assert skip.bias is not None
    nn.init.zeros_(skip.bias)
    return skip


def _upsample(x: Tensor, factor: Factor) -> Tensor:
    scale = [float(each) for each in factor]
    found: Tensor = functional.interpolate(x, scale_factor=scale, mode="nearest")
    return found
