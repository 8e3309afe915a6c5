from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.onnx_files import NARROW, OnnxFile
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.frontend.tensors import array_of, unpack
from zapdeploy.compile.graph import ElementType
from zapdeploy.errors import ModelError


@given(
    st.sampled_from(sorted(NARROW)), st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data()
)
def test_packed_integers(name: str, dimensions: list[int], data: st.DataObject) -> None:
    """As onnx packs them, for any number of elements."""
    kind, bits = name.rstrip("24"), int(name[-1])
    low, high = ElementType(kind, bits).limits
    count = len(dimensions)
    values = data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
    proto = helper.make_tensor("t", NARROW[name], [count], values)
    array, element = array_of(ir.serde.deserialize_tensor(proto), "tensor 't'")
    assert element == ElementType(kind, bits)
    assert array.dtype == np.dtype(f"{kind}8")
    assert array.tolist() == values
    assert not array.flags.writeable


def test_damaged_packed_tensor() -> None:
    with pytest.raises(ModelError) as caught:
        unpack(np.zeros(3, np.uint8), ElementType("int", 4), (7,))
    assert str(caught.value) == (
        "a packed tensor of shape [7] must have 4 bytes, not 3; the file is damaged"
    )


@pytest.mark.parametrize("element", ["int8", "int4"])
def test_big_weights_are_held_once(tmp_path: Path, element: str) -> None:
    """A transposed matrix of 16 Mi weights: one array of bytes, never float32 (that would be 4)."""
    size = 4096
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (1, size), Kind(8, True, 0.5))
    data = bytes(size * size * int(element[-1]) // 8)
    tensor = helper.make_tensor("w", NARROW.get(element, 3), [size, size], data, raw=True)
    file.initializers.append(tensor)
    scales = [file.constant(np.float32(1)), file.constant(np.int8(0), element=element)]
    weights = file.node("DequantizeLinear", ["w", *scales])
    bias = file.constant(np.zeros(size, np.float32))
    real = file.node("Gemm", [x.name, weights, bias], transB=1)
    file.output(writer.activation(real, Kind(8, True, 0.5)).name)
    path = file.save(tmp_path / "model.onnx")
    import_model(path)
    tracemalloc.start()
    imported = import_model(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The file while it is parsed, or a copy of its bytes and the weights from them.
    assert peak < 2.2 * size * size
    (product,) = (imported.graph.call(n) for n in imported.graph.nodes if n.op == "MatMul")
    assert product.input(1).stored_bytes == size * size * int(element[-1]) // 8
