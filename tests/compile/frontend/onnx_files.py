"""ONNX files for tests: written with onnx.helper, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zapdeploy.onnxruntime_sessions import Purpose, open_session

Array = NDArray[Any]
NARROW = {
    "int4": TensorProto.INT4,
    "uint4": TensorProto.UINT4,
    "int2": TensorProto.INT2,
    "uint2": TensorProto.UINT2,
}


@dataclass
class OnnxFile:
    """A model under construction."""

    opset: int = 21
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}_{len(self.nodes) + len(self.initializers)}"

    def input(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, data: Any, name: str = "", element: str = "") -> str:
        """An initializer; `element` is the ONNX name of a type below 8 bits."""
        name = name or self.fresh("const")
        array = np.asarray(data)
        if element in NARROW:
            flat = [int(v) for v in array.ravel()]
            tensor = helper.make_tensor(name, NARROW[element], array.shape, flat)
        else:
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
            tensor.dims[:] = array.shape
        self.initializers.append(tensor)
        return name

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        outputs = attributes.pop("outputs", None)
        outputs = outputs or [output or self.fresh(op.lower())]
        name = attributes.pop("name", f"{op}_of_{outputs[0]}")
        made = helper.make_node(op, list(inputs), outputs, name=name, **attributes)
        self.nodes.append(made)
        return outputs[0]

    def output(self, name: str, kind: int = TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, None))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.initializers)
        domains = {node.domain for node in self.nodes} - {""}
        imports = [helper.make_opsetid("", self.opset)]
        imports += [helper.make_opsetid(domain, 1) for domain in sorted(domains)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def save(self, path: Path) -> Path:
        path.write_bytes(self.model().SerializeToString())
        return path


WIDE = "_as_bytes"  # behind the names of tensors below 8 bits, which NumPy does not have


def reference(
    model: Path | onnx.ModelProto,
    inputs: Mapping[str, Array],
    keep: Sequence[str] = (),
    narrow: Mapping[str, int] | None = None,
) -> dict[str, Array]:
    """Outputs and the tensors named in `keep`, by ONNX Runtime without optimizations.

    `narrow` names more tensors, of less than a byte, and the ONNX type to return them in.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(onnx.load(model) if isinstance(model, Path) else model)
    for name, kind in (narrow or {}).items():
        proto.graph.node.append(helper.make_node("Cast", [name], [name + WIDE], to=kind))
    wanted = [*keep, *(name + WIDE for name in narrow or {})]
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted if n not in known)
    session = open_session(proto, Purpose.PLAIN, threads=1)
    names = [output.name for output in session.get_outputs()]
    results = session.run(names, dict(inputs))
    return {n.removesuffix(WIDE): r for n, r in zip(names, results, strict=True)}
