"""From a quantized graph to ONNX: QCDQ as Brevitas writes it, or real INT4 and INT2 tensors."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
from brevitas.export import export_onnx_qcdq  # type: ignore[import-untyped]
from torch import Tensor, fx

from zapdeploy.errors import ModelError
from zapdeploy.exporter import quiet_exporter
from zapdeploy.quantize.modules.packing import pack, tidy
from zapdeploy.quantize.modules.samples import argument_names

if TYPE_CHECKING:
    from zapdeploy.quantize.recipe import Form

OPSET = 17


def export(graph: fx.GraphModule, example: tuple[Tensor, ...], form: Form) -> onnx.ModelProto:
    """The graph as a model of static shape: that of `example`, named as the arguments are.

    form "qcdq": low bits in 8-bit tensors behind a Clip (opset 17). "packed": weights in
    INT4 and INT2 tensors (opset 21, and 25 where one has 2 bits), activations as in "qcdq".
    """
    names = argument_names(graph)
    layers = tuple(str(node.target) for node in layer_nodes(graph))
    with quiet_exporter(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exported.onnx")
        try:
            export_onnx_qcdq(
                copy.deepcopy(graph).eval(),
                args=example,
                export_path=str(path),
                dynamo=False,
                input_names=list(names),
                output_names=_output_names(graph),
                opset_version=OPSET,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(
                f"module must be exportable to ONNX, not refused: {reason}; "
                "replace that operator or take it out of the module"
            ) from error
        model = tidy(onnx.load(path), names, layers)
    return pack(model) if form == "packed" else model


def export_file(graph: fx.GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
    """Write the graph to a file with packed tensors."""
    onnx.save(export(graph, example, "packed"), path)


def layer_nodes(graph: fx.GraphModule) -> tuple[fx.Node, ...]:
    """The calls of quantized layers, in topological order."""
    return tuple(
        node
        for node in graph.graph.nodes
        if node.op == "call_module" and hasattr(graph.get_submodule(str(node.target)), "bias_quant")
    )


def _output_names(graph: fx.GraphModule) -> list[str]:
    last = next(node for node in graph.graph.nodes if node.op == "output")
    returned = last.args[0]
    if isinstance(returned, fx.Node):
        return ["output"]
    return [f"output_{index}" for index in range(len(last.all_input_nodes))]
