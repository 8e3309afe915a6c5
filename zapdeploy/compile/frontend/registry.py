"""Which function translates which ONNX operator."""

from __future__ import annotations

from collections.abc import Callable

from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import STANDARD, OnnxNode

Translator = Callable[[GraphBuilder, OnnxNode], None]

_TRANSLATORS: dict[tuple[str, str], Translator] = {}


def translates(
    *operators: str, domains: tuple[str, ...] = (STANDARD,)
) -> Callable[[Translator], Translator]:
    """Decorator: this function translates these operators of these domains.

    It adds nodes to the graph builder, raises RefusedError for what is not supported, and
    ModelError for what is wrong.
    """

    def register(function: Translator) -> Translator:
        for domain in domains:
            for name in operators:
                _TRANSLATORS[domain, name] = function
        return function

    return register


def translator(node: OnnxNode) -> Translator | None:
    return _TRANSLATORS.get((node.domain, node.op))


def supported_operators() -> tuple[tuple[str, str], ...]:
    """All (domain, operator) pairs that can be imported, besides those that are folded."""
    return tuple(sorted(_TRANSLATORS))
