"""Network inputs: their types, their shapes, and the batch."""

from __future__ import annotations

import onnx_ir as ir

from zapdeploy.compile.frontend.draft import Batch
from zapdeploy.compile.frontend.tensors import element_type
from zapdeploy.compile.graph import Shape, Value
from zapdeploy.errors import ModelError, UsageError


def network_inputs(graph: ir.Graph, batch: int | None) -> tuple[tuple[Value, ...], Batch | None]:
    """The inputs that are not initializers, with the batch in place, and what it replaces."""
    if batch is not None and batch < 1:
        raise UsageError(f"batch must be at least 1, not {batch}")
    found = []
    before: set[int | None] = set()
    for value in graph.inputs:
        if value.name in graph.initializers:
            continue
        dimensions = _dimensions(value)
        shape = _shape(str(value.name), dimensions, batch)
        if dimensions:
            before.add(dimensions[0] if isinstance(dimensions[0], int) else None)
        where = f"input '{value.name}'"
        assert value.dtype is not None
        found.append(Value(str(value.name), shape, element_type(value.dtype, where)))
    if batch is None or not before:
        return tuple(found), None
    return tuple(found), Batch(next(iter(before)) if len(before) == 1 else None, batch)


def _dimensions(value: ir.Value) -> list[int | str]:
    """Lengths, or the names of open dimensions (possibly empty)."""
    if not isinstance(value.type, ir.TensorType) or value.shape is None:
        raise ModelError(
            f"input '{value.name}' must be a tensor with a known number of dimensions; "
            "export the model with the shape of its inputs"
        )
    return [d if isinstance(d, int) else str(d.value or "") for d in value.shape]


def _shape(name: str, dimensions: list[int | str], batch: int | None) -> Shape:
    shape = []
    for index, length in enumerate(dimensions):
        if index == 0 and batch is not None:
            if isinstance(length, int) and length not in (1, batch):
                raise ModelError(
                    f"input '{name}' must have a first dimension of 1 or an open one "
                    f"for batch {batch}, not {length}; export the model with batch 1"
                )
            length = batch
        if isinstance(length, str):
            named = f" '{length}'" if length else ""
            advice = "give --batch" if index == 0 else "export the model with a fixed length"
            raise ModelError(f"input '{name}' has a dynamic dimension {index}{named}; {advice}")
        if length < 1:
            raise ModelError(
                f"input '{name}' must have no dimension of size zero, "
                f"not {dimensions}; export the model again"
            )
        shape.append(length)
    return tuple(shape)
