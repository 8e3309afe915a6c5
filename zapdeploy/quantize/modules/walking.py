"""Running a graph one node at a time, so that a layer can change while values wait before it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

Values = dict[fx.Node, Any]  # what was computed and is still to be read


class Walk(fx.Interpreter):
    """Runs the nodes of `order` one by one; each value is forgotten after its last reader."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.order: tuple[fx.Node, ...] = tuple(graph.graph.nodes)

    def start(self, batch: tuple[Tensor, ...]) -> Values:
        """The values before the first node: the inputs."""
        inputs = [node for node in self.order if node.op == "placeholder"]
        return dict(zip(inputs, batch, strict=True))

    def step(self, node: fx.Node, values: Values) -> None:
        """Run one node, whose inputs lie in `values`; its result goes there too."""
        self.env = values
        if node not in values:  # as the inputs are
            values[node] = self.run_node(node)
        for read in self.user_to_last_uses.get(node, ()):
            del values[read]

    def finish(self, index: int, values: Values) -> Any:
        """What the graph returns from here: node `index` is the next; `values` stay as they are."""
        values = dict(values)
        for node in self.order[index:]:
            self.step(node, values)
        return values[self.order[-1]]
