"""What several passes need to rewrite a graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from zapdeploy.compile.graph import Graph, Node, Value


@dataclass
class Names:
    """Names that are not used in a graph yet."""

    taken: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, graph: Graph) -> Names:
        return cls({*graph.values, *(node.name for node in graph.nodes)})

    def fresh(self, wish: str) -> str:
        name, count = wish, 1
        while name in self.taken:
            name, count = f"{wish}_{count}", count + 1
        self.taken.add(name)
        return name


def producer_of(graph: Graph, op: str) -> dict[str, Node]:
    """Output name to node, for all nodes of one operator."""
    return {node.outputs[0]: node for node in graph.nodes if node.op == op}


def sources_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The nodes of the file that these stand for, each once, in order."""
    return tuple(dict.fromkeys(source for node in nodes for source in node.sources))


def reading(node: Node, names: dict[str, str]) -> Node:
    """The node with some of its inputs under other names."""
    if not any(name in names for name in node.inputs):
        return node
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))


def only_consumer(graph: Graph, consumers: dict[str, list[Node]], name: str) -> Node | None:
    """The node that reads a value which nothing else needs."""
    found = consumers[name]
    return found[0] if len(found) == 1 and name not in graph.outputs else None


def same_quantization(a: Value, b: Value) -> bool:
    """Whether equal codes of two quantized values are equal numbers."""
    return (
        a.quantization is not None
        and b.quantization is not None
        and a.quantization.same(b.quantization)
    )
