"""The form of prices by value against what was measured: matrices of zeros, ones, random, sparse.

Board power of a chip of 7 nm with memory beside compute while all its cores repeat one product of
16 x 16 float32 matrices (ET-SoC-1, docs/findings/10-data-dependent-power.md of
github.com/yaroslavvb/et-soc1-prototyping, September 2026). It withholds products with a zero.
Matrices of each kind are made here, zeros and toggling bits are counted as a lane of the chip sees
them, and put into

    above idle = zeros + (random - zeros) x (clocked x products + (1 - clocked) x toggles)
    toggles = operands x on the way + (1 - operands) x in products that are not withheld

each relative to random data. Zeros and random data are as measured; two numbers, `clocked` and
`operands`, are fitted by least relative squares over the judged patterns. Patterns of a few values
alone (signs, checkerboards) are shown and not judged: the form does not tell an exponent's or a
sign's bit from a mantissa's.

    python -m zapdeploy.benchmarks.experiments.activity_catalogue     # exit status 1 if it fails
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Array
from zapdeploy.sim.activity.bits import stream_activity

Pair = tuple[Array, Array]
Make = Callable[[np.random.Generator], Pair]
IDLE_W = 36.29  # just before each launch
SIZE, TILES, LIMIT = 16, 64, 0.15


def _normal(random: np.random.Generator) -> Array:
    return random.standard_normal((SIZE, SIZE)).astype(np.float32)


def _integers(random: np.random.Generator, low: int, high: int) -> Array:
    return random.integers(low, high, (SIZE, SIZE)).astype(np.float32)


def _both(make: Callable[[np.random.Generator], Array]) -> Make:
    return lambda random: (make(random), make(random))


def _same(value: float) -> Make:
    return _both(lambda random: np.full((SIZE, SIZE), value, np.float32))


def _sparse(kept: float) -> Make:
    def masked(random: np.random.Generator) -> Array:
        # By a select: times zero, negative numbers would become -0.0, which is not withheld.
        return np.where(random.random((SIZE, SIZE)) < kept, _normal(random), np.float32(0))

    return _both(masked)


def _under(mask: Array) -> Make:
    return _both(lambda random: np.where(mask, _normal(random), np.float32(0)))


_ROW, _COLUMN = np.indices((SIZE, SIZE))


@dataclass(frozen=True)
class Pattern:
    """Matrices and the board's watts; `judged`: zeros, ones, random or sparse."""

    name: str
    watts: float
    make: Make
    judged: bool = True


