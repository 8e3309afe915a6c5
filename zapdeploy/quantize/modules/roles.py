"""What becomes of each node of a traced graph, and which of its values are integers."""

from __future__ import annotations

import operator
from enum import Enum
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from zapdeploy.errors import ModelError

MATRIX = (nn.Conv1d, nn.Conv2d, nn.Linear)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
PASSING_MODULES = (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten)
PASSING_FUNCTIONS: frozenset[Any] = frozenset(
    {
        torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze,
        torch.unsqueeze, functional.max_pool1d, functional.max_pool2d, torch.max_pool1d,
        torch.max_pool2d, operator.getitem,
    }
)  # fmt: skip
PASSING_METHODS = frozenset(
    {"flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous"}
)
ADDITIONS: frozenset[Any] = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
CONCATENATIONS: frozenset[Any] = frozenset({torch.cat, torch.concat, torch.concatenate})
POOLING_FUNCTIONS: frozenset[Any] = frozenset(
    {functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.avg_pool2d}
)
POOLING = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AvgPool1d, nn.AvgPool2d)


class Role(Enum):
    """What quantization makes of a node."""

    MATRIX = "matrix"  # integer multiply-accumulate
    ACTIVATION = "activation"  # a clamp that the quantizer behind the layer before it absorbs
    PASSING = "passing"  # moves or selects values, which keep their scale
    ADDITION = "addition"  # reads codes of one scale
    CONCATENATION = "concatenation"  # reads and writes codes of one scale
    POOLING = "pooling"  # reads codes, writes codes of another scale
    FLOAT = "float"  # everything else stays in floating point


class Roles:
    """Roles and carried values of a simplified graph.

    `carried`: nodes whose values are codes. A value between a layer and the activation that it
    absorbs is not.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.nodes: tuple[fx.Node, ...] = tuple(graph.graph.nodes)
        self.layers = tuple(node for node in self.nodes if self.kind(node) is Role.MATRIX)
        if not self.layers:
            raise ModelError(
                "module must have a Conv1d, Conv2d or Linear, not none; there is nothing to "
                "quantize"
            )

    def kind(self, node: fx.Node) -> Role:
        """The role that the node's operator allows."""
        if node.op == "call_module":
            return self._kind_of_module(self.graph.get_submodule(str(node.target)))
        if node.op == "call_function" and node.target in CONCATENATIONS:
            return Role.CONCATENATION
        if node.op in ("call_function", "call_method"):
            if node.target in ADDITIONS:
                both = len(node.all_input_nodes) == 2 and node.kwargs.get("alpha", 1) == 1
                return Role.ADDITION if both else Role.FLOAT
            if node.target in POOLING_FUNCTIONS:
                return Role.POOLING
            if node.target in PASSING_FUNCTIONS or node.target in PASSING_METHODS:
                return Role.PASSING
        return Role.FLOAT

    @staticmethod
    def _kind_of_module(module: nn.Module) -> Role:
        for kinds, role in (
            (MATRIX, Role.MATRIX),
            (ACTIVATIONS, Role.ACTIVATION),
            (PASSING_MODULES, Role.PASSING),
            (POOLING, Role.POOLING),
        ):
            if isinstance(module, kinds):
                return role
        return Role.FLOAT

    def result(self, node: fx.Node) -> fx.Node:
        """The value that a layer or addition hands on: its own, or its activation's."""
        users = tuple(node.users)
        if len(users) == 1 and self.kind(users[0]) is Role.ACTIVATION:
            return users[0]
        return node

    def absorbed(self, node: fx.Node) -> bool:
        """Whether an activation belongs to the layer or addition before it."""
        if self.kind(node) is not Role.ACTIVATION:
            return False
        before = node.all_input_nodes[0]
        return self.kind(before) in (Role.MATRIX, Role.ADDITION) and self.result(before) is node

    @cached_property
    def carried(self) -> frozenset[fx.Node]:
        """What layers read and write, spread through the operators between them."""
        found = {layer.all_input_nodes[0] for layer in self.layers}
        found |= {self.result(layer) for layer in self.layers}
        while True:
            before = len(found)
            for node in self.nodes:
                self._spread(node, found)
            if len(found) == before:
                return frozenset(found)

    def _spread(self, node: fx.Node, found: set[fx.Node]) -> None:
        role, inputs = self.kind(node), node.all_input_nodes
        if role is Role.PASSING and found & {node, inputs[0]}:
            found |= {node, inputs[0]}
        elif role in (Role.ADDITION, Role.POOLING, Role.CONCATENATION, Role.ACTIVATION):
            if role is Role.ACTIVATION and self.absorbed(node):
                return
            if all(source in found for source in inputs):
                found.add(self.result(node) if role is Role.ADDITION else node)

    def root(self, node: fx.Node) -> fx.Node:
        """Where the codes of a carried value were made."""
        while self.kind(node) in (Role.PASSING, Role.CONCATENATION) and node in self.carried:
            node = node.all_input_nodes[0]
        return node

    @cached_property
    def edges(self) -> frozenset[fx.Node]:
        """Layers that no other layer comes before, or after."""
        before: set[fx.Node] = set()
        after: set[fx.Node] = set()
        for node in self.nodes:
            if any(n in before or n in self.layers for n in node.all_input_nodes):
                before.add(node)
        for node in reversed(self.nodes):
            if any(user in after or user in self.layers for user in node.users):
                after.add(node)
        return frozenset(n for n in self.layers if n not in before or n not in after)
