"""Tensors of an ONNX file as arrays: types, and integers of less than a byte."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zapdeploy import small_integers
from zapdeploy.compile.graph import BOOL, FLOAT32, INT32, INT64, Array, ElementType, Shape, frozen
from zapdeploy.errors import ModelError
from zapdeploy.small_integers import packed_bytes

_ELEMENTS: dict[ir.DataType, ElementType] = {
    ir.DataType.FLOAT: FLOAT32,
    ir.DataType.INT32: INT32,
    ir.DataType.INT64: INT64,
    ir.DataType.BOOL: BOOL,
    **{
        ir.DataType[f"{kind.upper()}{bits}"]: ElementType(kind, bits)
        for kind in ("int", "uint")
        for bits in (2, 4, 8, 16)
    },
}


def element_type(dtype: ir.DataType, where: str) -> ElementType:
    """The element type; `where` names the tensor in the error for a type that is not supported."""
    found = _ELEMENTS.get(dtype)
    if found is not None:
        return found
    if dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE):
        raise ModelError(
            f"{where} must be float32, not {dtype.name.lower()}; "
            "export the model in float32 before it is quantized"
        )
    raise ModelError(
        f"{where} must hold numbers of a supported type (float32, int2 to int16, uint2 to uint16, "
        f"int32, int64, bool), not {dtype.name.lower()}; change it before the export"
    )


def array_of(tensor: ir.TensorProtocol, where: str) -> tuple[Array, ElementType]:
    """A read-only array [*shape]; integers below 8 bits come one to a byte, sign-extended."""
    element = element_type(tensor.dtype, where)
    shape = tuple(int(d) for d in tensor.shape.numpy())
    try:
        if element.bits >= 8:
            return frozen(np.asarray(tensor.numpy()).reshape(shape)), element
        packed = np.frombuffer(tensor.tobytes(), np.uint8)
    except (ValueError, TypeError, OverflowError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{where} must hold the data of its shape {list(shape)}: {reason}; the file is damaged"
        ) from error
    return frozen(unpack(packed, element, shape)), element


def unpack(packed: Array, element: ElementType, shape: Shape) -> Array:
    """Integers of 2 or 4 bits from bytes (the first in the lowest bits)."""
    count = int(np.prod(shape, dtype=np.int64))
    wanted = packed_bytes(count, element.bits)
    if packed.size != wanted:
        raise ModelError(
            f"a packed tensor of shape {list(shape)} must have {wanted} bytes, "
            f"not {packed.size}; the file is damaged"
        )
    found = small_integers.unpack(packed, element.bits, signed=element.kind == "int", count=count)
    return np.asarray(found).reshape(shape)
