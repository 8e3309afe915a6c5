"""When a network does not fit several chips: which memory of which stage, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zapdeploy.arrays import IntArray
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.chain_partition import BoolTable, cut
from zapdeploy.compile.multichip.stages import Demands
from zapdeploy.compile.program.capacity import (
    parameter_bytes,
    parameters_and_programs,
    precision_hints,
)
from zapdeploy.hardware_targets import Target


def chips_violation(
    layers: Sequence[Layer],
    demands: Demands,
    tried: Sequence[CapacityViolation],
    target: Target,
    chips: int,
) -> CapacityViolation:
    """Why no cut of the layers fits so many chips; `tried`: stages that were compiled in vain.

    The first that holds of: all parameters are too many for all chips; every cut has a stage that
    is too large in itself, or that receives and sends too much; the mapping of a stage is too
    large.
    """
    programs = chips * parameters_and_programs((), target)
    parameters = sum(parameter_bytes(layer, target) for layer in layers)
    total, limit = programs + parameters, chips * demands.memory
    hints = precision_hints(layers, target, programs, limit)
    if total > limit:
        return _violation(layers, f"core memory of {chips} chips together", total, limit, hints)
    held, first = _least_of_the_largest(demands.there, demands.held, chips)
    if held > demands.memory:
        what = f"core memory of one of {chips} chips (parameters, programs and an activation)"
        return _violation(layers[first:], what, held, demands.memory, hints)
    small = demands.there & (demands.held <= demands.memory)
    moved, first = _least_of_the_largest(small, demands.moved, chips)
    if moved > demands.framebuffer or not tried:
        what = f"framebuffer of one of {chips} chips (what its stage receives and sends)"
        smaller = ("a smaller --micro-batch",)
        return _violation(layers[first:], what, moved, demands.framebuffer, smaller)
    nearest = min(tried, key=lambda stage: stage.demanded / stage.limit)
    what = f"{nearest.what}, on one of {chips} chips"
    return replace(without_chips(nearest), what=what)


def without_chips(violation: CapacityViolation) -> CapacityViolation:
    """The same, where more chips would not help."""
    return replace(violation, hints=tuple(h for h in violation.hints if not h.endswith(" chips")))


def _violation(
    layers: Sequence[Layer], what: str, demanded: int, limit: int, hints: tuple[str, ...]
) -> CapacityViolation:
    return CapacityViolation(layers[0].name, what, demanded, limit, hints)


def _least_of_the_largest(allowed: BoolTable, sizes: IntArray, chips: int) -> tuple[int, int]:
    """The largest stage of the cut whose largest is smallest: its size, and its first layer."""
    borders = cut(allowed, chips, sizes.astype(np.float64))
    assert borders is not None, "chips are no more than layers"
    largest = max(borders, key=lambda border: int(sizes[border]))
    return int(sizes[largest]), largest[0]