_ONES = np.ones((SIZE, SIZE), np.float32)
PATTERNS = (
    Pattern("zeros", 38.29, _same(0)),
    Pattern("ones", 46.73, _same(1)),
    Pattern("pi everywhere", 46.96, _same(np.pi)),
    Pattern("random normal", 63.40, _both(_normal)),
    Pattern("random uniform [0, 1)", 61.29, _both(lambda r: r.random((SIZE, SIZE), np.float32))),
    Pattern("random mantissa [1, 2)", 60.41, _both(lambda r: 1 + r.random((SIZE, SIZE)))),
    Pattern("random, ones", 54.29, lambda r: (_normal(r), _ONES)),
    Pattern("ones, random", 57.93, lambda r: (_ONES, _normal(r))),
    Pattern("random, 50 % zeroed", 46.13, _sparse(0.5)),
    Pattern("random, 75 % zeroed", 41.04, _sparse(0.25)),
    Pattern("weights, ReLU activations", 52.75, lambda r: (_normal(r), np.maximum(_normal(r), 0))),
    Pattern("identity", 38.50, _both(lambda r: np.eye(SIZE))),
    Pattern("tridiagonal", 40.20, _under(abs(_ROW - _COLUMN) <= 1)),
    Pattern("4 x 4 blocks", 41.13, _under(_ROW // 4 == _COLUMN // 4)),
    Pattern("upper triangle", 44.42, _under(_ROW <= _COLUMN)),
    Pattern("random exponent", 52.60, _both(lambda r: np.exp2(_integers(r, -8, 8))), False),
    Pattern("random sign", 51.41, _both(lambda r: np.sign(_normal(r))), False),
    Pattern("-1, 0, 1", 45.70, _both(lambda r: _integers(r, -1, 2)), False),
    Pattern("checkerboard 1, 0", 40.94, _both(lambda r: (_ROW + _COLUMN) % 2), False),
)


@dataclass(frozen=True)
class Seen:
    """Of a pattern: the share of products not withheld, and toggling bits of both operands on
    their way and in products that are not withheld, as shares of all."""

    products: float
    way: float
    inside: float


def seen(make: Make) -> Seen:
    """Counted over many pairs; a lane has a column of the second matrix, row after row."""
    random = np.random.default_rng(16)
    products = way = inside = 0
    for _ in range(TILES):
        a, b = (np.asarray(m, np.float32).view(np.uint32) for m in make(random))
        shape = (SIZE, SIZE, SIZE)
        left = np.broadcast_to(a[:, :, None], shape).reshape(-1, SIZE).T
        right = np.broadcast_to(b[None], shape).reshape(-1, SIZE).T
        for pair in zip(left, right, strict=True):
            way += _toggles(pair)
            kept = (pair[0] != 0) & (pair[1] != 0)
            products += int(kept.sum())
            inside += _toggles((pair[0][kept], pair[1][kept]))
    macs = TILES * SIZE**3
    return Seen(products / macs, way / (64 * macs), inside / (64 * macs))


def _toggles(pair: Pair) -> int:
    """Of operands that follow one another, the first one the last."""
    words = np.ascontiguousarray(np.stack(pair))
    rows, first = np.arange(2), np.zeros(2, np.int64)
    ones, toggles = np.zeros(2, np.int64), np.zeros(2, np.int64)
    stream_activity(words, rows, first, first + words.shape[1], 1, ones, toggles)
    return int(toggles.sum())


@dataclass(frozen=True)
class Fit:
    """The two fitted numbers, and of every pattern the predicted watts above idle."""

    clocked: float
    operands: float
    predicted_w: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        pairs = zip(PATTERNS, self.predicted_w, strict=True)
        return tuple(watts / (p.watts - IDLE_W) - 1 for p, watts in pairs)

    @property
    def worst(self) -> float:
        """The largest error of a judged pattern."""
        pairs = zip(PATTERNS, self.errors, strict=True)
        return max(abs(error) for p, error in pairs if p.judged)


def fit() -> Fit:
    """Least squares of relative errors: linear in clocked and (1 - clocked) operands."""
    names = [p.name for p in PATTERNS]
    found = [seen(p.make) for p in PATTERNS]
    random = found[names.index("random normal")]
    products = np.array([s.products for s in found])
    way = np.array([s.way for s in found]) / random.way
    inside = np.array([s.inside for s in found]) / random.inside
    above = np.array([p.watts - IDLE_W for p in PATTERNS])
    zeros, span = above[names.index("zeros")], above[names.index("random normal")]
    span = span - zeros
    columns = np.column_stack([products - inside, way - inside]) * span
    rest = above - zeros - span * inside
    judged = np.array([p.judged for p in PATTERNS])
    weight = (1 / above)[judged]
    solved = np.linalg.lstsq(columns[judged] * weight[:, None], rest[judged] * weight, rcond=None)
    clocked, moved = (float(n) for n in solved[0])
    predicted = zeros + span * inside + columns @ np.array([clocked, moved])
    return Fit(clocked, moved / (1 - clocked), tuple(map(float, predicted)))


def main(arguments: list[str] | None = None) -> int:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args(arguments)
    found = fit()
    if asked.json:
        names = {p.name: error for p, error in zip(PATTERNS, found.errors, strict=True)}
        print(json.dumps({**vars(found), "errors": names, "worst": found.worst}))
    else:
        print(f"fitted: clocked {found.clocked:.3f}, operands {found.operands:.3f}")
        print("| matrices | measured, W above idle | form | error |\n|---|---|---|---|")
        for p, watts, error in zip(PATTERNS, found.predicted_w, found.errors, strict=True):
            name = p.name if p.judged else f"{p.name} (not judged)"
            print(f"| {name} | {p.watts - IDLE_W:.2f} | {watts:.2f} | {error:+.1%} |")
        print(f"worst of the judged: {found.worst:.1%} (limit {LIMIT:.0%})")
    return 0 if found.worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
