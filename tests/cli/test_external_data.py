"""Models with weights in files of their own: which files were compiled, and which are checked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Call
from zapdeploy.simplify import network_digest

WEIGHTS = "weights.bin"


@pytest.fixture
def external(model: Path) -> Path:
    """The perceptron with every tensor outside the model."""
    loaded = onnx.load(model)
    onnx.save(loaded, model, save_as_external_data=True, location=WEIGHTS, size_threshold=0)
    return model


def test_check_takes_the_files_that_were_compiled(zapdeploy: Call, external: Path) -> None:
    assert zapdeploy("compile", external).status == 0
    called = zapdeploy("simulate", external.with_suffix(".zap"), "--check")
    assert (called.status, called.err) == (0, "")
    assert "agrees with onnxruntime integer kernels" in called.out


def test_check_refuses_other_weights(zapdeploy: Call, external: Path) -> None:
    """Same model, one bit of its weights changed; the advice works."""
    assert zapdeploy("compile", external).status == 0
    weights = external.with_name(WEIGHTS)
    content = bytearray(weights.read_bytes())
    held = onnx.load(external, load_external_data=False).graph.initializer
    largest = max(held, key=lambda tensor: int(np.prod(tensor.dims)))
    where = {entry.key: entry.value for entry in largest.external_data}
    content[int(where["offset"])] ^= 1
    weights.write_bytes(content)
    called = zapdeploy("simulate", external.with_suffix(".zap"), "--check")
    assert called.status == 2
    assert called.err.strip() == (
        f"zapdeploy: '{external}' must be the file that was compiled, its external data included; "
        "compile it again"
    )
    assert zapdeploy("compile", external).status == 0
    assert zapdeploy("simulate", external.with_suffix(".zap"), "--check").status == 0


def test_the_folder_does_not_matter(external: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in (external.name, WEIGHTS):
        shutil.copy(external.with_name(name), tmp_path / "elsewhere" / name)
    assert network_digest(tmp_path / "elsewhere" / external.name) == network_digest(external)


@pytest.mark.parametrize("location", ["../secret", "/dev/zero", "missing", "pipe", "a\0b", "."])
def test_only_files_in_the_folder_are_read(external: Path, location: str) -> None:
    """A pipe would wait for ever, /dev/zero has no end; neither is read."""
    os.mkfifo(external.with_name("pipe"))
    (external.parent.parent / "secret").write_bytes(b"1")
    loaded = onnx.load(external, load_external_data=False)
    for tensor in loaded.graph.initializer:
        tensor.external_data[0].value = location
    external.write_bytes(loaded.SerializeToString())
    before = network_digest(external)
    (external.parent.parent / "secret").write_bytes(b"2")
    assert network_digest(external) == before


def test_a_constant_output(zapdeploy: Call, model: Path) -> None:
    """No core holds it, and every check knows it."""
    loaded = onnx.load(model)
    constant = onnx.numpy_helper.from_array(
        onnx.numpy_helper.to_array(loaded.graph.initializer[0]).reshape(-1).astype("float32"),
        "constant",
    )
    loaded.graph.initializer.append(constant)
    loaded.graph.output.append(
        onnx.helper.make_tensor_value_info("constant", onnx.TensorProto.FLOAT, constant.dims)
    )
    onnx.save(loaded, model)
    assert zapdeploy("compile", model).status == 0
    zap = model.with_suffix(".zap")
    called = zapdeploy("simulate", zap, "--check")
    assert (called.status, called.err) == (0, "")
    assert zapdeploy("simulate", zap, "--level", "timing").status == 0
