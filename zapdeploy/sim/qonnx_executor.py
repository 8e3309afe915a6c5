"""The judge of QONNX files: the executor of the `qonnx` package, node by node in float32.

ONNX Runtime knows no operator of QONNX. The package loads an operator's class from the module that
its domain names, so only the domains and operators of QONNX itself are handed to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zapdeploy.compile.graph import Array, Value
from zapdeploy.errors import ModelError
from zapdeploy.extras import load

if TYPE_CHECKING:
    import onnx

KIND = "the qonnx package's executor"
_CODES = ("_codes", "_quantized")  # what the importer adds to the name of a tensor for its codes
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_DOMAIN = QONNX[0]
_OPERATORS = ("Quant", "IntQuant", "BipolarQuant", "Trunc")


@dataclass(frozen=True)
class Given:
    """An input as ONNX Runtime describes it; open dimensions are None."""

    name: str
    type: str
    shape: tuple[int | None, ...]


def is_qonnx(model: onnx.ModelProto) -> bool:
    """Whether the file has operators of QONNX."""
    return any(node.domain in QONNX for node in model.graph.node)


class QonnxExecutor:
    """The executor with the two methods of an ONNX Runtime session that a reference needs."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        from onnx.external_data_helper import load_external_data_for_model

        load_external_data_for_model(model, str(folder))
        _own_domain(model)
        self._model = model
        self._kinds = {name: node.op_type for node in model.graph.node for name in node.output}

    def get_inputs(self) -> list[Given]:
        """The network's inputs, without its weights."""
        from onnx import TensorProto

        held = {tensor.name for tensor in self._model.graph.initializer}
        kinds = {TensorProto.DOUBLE: "tensor(double)", TensorProto.FLOAT16: "tensor(float16)"}
        return [
            Given(
                value.name,
                kinds.get(value.type.tensor_type.elem_type, ""),
                tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim),
            )
            for value in self._model.graph.input
            if value.name not in held
        ]

    def run(self, names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """Tensors by their names in the file. Raises ModelError where the executor fails."""
        execution = load("qonnx.core.onnx_exec", "qonnx", "check a QONNX file")
        wrapper = load("qonnx.core.modelwrapper", "qonnx", "check a QONNX file").ModelWrapper
        shapes = load("qonnx.transformation.infer_shapes", "qonnx", "check a QONNX file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that inference leaves open
            try:
                model = wrapper(_shaped(self._model, inputs)).transform(shapes.InferShapes())
                found = execution.execute_onnx(model, dict(inputs), return_full_exec_context=True)
            except Exception as error:  # the package raises bare Exceptions
                reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
                raise ModelError(f"model must be one that {KIND} runs: {reason}") from None
        return [found[name] for name in names]

    def made(self, name: str, value: Value) -> str | None:
        """The tensor of the file that this value, or what its codes mean, is; None without one."""
        if name in self._kinds:
            return name
        bases = [name.removesuffix(ending) for ending in _CODES]
        found = (base for base in bases if value.quantization is not None and base in self._kinds)
        return next(found, None)

    def kernel(self, name: str) -> str:
        """The operator that makes a tensor of the file."""
        return self._kinds[name]


def codes(real: Array, value: Value) -> Array:
    """The integers that a quantized value has for these numbers; of any other value, these."""
    q = value.quantization
    if q is None:
        return real
    scale, zero_point = (q.along(which, real.ndim) for which in (q.scale, q.zero_point))
    whole = np.rint(real.astype(np.float64) / scale) + zero_point
    return np.clip(whole, q.low, q.high).astype(value.element.numpy)


def _own_domain(model: onnx.ModelProto) -> None:
    """Every operator of QONNX under the one name that the package has for it, in place."""
    version = 1
    for node in model.graph.node:
        if node.domain in QONNX and node.op_type in _OPERATORS:
            node.domain = _DOMAIN
            if node.op_type == "Trunc" and len(node.input) > 5:
                version = 2  # with the scale of its result
        elif node.domain not in ("", "ai.onnx"):
            raise ModelError(
                f"operators beside ONNX's own must be of QONNX ({', '.join(_OPERATORS)}), not "
                f"{node.op_type} of '{node.domain}' (node '{node.name}'); simulate without --check"
            )
    kept = [one for one in model.opset_import if one.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.opset_import.add(domain=_DOMAIN, version=version)


def _shaped(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> onnx.ModelProto:
    """A copy whose inputs have the shapes of these; every other shape is to be inferred anew."""
    copied: Any = type(model)()
    copied.CopyFrom(model)
    del copied.graph.value_info[:]
    for value in copied.graph.input:
        if value.name in inputs:
            dimensions = value.type.tensor_type.shape
            del dimensions.dim[:]
            for size in inputs[value.name].shape:
                dimensions.dim.add(dim_value=size)
    for value in copied.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copied
