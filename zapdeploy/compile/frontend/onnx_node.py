"""One node of an ONNX file, with typed access to its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx
import onnx_ir as ir

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.errors import ModelError
from zapdeploy.simplify.walking import PART_OF

STANDARD = ""
UNLIMITED = 1 << 20
MICROSOFT = "com.microsoft"


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """`version` is the standard operator set's; an absent optional input is the empty name.

    is_part: whether the file has another operator, of which this is a part.
    """

    name: str
    domain: str
    op: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    is_part: bool = False

    @property
    def operator(self) -> str:
        """The operator's name with its domain, as errors show it."""
        return f"{self.domain}.{self.op}" if self.domain else self.op

    @property
    def output(self) -> str:
        return self.outputs[0]

    def input(self, index: int) -> str:
        """The name at `index`, empty when it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def required(self, index: int) -> str:
        name = self.input(index)
        if not name:
            raise RefusedError(f"input {index} must be given")
        return name

    def integer(self, name: str, default: int) -> int:
        return self._typed(name, default, int, "a whole number")

    def number(self, name: str, default: float) -> float:
        return float(self._typed(name, default, (int, float), "a number"))

    def text(self, name: str, default: str) -> str:
        return self._typed(name, default, str, "text")

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        found = self._typed(name, default, (tuple, list), "whole numbers")
        if not all(isinstance(value, int) for value in found):
            raise self._wrong(name, "whole numbers")
        return tuple(found)

    def _typed(self, name: str, default: Any, types: Any, what: str) -> Any:
        found = self.attributes.get(name, default)
        if not isinstance(found, types):
            raise self._wrong(name, what)
        return found

    def _wrong(self, name: str, what: str) -> ModelError:
        shown = str(self.attributes[name])[:40]
        return ModelError(
            f"attribute '{name}' must be {what}, not {shown!r} (node '{self.name}'); "
            "export the model again"
        )


def check_inputs(node: OnnxNode) -> None:
    """Raise ModelError for more or fewer inputs than ONNX gives the operator."""
    limits = _input_limits(node.op, node.version) if node.domain == STANDARD else None
    if limits is None or limits[0] <= len(node.inputs) <= limits[1]:
        return
    low, high = limits
    if high > low:
        wanted = f"{low} to {high}" if high < UNLIMITED else f"at least {low}"
    else:
        wanted = str(low)
    raise ModelError(
        f"{node.op} must have {wanted} inputs, not {len(node.inputs)} (node '{node.name}'); "
        "export the model again"
    )


@cache
def _input_limits(op: str, version: int) -> tuple[int, int] | None:
    """The smallest and the largest number of inputs, None for an operator that ONNX has not."""
    try:
        schema = onnx.defs.get_schema(op, version)
    except onnx.defs.SchemaError:
        return None
    return schema.min_input, schema.max_input


def onnx_node(node: ir.Node, name: str, version: int) -> OnnxNode:
    """The node as its translator sees it, under a name that is unique in the graph."""
    outputs = [value.name or "" for value in node.outputs]
    while outputs and not outputs[-1]:
        outputs.pop()
    return OnnxNode(
        name=name,
        domain="" if node.domain == "ai.onnx" else node.domain,
        op=node.op_type,
        version=version,
        inputs=tuple("" if value is None else value.name or "" for value in node.inputs),
        outputs=tuple(outputs),
        attributes={
            key: attribute.value
            for key, attribute in node.attributes.items()
            if attribute.value is not None
        },
        is_part=PART_OF in node.metadata_props,
    )
