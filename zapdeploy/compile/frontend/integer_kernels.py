"""Which sums, products and means of the file ONNX Runtime computes on codes, and which on reals.

Its integer kernels (QLinearAdd, ...) round by formulas of their own, and it uses them where a file
has dequantizers right before an operator and a quantizer right behind. The passes bring quantizers
and operators together that were apart in the file, so what the file had is written down before they
run. Found by experiment with ONNX Runtime 1.32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.ops.base import Trait, has
from zapdeploy.compile.ops.codes import REAL, all_bytes_alike
from zapdeploy.compile.passes.absorb_clamp import bounds_of, clamped
from zapdeploy.simplify.onnx_operators import CLAMPS

# What ONNX Runtime moves quantizers and dequantizers through: a fact about its optimizer, not about
# the operators (Flatten moves data too, and stops it).
PASSED = frozenset(
    ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "MaxPool", "Identity", "Dropout")
)
WITHOUT_EFFECT = frozenset(("Identity", "Dropout"))


def mark_reals(graph: Graph, nodes: Sequence[OnnxNode]) -> Graph:
    """The graph, with the attribute `REAL` on those operators that the file computes on reals.

    `nodes` are those of the file. Operators that are written with codes (QLinearAdd) stay as they
    are.
    """
    surroundings = _Surroundings(
        graph, {n.name: n for n in nodes}, graph.consumers(), graph.producers()
    )
    marked = tuple(
        replace(node, attributes={**node.attributes, REAL: 1})
        if has(node.op, Trait.ROUNDS_ON_BYTES) and surroundings.is_real(node)
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=marked)


@dataclass(frozen=True, eq=False)
class _Surroundings:
    graph: Graph
    in_file: Mapping[str, OnnxNode]
    readers: Mapping[str, list[Node]]
    makers: Mapping[str, Node]

    def is_real(self, node: Node) -> bool:
        """Whether the node computes real numbers for which there is no integer kernel."""
        if self.graph.values[node.outputs[0]].quantization is not None:
            return False
        written = self.in_file.get(node.sources[0]) if node.sources else None
        if written is None or written.op != node.op or written.is_part:
            return True  # part of what the file has as another operator
        values = [self._codes_before(name) for name in node.inputs if name]
        codes = self._codes_behind(node.outputs[0])
        if codes is None or codes.element.kind == "int":
            return True
        return not all_bytes_alike((*values, codes))

    def _op(self, node: Node) -> str:
        found = self.in_file.get(node.sources[0]) if node.sources else None
        return "" if found is None else found.op

    def _codes_before(self, name: str) -> Value | None:
        """What the dequantizer before a real number reads, looking through moves."""
        node = self.makers.get(name)
        while node is not None and node.op != "Dequantize":
            node = self.makers.get(node.inputs[0]) if self._op(node) in PASSED else None
        return None if node is None else self.graph.values[node.inputs[0]]

    def _codes_behind(self, name: str) -> Value | None:
        """What the quantizer behind a real number writes: clamps that it makes without effect may
        stand between, then moves."""
        clamps, may_clamp = [], True
        while (reader := self._reader(name)) is not None and reader.op != "Quantize":
            op = self._op(reader)
            if op in CLAMPS and may_clamp:
                clamps.append(reader)
            elif op not in PASSED:
                return None
            may_clamp = may_clamp and (op in CLAMPS or op in WITHOUT_EFFECT)
            name = reader.outputs[0]
        if reader is None:
            return None
        codes = self.graph.values[reader.outputs[0]]
        return None if any(_narrows(clamp, codes) for clamp in clamps) else codes

    def _reader(self, name: str) -> Node | None:
        """The one that reads a value; quantizers that share scale and zero point are one."""
        found = self.readers[name]
        if not found or name in self.graph.outputs:
            return None
        if len(found) > 1:
            parameters = {self._parameters(reader) for reader in found}
            if len(parameters) > 1 or None in parameters:
                return None
        return found[0]

    def _parameters(self, node: Node) -> tuple[str, ...] | None:
        """Names of the scale and zero point in the file, None for what is no quantizer."""
        if node.op != "Quantize" or self._op(node) != "QuantizeLinear":
            return None
        return self.in_file[node.sources[0]].inputs[1:]


def _narrows(clamp: Node, codes: Value) -> bool:
    """Whether a clamp before a quantizer leaves fewer codes."""
    before = codes.quantization
    assert before is not None
    if not before.is_uniform:
        return True
    bounds = bounds_of(clamp)
    assert bounds is not None
    after = clamped(before, *bounds)
    return (after.low, after.high) != (before.low, before.high)
