"""Quantizers and moves of constants are done once, here. Dequantizers of weights are left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Node, Quantization, Value, frozen
from zapdeploy.compile.ops.base import Trait, has, operator
from zapdeploy.compile.ops.codes import quantize
from zapdeploy.compile.passes.rewriting import same_quantization
from zapdeploy.errors import ModelError

BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class FoldConstants:
    """Replace every such node of constants by its result. Big tensors are views where possible."""

    def __call__(self, graph: Graph) -> Graph:
        values = dict(graph.values)
        kept = []
        for node in graph.nodes:
            operands = [values[name] for name in node.inputs if name]
            if not has(node.op, Trait.FOLDS) or any(value.data is None for value in operands):
                kept.append(node)
                continue
            result = values[node.outputs[0]]
            data = _evaluate(replace(graph, values=values), node, operands[0], result)
            values[result.name] = replace(result, data=frozen(data))
        return graph.with_nodes(tuple(kept), values)


def _evaluate(graph: Graph, node: Node, first: Value, result: Value) -> Array:
    assert first.data is not None
    if node.op == "Transpose":
        return first.data.transpose(graph.call(node).ints("perm"))
    if node.op == "Reshape":
        return first.data.reshape(result.shape)
    if node.op == "Quantize":
        return quantize_in_blocks(first.data, result)
    if node.op == "Requantize" and same_quantization(first, result):
        return _clamped(first.data, result)
    call = graph.call(node)
    inputs = [value.data if value is not None else None for value in call.inputs]
    return operator(node.op).evaluate(call, inputs)[0]


def _clamped(codes: Array, result: Value) -> Array:
    """The codes in the result's range and type, without a copy where they are so already."""
    assert result.quantization is not None
    low, high = result.quantization.low, result.quantization.high
    if codes.min() < low or codes.max() > high:
        codes = np.clip(codes, low, high)
    return codes.astype(result.element.numpy, copy=False)


def quantize_in_blocks(reals: Array, result: Value) -> Array:
    """The codes of a float32 constant, some rows at a time to save memory."""
    assert result.quantization is not None
    if reals.size <= BLOCK_ELEMENTS:
        return _quantize(reals, result)
    codes = np.empty(reals.shape, result.element.numpy)
    rows = max(BLOCK_ELEMENTS * len(reals) // reals.size, 1)
    for start in range(0, len(reals), rows):
        part = slice(start, start + rows)
        block = replace(result, quantization=_rows(result.quantization, part))
        codes[part] = _quantize(reals[part], block)
    return codes


def _quantize(reals: Array, result: Value) -> Array:
    if not np.isfinite(reals).all():
        raise ModelError(f"constants must be finite where '{result.name}' quantizes them")
    with np.errstate(over="ignore"):
        return (
            quantize(reals, result) if result.element.bits < 32 else _quantize_wide(reals, result)
        )


def _quantize_wide(reals: Array, result: Value) -> Array:
    """int32 codes, whose limits float32 does not hold."""
    meaning = result.quantization
    assert meaning is not None
    steps = np.divide(reals, meaning.along(meaning.scale, reals.ndim), dtype=np.float32)
    codes = np.rint(steps).astype(np.float64) + meaning.along(meaning.zero_point, reals.ndim)
    return np.clip(codes, meaning.low, meaning.high).astype(np.int32)


def _rows(quantization: Quantization, part: slice) -> Quantization:
    if quantization.axis != 0:
        return quantization
    return replace(
        quantization, scale=quantization.scale[part], zero_point=quantization.zero_point[part]
    )
