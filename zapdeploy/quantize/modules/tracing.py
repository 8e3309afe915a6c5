"""From a torch module to a plain graph of layers: traced, BatchNorm folded, ranges equalized."""

from __future__ import annotations

import copy
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from brevitas.graph.equalize import EqualizeGraph  # type: ignore[import-untyped]
from brevitas.graph.standardize import (  # type: ignore[import-untyped]
    DuplicateSharedStatelessModule,
)
from torch import Tensor, fx, nn
from torch.nn import functional

from zapdeploy.errors import ModelError

RELUS: frozenset[Any] = frozenset({functional.relu, torch.relu, torch.relu_, "relu", "relu_"})
EQUALIZE_ITERATIONS = 20
SAME_FUNCTION = 1e-3  # largest relative deviation that rewriting may leave in float32


def trace(module: nn.Module) -> fx.GraphModule:
    """The module's graph, in evaluation mode; the module itself is left as it was.

    Raises ModelError naming the line of the first thing that cannot be traced.
    """
    module = copy.deepcopy(module).eval()
    try:
        graph = fx.symbolic_trace(module)
    except Exception as error:  # tracing runs the user's own code, which may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"module must be traceable by torch.fx, not refused: {reason} "
            f"({_users_line(error)}); write it without control flow over tensors, "
            "or take that part out of the module"
        ) from error
    return graph.eval()


def _users_line(error: Exception) -> str:
    """File and line of the deepest frame that belongs to the user."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__)), "<eval_with_key>")
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)
    ]
    if not frames:
        return "in the module's forward"
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}"


def simplify(graph: fx.GraphModule) -> fx.GraphModule:
    """Functions become modules, shared stateless modules are copied, BatchNorm is folded."""
    _name_functions(graph)
    _pool_means(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = DuplicateSharedStatelessModule().apply(graph)
    _fold_batchnorm(graph)
    _drop_without_effect(graph)
    return graph.eval()


def _name_functions(graph: fx.GraphModule) -> None:
    """Activations written as functions or methods become modules, which are easier to move."""
    for index, node in enumerate(list(graph.graph.nodes)):
        if node.op not in ("call_function", "call_method") or node.target not in RELUS:
            continue
        name = f"relu_module_{index}"
        graph.add_submodule(name, nn.ReLU())
        with graph.graph.inserting_after(node):
            made = graph.graph.call_module(
                name, (node.args[0] if node.args else node.kwargs["input"],)
            )
        node.replace_all_uses_with(made)
        graph.graph.erase_node(node)
    graph.recompile()


def _pool_means(graph: fx.GraphModule) -> None:
    """A mean over height and width becomes global average pooling, which has an integer form."""
    for index, node in enumerate(list(graph.graph.nodes)):
        is_mean = (node.op, node.target) in (("call_method", "mean"), ("call_function", torch.mean))
        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        if (
            not is_mean
            or axes is None
            or tuple(axes if not isinstance(axes, int) else ())
            not in (
                (2, 3),
                (-2, -1),
            )
        ):
            continue
        name = f"global_pool_{index}"
        graph.add_submodule(name, nn.AdaptiveAvgPool2d(1))
        with graph.graph.inserting_after(node):
            pooled = graph.graph.call_module(name, (node.args[0],))
        result = pooled
        if not node.kwargs.get("keepdim", False):
            with graph.graph.inserting_after(pooled):
                result = graph.graph.call_function(torch.flatten, (pooled, 1))
        node.replace_all_uses_with(result)
        graph.graph.erase_node(node)
    graph.recompile()


def _fold_batchnorm(graph: fx.GraphModule) -> None:
    """Multiply BatchNorm's scale into the layer that alone it reads."""
    for node in list(graph.graph.nodes):
        if node.op != "call_module" or not isinstance(
            norm := graph.get_submodule(str(node.target)), nn.BatchNorm1d | nn.BatchNorm2d
        ):
            continue
        before = node.all_input_nodes[0]
        if before.op != "call_module" or len(before.users) > 1:
            continue
        layer = graph.get_submodule(str(before.target))
        if isinstance(layer, nn.Linear):
            fused: nn.Module = nn.utils.fuse_linear_bn_eval(layer, norm)
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            fused = nn.utils.fuse_conv_bn_eval(layer, norm)
        else:
            continue
        graph.add_submodule(str(before.target), fused)
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    graph.recompile()


def _drop_without_effect(graph: fx.GraphModule) -> None:
    """Remove Identity and Dropout, which do nothing in evaluation mode."""
    kinds = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and isinstance(graph.get_submodule(node.target), kinds):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.lint()
    graph.recompile()


def equalize(graph: fx.GraphModule, inputs: tuple[Tensor, ...]) -> tuple[fx.GraphModule, bool]:
    """Even out the weight ranges of neighbouring layers; returns the graph and whether it took.

    Where the rewritten graph computes something else (an operator between two layers that does not
    commute with scaling), the graph is returned as it was.
    """
    candidate = copy.deepcopy(graph)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidate = EqualizeGraph(
            iterations=EQUALIZE_ITERATIONS, merge_bias=True, scale_computation_type="maxabs"
        ).apply(candidate)
        before, after = _flat(graph(*inputs)), _flat(candidate(*inputs))
    deviation = float((before - after).abs().max() / before.abs().max().clamp_min(1e-30))
    if not deviation <= SAME_FUNCTION:
        return graph, False
    return candidate.eval(), True


def _flat(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    if isinstance(outputs, Tensor):
        return outputs.reshape(-1)
    return torch.cat([output.reshape(-1) for output in outputs])
