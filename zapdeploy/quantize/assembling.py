"""A plan as an ONNX model of its own."""

from __future__ import annotations

import onnx

from zapdeploy.quantize.form_qdq import write_qdq
from zapdeploy.quantize.form_qoperator import MICROSOFT, write_qoperator
from zapdeploy.quantize.plan import Plan
from zapdeploy.quantize.recipe import Form
from zapdeploy.quantize.source import standard_opset

# The oldest file format version that may carry each opset.
_IR_VERSIONS = ((25, 12), (21, 10), (0, 8))


def assemble(plan: Plan, form: Form, *, real_weights: bool = False) -> onnx.ModelProto:
    """The quantized model in that form; real_weights as for `write_qdq`."""
    if form == "qoperator":
        parts = write_qoperator(plan)
    else:
        parts = write_qdq(plan, form, real_weights=real_weights)
    source = plan.network.model
    opset = standard_opset(source)
    model = onnx.ModelProto(producer_name="zapdeploy")
    model.ir_version = next(ir for oldest, ir in _IR_VERSIONS if opset >= oldest)
    used = {node.domain for node in parts.nodes} - {"", "ai.onnx"}
    model.opset_import.add(domain="", version=opset)
    for entry in source.opset_import:
        if entry.domain in used - {MICROSOFT}:
            model.opset_import.add(domain=entry.domain, version=entry.version)
    if MICROSOFT in used:
        model.opset_import.add(domain=MICROSOFT, version=1)
    model.metadata_props.extend(source.metadata_props)
    model.graph.name = source.graph.name or "network"
    model.graph.node.extend(parts.nodes)
    model.graph.input.extend(v for v in source.graph.input if v.name in plan.network.input_names)
    model.graph.output.extend(source.graph.output)
    model.graph.initializer.extend(parts.initializers)
    return model
