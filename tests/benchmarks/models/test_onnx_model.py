"""Facts of ONNX files, and the same file at another batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.benchmarks.examples import write_network
from zapdeploy.benchmarks.models.onnx_model import at_batch, model_facts
from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import Form, quantize_onnx


def test_facts_of_a_float_file(tmp_path: Path) -> None:
    """Weights: (8 x 16 + 16 + 16 x 4 + 4) floats."""
    facts = model_facts(write_network(tmp_path / "net.onnx"))
    assert (facts.precision, facts.activations, facts.batch) == ("fp32", "float", 1)
    assert (facts.input_elements, facts.output_elements) == (8, 4)
    assert facts.weight_bytes == 4 * (8 * 16 + 16 + 16 * 4 + 4)
    assert facts.transfer_bytes == 4 * 12


@pytest.mark.parametrize(
    ("bits", "form", "precision"),
    [(8, "qdq", "int8"), (8, "qoperator", "int8"), (4, "qcdq", "int4"), (4, "packed", "int4")],
)
def test_precision_of_a_quantized_file(
    tmp_path: Path, bits: int, form: Form, precision: str
) -> None:
    source, result = write_network(tmp_path / "net.onnx"), tmp_path / "quantized.onnx"
    quantize_onnx(
        source, result, weights=bits, activations=bits, form=form, keep_first_last=bits
    )  # fmt: skip
    facts = model_facts(result)
    assert (facts.precision, facts.activations) == (precision, "unsigned")


def test_open_batch_is_none(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)
    assert model_facts(path).batch is None


def test_other_batch_computes_the_same_frames(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx")
    frames = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    one = open_session(path, Purpose.INTEGER)
    many = open_session(at_batch(path, 8), Purpose.INTEGER)
    singly = np.concatenate([one.run(None, {"x": frame[None]})[0] for frame in frames])
    np.testing.assert_allclose(many.run(None, {"x": frames})[0], singly, rtol=1e-5, atol=1e-6)


def test_other_batch_leaves_quantization_alone(tmp_path: Path) -> None:
    source, path = write_network(tmp_path / "net.onnx"), tmp_path / "quantized.onnx"
    quantize_onnx(source, path)
    before, after = onnx.load(path), onnx.load_from_string(at_batch(path, 4))
    assert after.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4
    assert after.graph.output[0].type.tensor_type.shape.dim[0].dim_value == 4
    for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(old), numpy_helper.to_array(new))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model must be a file, not missing \(.*none.onnx\)"):
        model_facts(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x00broken")
    with pytest.raises(ModelError, match=r"model must be an ONNX file, not unreadable"):
        model_facts(broken)
    broken.write_bytes(b"")
    with pytest.raises(ModelError, match=r"model must have at least one node, not none"):
        model_facts(broken)
