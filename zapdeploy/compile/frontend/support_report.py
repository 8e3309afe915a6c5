"""What became of each node of an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.layers import host_nodes
from zapdeploy.compile.ops.base import Trait, Unit, has, operator
from zapdeploy.errors import ModelError


class Outcome(Enum):
    """The word that `zapdeploy check` prints."""

    FOLDED = "folded"
    ACCEPTED = "accepted"
    VECTOR_UNIT = "vector unit"
    HOST = "host"
    REFUSED = "refused"
    UNJUDGED = "not judged"


@dataclass(frozen=True)
class Decision:
    """One node of the file: what became of it, into which node of the graph, and why.

    `weight_bits` and `activation_bits` are the true widths of what it reads; None where it reads
    no weights, or floating point.
    """

    node: str
    op: str
    outcome: Outcome
    into: str = ""
    reason: str = ""
    weight_bits: int | None = None
    activation_bits: int | None = None


class UnsupportedModel(ModelError):  # noqa: N818  (it names what was found)
    """The file is sound, but some of its nodes cannot run on the chip; `decisions` has them all.

    `needs_quantizing` where that is what it lacks, all or in part.
    """

    def __init__(
        self, message: str, decisions: tuple[Decision, ...], *, needs_quantizing: bool = False
    ) -> None:
        super().__init__(message)
        self.decisions = decisions
        self.needs_quantizing = needs_quantizing


def decide(
    nodes: Sequence[OnnxNode], graph: Graph, refused: Mapping[str, Decision]
) -> tuple[Decision, ...]:
    """A decision for each node of the file, in its order."""
    hosted = host_nodes(graph)
    main: dict[str, Node] = {}
    part: dict[str, Node] = {}
    for made in graph.nodes:
        for rank, source in enumerate(made.sources):
            (main if rank == 0 else part).setdefault(source, made)
    found = []
    for node in nodes:
        if node.name in refused:
            found.append(refused[node.name])
        elif node.name in main:
            found.append(_accepted(node, graph, main[node.name], hosted))
        elif node.name in part:
            into = part[node.name].name
            found.append(Decision(node.name, node.operator, Outcome.FOLDED, into))
        else:
            found.append(
                Decision(
                    node.name, node.operator, Outcome.FOLDED, reason="constant, or without effect"
                )
            )
    return tuple(found)


def _accepted(node: OnnxNode, graph: Graph, into: Node, hosted: frozenset[str]) -> Decision:
    values = [graph.values[name] for name in into.inputs if name]
    results = [graph.values[name] for name in into.outputs]
    unit = operator(into.op).unit
    weights = next((v for v in values[:2] if v.is_constant), None) if unit is Unit.MATRIX else None
    data = next((v for v in values if not v.is_constant), None)
    reason = ""
    if into.name in hosted:
        outcome = Outcome.HOST
        reason = "network input" if into.op == "Quantize" else "network output"
    elif unit is not Unit.VECTOR or (
        has(into.op, Trait.INTEGER) and all(v.quantization for v in (*values, *results))
    ):
        outcome = Outcome.ACCEPTED
    else:
        outcome, reason = Outcome.VECTOR_UNIT, "computed in floating point"
    return Decision(
        node.name, node.operator, outcome, into.name, reason, _bits(weights), _bits(data)
    )


def _bits(value: Value | None) -> int | None:
    return value.element.bits if value is not None and value.element.is_integer else None
