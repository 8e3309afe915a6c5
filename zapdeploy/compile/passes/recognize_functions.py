"""Functions that exporters spell out in parts become one node: Gelu, Swish, RMSNormalization.

x c (1 + erf(x / sqrt 2)), c = 1/2 anywhere           Gelu
x sigmoid(x)                                          Swish
x / sqrt(mean(x^2) + epsilon) scale                   RMSNormalization
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isclose, prod, sqrt

from zapdeploy.compile.graph import Attribute, Graph, Node
from zapdeploy.compile.ops.reduce import axes_of
from zapdeploy.compile.passes.rewriting import sources_of

_ROUNDING = 1e-6


@dataclass(frozen=True)
class RecognizeFunctions:
    """Parts that read a tensor twice would be layers of their own; one node joins the layer before.

    Only where nothing else reads the parts. In floating point the whole may differ from its parts
    in the last bits, as it does from one runtime to another.
    """

    def __call__(self, graph: Graph) -> Graph:
        parts = _Parts(graph)
        made: dict[str, Node] = {}
        gone: set[str] = set()
        for node in graph.nodes:
            for recognize in (_gelu, _swish, _rms_normalization):
                found = recognize(parts, node)
                if found is not None and parts.are_inner(found.nodes):
                    made[node.name] = found.node(node)
                    gone.update(part.name for part in found.nodes[1:])
                    break
        if not made:
            return graph
        kept = (made.get(node.name, node) for node in graph.nodes if node.name not in gone)
        return graph.with_nodes(tuple(kept), graph.values)


@dataclass(frozen=True)
class _Function:
    """What a group of nodes, the last of them first, computes."""

    op: str
    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def node(self, last: Node) -> Node:
        merged = sources_of(self.nodes)
        return replace(
            last, op=self.op, inputs=self.inputs, attributes=self.attributes, sources=merged
        )


class _Parts:
    """Look-ups in the graph, upstream from a value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers, self.consumers = graph.producers(), graph.consumers()

    def made_by(self, name: str, op: str) -> Node | None:
        node = self.producers.get(name)
        return node if node is not None and node.op == op else None

    def number(self, name: str) -> float | None:
        """The value of a constant with one element."""
        data = self.graph.values[name].data
        return float(data.item()) if data is not None and data.size == 1 else None

    def is_number(self, name: str, wanted: float) -> bool:
        found = self.number(name)
        return found is not None and isclose(found, wanted, rel_tol=_ROUNDING)

    def are_inner(self, nodes: tuple[Node, ...]) -> bool:
        """Whether nothing outside the group reads what its nodes but the last (first here) make."""
        names = {node.name for node in nodes}
        made = [name for node in nodes[1:] for name in node.outputs]
        return not any(name in self.graph.outputs for name in made) and all(
            reader.name in names for name in made for reader in self.consumers[name]
        )

    def factors(self, node: Node) -> tuple[tuple[str, ...], tuple[Node, ...]]:
        """What a product multiplies, through products that nothing else reads, and their nodes."""
        names: tuple[str, ...] = ()
        nodes: tuple[Node, ...] = (node,)
        for name in node.inputs:
            inner = self.made_by(name, "Mul")
            if inner is None or len(self.consumers[name]) > 1:
                names += (name,)
            else:
                below = self.factors(inner)
                names, nodes = names + below[0], nodes + below[1]
        return names, nodes


def _gelu(parts: _Parts, node: Node) -> _Function | None:
    if node.op != "Mul":
        return None
    names, products = parts.factors(node)
    numbers = [n for n in map(parts.number, names) if n is not None]
    others = [name for name in names if parts.number(name) is None]
    if len(others) != 2 or not isclose(prod(numbers), 0.5, rel_tol=_ROUNDING):
        return None
    for x, share in (others, others[::-1]):
        below = _one_and_erf(parts, share, x)
        if below is not None:
            return _Function("Gelu", (x,), (*products, *below), {"approximate": "none"})
    return None


def _one_and_erf(parts: _Parts, name: str, x: str) -> tuple[Node, ...] | None:
    """The nodes of 1 + erf(x / sqrt 2)."""
    add = parts.made_by(name, "Add")
    if add is None:
        return None
    for inner, one in (add.inputs, add.inputs[::-1]):
        erf = parts.made_by(inner, "Erf")
        if erf is None or not parts.is_number(one, 1):
            continue
        for op, factor in (("Div", sqrt(2)), ("Mul", sqrt(0.5))):
            scaled = parts.made_by(erf.inputs[0], op)
            if scaled is not None and scaled.inputs[0] == x:
                return (add, erf, scaled) if parts.is_number(scaled.inputs[1], factor) else None
    return None


def _swish(parts: _Parts, node: Node) -> _Function | None:
    if node.op != "Mul":
        return None
    for x, share in (node.inputs, node.inputs[::-1]):
        sigmoid = parts.made_by(share, "Sigmoid")
        if sigmoid is not None and sigmoid.inputs[0] == x:
            return _Function("Swish", (x,), (node, sigmoid), {"alpha": 1.0})
    return None


def _rms_normalization(parts: _Parts, node: Node) -> _Function | None:
    if node.op != "Mul":
        return None
    for normal, scale in (node.inputs, node.inputs[::-1]):
        divide = parts.made_by(normal, "Div")
        if divide is None or not parts.graph.values[scale].is_constant:
            continue
        x, divisor = divide.inputs
        root = _root_mean_square(parts, divisor, x)
        rank, scales = len(parts.graph.values[x].shape), len(parts.graph.values[scale].shape)
        if root is not None and scales <= rank - root.axis:
            attributes: dict[str, Attribute] = {"axis": root.axis, "epsilon": root.epsilon}
            nodes = (node, divide, *root.nodes)
            return _Function("RMSNormalization", (x, scale), nodes, attributes)
    return None


@dataclass(frozen=True)
class _Root:
    """sqrt(mean(x^2) + epsilon) over the axes from `axis` on."""

    axis: int
    epsilon: float
    nodes: tuple[Node, ...]


def _root_mean_square(parts: _Parts, name: str, x: str) -> _Root | None:
    root = parts.made_by(name, "Sqrt")
    add = parts.made_by(root.inputs[0], "Add") if root is not None else None
    if root is None or add is None:
        return None
    for inner, constant in (add.inputs, add.inputs[::-1]):
        mean, epsilon = parts.made_by(inner, "ReduceMean"), parts.number(constant)
        square = parts.producers.get(mean.inputs[0]) if mean is not None else None
        if mean is None or square is None or epsilon is None or not _squares(parts, square, x):
            continue
        rank = len(parts.graph.values[x].shape)
        axes = axes_of(parts.graph.call(mean), parts.graph.call(mean).ints("axes"))
        if mean.attributes["keepdims"] and axes and axes == tuple(range(axes[0], rank)):
            return _Root(axes[0], epsilon, (root, add, mean, square))
    return None


def _squares(parts: _Parts, node: Node, x: str) -> bool:
    if node.op == "Mul":
        return node.inputs == (x, x)
    return node.op == "Pow" and node.inputs[0] == x and parts.is_number(node.inputs[1], 2)
