"""Which function puts simpler operators in the place of which ONNX operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import onnx

STANDARD = ""
MICROSOFT = "com.microsoft"

# The nodes that take the place of one (a `walking.Place`); None where it stays as it is.
Expansion = Callable[[Any], Iterable[onnx.NodeProto] | None]

_EXPANSIONS: dict[tuple[str, str], Expansion] = {}


def expands(
    *operators: str, domains: tuple[str, ...] = (STANDARD,)
) -> Callable[[Expansion], Expansion]:
    """Decorator: this function expands these operators of these domains.

    What it returns is walked through in its turn: it may use operators that have expansions.
    """

    def register(function: Expansion) -> Expansion:
        for domain in domains:
            for name in operators:
                _EXPANSIONS[domain, name] = function
        return function

    return register


def expanded_operators() -> tuple[tuple[str, str], ...]:
    """All (domain, operator) pairs that have an expansion."""
    _load_families()
    return tuple(sorted(_EXPANSIONS))


@cache
def _load_families() -> None:
    """Import all files of this package: what is there is registered, and nothing lists them."""
    package = import_module(__name__.rpartition(".")[0])
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def expansion_of(node: onnx.NodeProto) -> Expansion | None:
    """The expansion of a node's operator; None where it has none."""
    _load_families()
    domain = "" if node.domain == "ai.onnx" else node.domain
    return _EXPANSIONS.get((domain, node.op_type))
