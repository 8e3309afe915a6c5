"""Random small U-Nets over lines, images and volumes of any size, for tests that cut space.

Convolutions with strides, dilations and uneven padding, group normalization from exact sums, both
ways to a finer resolution (a transposed convolution, nearest neighbours), pooling, concatenation,
residual sums; odd sizes as they come.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.compile.ops.build import (
    UINT8,
    call,
    constant,
    convolution,
    graph,
    plain,
    pool,
    quantized,
    random_data,
)
from zapdeploy.compile.graph import INT64, Array, Attribute, Call, Graph, Shape, Value

GROUPS = 2


@dataclass
class Drawing:
    """A network while it is drawn from random numbers; every method returns what it makes."""

    rng: np.random.Generator
    calls: list[Call] = field(default_factory=list)

    def named(self) -> str:
        return f"v{len(self.calls)}"

    def codes(self, shape: Shape = ()) -> Value:
        scale = float(self.rng.uniform(0.02, 0.05))
        return quantized(self.named(), shape, UINT8, scale, int(self.rng.integers(0, 256)))

    def add(self, made: Call) -> Value:
        node = replace(made.node, name=f"n{len(self.calls)}")
        self.calls.append(replace(made, node=node))
        return made.output

    def op(
        self, name: str, inputs: list[Value | None], out: Value, **attributes: Attribute
    ) -> Value:
        return self.add(call(name, list(inputs), out, **attributes))

    def weights(self, shape: Shape) -> Value:
        value = quantized(f"w{len(self.calls)}", shape, scale=0.01)
        return constant(value, random_data(value, self.rng))

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def conv(self, x: Value, channels: int, stride: int = 1) -> Value:
        """A window of 1 to 3, perhaps dilated, with padding that keeps at least one position."""
        rank = len(x.shape) - 2
        kernel = tuple(int(self.rng.integers(1, 4)) for _ in range(rank))
        dilations = tuple(self.pick(1, 1, 2) for _ in range(rank))
        reach = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        begins = tuple(int(self.rng.integers(0, r + 1)) for r in reach)
        ends = tuple(r - b for r, b in zip(reach, begins, strict=True))
        return self.add(
            convolution(
                x, self.weights((channels, x.shape[1], *kernel)), self.codes(),
                strides=(stride,) * rank, dilations=dilations, pads=(*begins, *ends),
            )
        )  # fmt: skip

    def down(self, x: Value) -> Value:
        kind = self.pick("conv", "AveragePool", "MaxPool")
        if kind == "conv":
            return self.conv(x, x.shape[1], stride=2)
        rank = len(x.shape) - 2
        out = self.codes()
        return self.add(pool(kind, x, out, (2,) * rank, strides=(2,) * rank, ceil_mode=1))

    def up(self, x: Value, beside: Value) -> Value:
        """x at the resolution of `beside`, joined with it or added to it."""
        rank, space = len(x.shape) - 2, beside.shape[2:]
        if self.pick(True, False) and all(
            s == 2 * c for s, c in zip(space, x.shape[2:], strict=True)
        ):
            w = self.weights((beside.shape[1], x.shape[1], *(2,) * rank))
            y = self.add(
                convolution(x, w, self.codes(), None, "ConvTranspose", strides=(2,) * rank)
            )
        else:
            indices = [
                np.minimum(np.arange(s) // 2, c - 1).tolist()
                for s, c in zip(space, x.shape[2:], strict=True)
            ]
            flat = tuple(int(i) for each in indices for i in each)
            out = replace(x, name=self.named(), shape=(*x.shape[:2], *space))
            y = self.op("Take", [x], out, axes=tuple(range(2, 2 + rank)), indices=flat)
        if y.shape == beside.shape and self.pick(True, False):
            return self.op("Add", [y, beside], self.codes())
        return self.op("Concat", [y, beside], self.codes(), axis=1)

    def norm(self, x: Value) -> Value:
        """Group normalization and a swish, from exact sums of codes."""
        frames, channels, *space = x.shape
        each = channels // GROUPS
        seen = replace(x, name=self.named(), shape=(frames, GROUPS, each, *space))
        seen = self.op("Reshape", [x], seen)
        sums = [self.total(seen, power) for power in (1, 2)]
        given: dict[str, Attribute] = {"count": each * int(np.prod(space)), "scale": 0.03}
        mean = self.op("MeanOfSum", sums[:1], plain(self.named(), ()), **given)
        given["epsilon"] = 1e-5
        factor = self.op("DeviationOfSums", sums, plain(self.named(), ()), **given)
        ones = (1,) * len(space)
        wide = []
        for number in (mean, factor):
            tiled = self.op("Tile", [number], plain(self.named(), (frames, GROUPS, each, *ones)))
            wide.append(self.op("Reshape", [tiled], plain(self.named(), (frames, channels, *ones))))
        centred = self.op("Sub", [x, wide[0]], plain(self.named(), ()))
        return self.op("Mul", [centred, wide[1]], self.codes())

    def total(self, seen: Value, power: int) -> Value:
        """The sum of a power of the codes of each group, dimension by dimension."""
        rank = len(seen.shape)
        axes = tuple(range(2, max(rank - 2, 3)))
        out = plain(self.named(), (), INT64)
        found = self.op("SumOfCodes", [seen], out, power=power, axes=axes, keepdims=1)
        for axis in range(max(rank - 2, 3), rank):
            out = plain(self.named(), (), INT64)
            found = self.op("ReduceSum", [found], out, axes=(axis,), keepdims=1)
        return found


def random_unet(seed: int) -> tuple[Graph, dict[str, Array]]:
    """A network with one input of codes, and codes for it."""
    rng = np.random.default_rng(seed)
    d = Drawing(rng)
    rank = int(rng.integers(1, 4))
    most = {1: 24, 2: 13, 3: 8}[rank]
    space = tuple(int(rng.integers(5, most + 1)) for _ in range(rank))
    x = quantized("x", (int(rng.integers(1, 3)), 4, *space), UINT8, 0.03, 100)
    y = d.conv(x, 4)
    kept = []
    for _ in range(int(rng.integers(0, 3))):
        y = d.conv(d.norm(y), 4) if d.pick(True, False) else d.conv(y, 4)
        kept.append(y)
        y = d.down(y)
    if y.shape == x.shape:
        y = d.op("Add", [y, x], d.codes())
    y = d.norm(y)
    for beside in reversed(kept):
        y = d.conv(d.up(y, beside), 4)
    d.conv(y, 2)
    return graph(*d.calls), {"x": random_data(x, rng)}
