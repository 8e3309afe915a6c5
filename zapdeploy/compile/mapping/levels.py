"""How busy the bits behind events are, relative to random data, and what that does to prices.

    price = stated price x (idle + sum of shares x levels)

Levels are 1 on random data, so that the stated price is that of random data; the shares are the
target's (`hardware_targets/activity.py`). For products the levels are: products that are not
withheld; operand bits that toggle on their way to the multipliers; those that toggle inside. For
words they are: ones, and bits that toggle, each against half of the bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.mapping.prices import SAMPLES, spread_over
from zapdeploy.hardware_targets import Figure, Target
from zapdeploy.hardware_targets.activity import ProductShares, Shares, WordShares

Level = tuple[float, float, float]
Levels = Mapping[str, Level]  # by event; events that are not named are at RANDOM
RANDOM: Level = (1.0, 1.0, 1.0)
ALTERNATING: Level = (1.0, 2.0, 2.0)  # every bit toggles every time, so half of all are ones
_PRODUCTS, _NOTHING = ("macs_16bit", "macs_8bit", "macs_4bit", "macs_2bit"), (0.0, 0.0, 0.0)
_INDEPENDENT: Shares = (1.0, 0.0, 0.0, 0.0)


def level_of_words(ones: float, toggles: float) -> Level:
    """From the share of bits that are one, and of those that differ from the word before."""
    return 2 * ones, 2 * toggles, 0.0


def level_of_products(clocked: float, operands: float, multipliers: float) -> Level:
    """From the share of products not withheld, and of operand bits that toggle on their way and
    inside the multipliers."""
    return clocked, 2 * operands, 2 * multipliers


def zeros(events: Iterable[str], gated: bool) -> dict[str, Level]:
    """All bits zero. Products are clocked all the same where they are not withheld."""
    clocked = (0.0 if gated else 1.0, 0.0, 0.0)
    return {name: clocked if name in _PRODUCTS else _NOTHING for name in events}


def alternating(events: Iterable[str]) -> dict[str, Level]:
    """The worst that data can do: every bit of every word and operand differs from the last."""
    return {name: ALTERNATING if name in _PRODUCTS else (1.0, 2.0, 0.0) for name in events}


def mean_levels(parts: Iterable[tuple[Mapping[str, int], Levels]]) -> dict[str, Level]:
    """The levels of several runs together, each weighted by its events."""
    total: dict[str, float] = {}
    summed: dict[str, FloatArray] = {}
    for counts, levels in parts:
        for event, count in counts.items():
            if count:
                level = np.array(levels.get(event, RANDOM)) * count
                summed[event] = summed.get(event, np.zeros(3)) + level
                total[event] = total.get(event, 0.0) + count
    return {event: _as_level(level / total[event]) for event, level in summed.items()}


def _as_level(level: FloatArray) -> Level:
    first, second, third = (float(each) for each in level)
    return first, second, third


def factor(event: str, level: Level, target: Target) -> float:
    """What an event costs at a level, as a multiple of its stated price."""
    idle, *rest = shares_of(event, target)
    return idle + sum(share * each for share, each in zip(rest, level, strict=True))


def shares_of(event: str, target: Target) -> Shares:
    """How an event's energy follows the bits that move; not at all where the file is silent."""
    moved = target.energy.activity.of_event(event)
    return _INDEPENDENT if moved is None else moved.shares()


def factor_samples(event: str, level: Level, target: Target) -> FloatArray | float:
    """The same under joint draws of the shares [samples]; 1 where the values do not matter."""
    moved = target.energy.activity.of_event(event)
    if moved is None or level == RANDOM:
        return 1.0
    drawn = _share_samples(_brackets(moved), isinstance(moved, ProductShares))
    return np.asarray(drawn @ np.array([1.0, *level]), np.float64)


def _brackets(moved: ProductShares | WordShares) -> tuple[tuple[float, float, float], ...]:
    figures = [getattr(moved, name) for name in type(moved).model_fields]
    return tuple((f.low, f.value, f.high) for f in figures if isinstance(f, Figure))


@lru_cache(maxsize=64)
def _share_samples(brackets: tuple[tuple[float, float, float], ...], products: bool) -> FloatArray:
    """Draws of the four shares, which add up to 1 [samples, 4]."""
    random = np.random.default_rng(20260923)
    place = random.standard_normal((SAMPLES, len(brackets)))
    low, middle, high = np.array(brackets).T
    drawn = spread_over(place, low, middle, high)
    over = np.maximum(drawn[:, 0] + drawn[:, 1], 1.0)
    idle, second = drawn[:, 0] / over, drawn[:, 1] / over
    toggles = 1 - idle - second
    outside = toggles * np.minimum(drawn[:, 2], 1.0) if products else toggles
    return np.column_stack([idle, second, outside, toggles - outside])
