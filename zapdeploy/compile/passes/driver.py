"""Running passes one after another, the graph verified after each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from zapdeploy.compile.graph import Graph, verify
from zapdeploy.errors import ModelError

Observer = Callable[[str, Graph], None]


class Pass(Protocol):
    """A pure function from graph to graph; the fields of its dataclass are its options."""

    def __call__(self, graph: Graph) -> Graph: ...


def pass_name(step: Pass) -> str:
    """The name under which a pass is printed: FoldConstants is fold_constants."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(step).__name__).lower()


def run_passes(graph: Graph, passes: Sequence[Pass], observe: Observer | None = None) -> Graph:
    """The graph after all passes.

    `observe` is called with a name and the graph, before the first pass (as "imported") and after
    each. A graph that is not sound after a pass is an error that names it and those before.
    """
    if observe is not None:
        observe("imported", graph)
    done: list[str] = []
    for step in passes:
        name = pass_name(step)
        graph = step(graph)
        done.append(name)
        try:
            verify(graph)
        except ModelError as error:
            raise ModelError(f"{error} (after {', '.join(done)})") from error
        if observe is not None:
            observe(name, graph)
    return graph
