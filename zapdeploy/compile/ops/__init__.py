"""Operators, one file per family; importing this package registers all of them."""

from zapdeploy.compile.ops import (
    conv,
    elementwise,
    functions,
    matmul,
    movement,
    normalization,
    pooling,
    quantize,
    reduce,
    view,
)

__all__ = [
    "conv",
    "elementwise",
    "functions",
    "matmul",
    "movement",
    "normalization",
    "pooling",
    "quantize",
    "reduce",
    "view",
]
