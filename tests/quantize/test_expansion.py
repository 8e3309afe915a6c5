"""ONNX's own Attention and RotaryEmbedding, quantized product by product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.quantize.networks import Floats, random_weights
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.check import check

TOKENS, WIDTH, HEADS = 6, 32, 4


def attention(path: Path) -> Path:
    """Rotary causal self-attention: float [1, 6, 32] -> [1, 6, 32]."""
    weights = random_weights({f"w{n}": (WIDTH, WIDTH) for n in "qkvo"})
    half = WIDTH // HEADS // 2
    angles = np.arange(TOKENS)[:, None] * 0.3 ** np.arange(half)
    weights |= {"cos": np.cos(angles)[None], "sin": np.sin(angles)[None]}
    heads = {"q_num_heads": HEADS, "kv_num_heads": HEADS}
    nodes = [helper.make_node("MatMul", ["input", f"w{n}"], [n], name=n) for n in "qkv"]
    nodes += [
        helper.make_node("RotaryEmbedding", [n, "cos", "sin"], [f"{n}r"], n + "r", num_heads=HEADS)
        for n in "qk"
    ]
    nodes += [
        helper.make_node("Attention", ["qr", "kr", "v"], ["a"], "attend", is_causal=1, **heads),
        helper.make_node("MatMul", ["a", "wo"], ["output"], name="o"),
    ]
    shapes = {"input": [1, TOKENS, WIDTH], "output": [1, TOKENS, WIDTH]}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in shapes.items()
    )
    tensors = [
        onnx.numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in weights.items()
    ]
    graph = helper.make_graph(nodes, "attention", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 23)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=11), path)
    return path


def samples(count: int, seed: int = 0) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    return {"input": rng.standard_normal((count, TOKENS, WIDTH), np.float32)}


@pytest.mark.parametrize(("bits", "form"), [(8, "qdq"), (8, "qoperator"), (4, "packed")])
def test_attention_becomes_integer_products(tmp_path: Path, bits: int, form: str) -> None:
    source, target = attention(tmp_path / "a.onnx"), tmp_path / "q.onnx"
    quantize_onnx(
        source,
        target,
        weights=bits,
        activations=bits,
        form=form,  # type: ignore[arg-type]
        calibration=samples(16),
    )
    graph = import_model(target).graph
    assert [node.op for node in graph.nodes].count("MatMul") == 6
    result = check(graph, target, samples(1, seed=1))
    assert result.passed, result.failures


def test_eight_bits_are_close_to_the_float_network(tmp_path: Path) -> None:
    source, target = attention(tmp_path / "a.onnx"), tmp_path / "q.onnx"
    quantize_onnx(source, target, calibration=samples(16))
    x = samples(1, seed=1)
    expected, found = (
        open_session(path, Purpose.INTEGER).run(None, x)[0] for path in (source, target)
    )
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_model_that_cannot_be_expanded(tmp_path: Path) -> None:
    model = onnx.load(attention(tmp_path / "a.onnx"))
    model.graph.node[5].input[0] = "absent"
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(ModelError) as caught:
        quantize_onnx(tmp_path / "a.onnx", tmp_path / "q.onnx", calibration=samples(2))
    assert str(caught.value).startswith("model must be one")
    assert not (tmp_path / "q.onnx").exists()
