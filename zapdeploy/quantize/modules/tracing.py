"""From a torch module to a plain graph of layers: traced, BatchNorm folded, ranges equalized."""

from __future__ import annotations

import copy
import traceback
import warnings
from pathlib import Path

import torch
from brevitas.graph.equalize import EqualizeGraph  # type: ignore[import-untyped]
from brevitas.graph.fixed_point import MergeBatchNorm  # type: ignore[import-untyped]
from brevitas.graph.standardize import (  # type: ignore[import-untyped]
    DuplicateSharedStatelessModule,
    MeanMethodToAdaptiveAvgPool2d,
    TorchFunctionalToModule,
)
from torch import Tensor, fx, nn

from zapdeploy.errors import ModelError

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in (
            TorchFunctionalToModule(),
            DuplicateSharedStatelessModule(),
            MeanMethodToAdaptiveAvgPool2d(),
            MergeBatchNorm(),
        ):
            graph = step.apply(graph)
    _drop_without_effect(graph)
    return graph.eval()


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
