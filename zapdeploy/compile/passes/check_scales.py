"""Scales whose product or ratio float32 does not hold are an error: no integer would be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Array, Call, Graph, Value
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.ops.codes import bytes_alike
from zapdeploy.errors import ModelError


@dataclass(frozen=True)
class CheckScales:
    """s_x s_w, and what the integer kernels divide by s_y, must be finite, or ModelError."""

    def __call__(self, graph: Graph) -> Graph:
        with np.errstate(over="ignore"):
            for call in graph.calls():
                for factor in _factors(call):
                    if not np.isfinite(factor).all():
                        raise ModelError(
                            f"scales must have products and ratios that float32 holds, "
                            f"and those of {_listed(call)} have not (node '{call.node.name}'); "
                            "quantize them with scales nearer to 1"
                        )
        return graph


def _factors(call: Call) -> Iterator[Array]:
    """The factors that integers are multiplied with, in float32."""
    scales = [_scale(value) for value in (*call.inputs[:2], call.output)]
    y = scales[-1].max()
    if operator(call.node.op).unit is Unit.MATRIX:
        product = scales[0].max() * scales[1].max()
        yield product
        yield product / scales[-1].min()
    elif bytes_alike(call):
        if call.node.op == "Mul":
            yield scales[0] * scales[1] / y
        else:
            yield from (scale / y for scale in scales[:-1])


def _scale(value: Value | None) -> Array:
    one = np.ones(1, np.float32)
    return one if value is None or value.quantization is None else value.quantization.scale


def _listed(call: Call) -> str:
    quantized = [v for v in (*call.inputs[:2], call.output) if v is not None and v.quantization]
    return ", ".join(f"'{value.name}' ({_scale(value).max():g})" for value in quantized)
