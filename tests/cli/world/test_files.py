"""Each file is taken through all commands: it runs and agrees with its reference, or is refused for
a reason that is written down here; where the refusal says what to do, that is done, and works."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Call
from tests.cli.world.writing import all_files

FILES = all_files()
REFUSED = {
    "activation_scale_zero": "scale must be positive and finite, not 0",  # 1/0 at every element
    "nonzero_refused": "operator NonZero is not supported",  # a result of unknown length
    "nms_refused": "operator NonMaxSuppression is not supported",  # likewise
    "unrolled_too_long": "give a shorter sequence with --shape",  # a node for each step
    "unsupported_many": "operator Hardmax is not supported",
}
# Refused by compile; quantize, which the message names, makes a file that runs.
QUANTIZED_ANEW = {
    "matmul_scale_per_input": "run: zapdeploy quantize",
    "gemm_scale_axis1_transb": "run: zapdeploy quantize",
    "int4_blocked_conv1x1": "run: zapdeploy quantize",
    "dq_weight_only_conv": "run: zapdeploy quantize",
    "int16_activations": "zapdeploy quantize gives them 8",
}
AS_THEY_ARE = ("moves_tile_expand",)  # in float; nothing of them is quantized
SLOW = ("unrolled_too_long", "lstm_peephole", "loop_fixed", "kv_cache", "state_two", "norm_zoo")
CODES = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


def _parameters() -> list[object]:
    return [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in sorted(FILES)]


@pytest.mark.parametrize("name", _parameters())
def test_a_file(name: str, zapdeploy: Call, tmp_path: Path) -> None:
    model = FILES[name](tmp_path)
    if name in REFUSED:
        refused = zapdeploy("compile", model)
        assert refused.status == 2
        assert REFUSED[name] in refused.err or "must be quantized" in refused.err
        checked = zapdeploy("check", model)
        assert checked.status in (1, 2)
        assert REFUSED[name] in " ".join((checked.out + checked.err).split())
        return
    checked = zapdeploy("check", model)
    if name in QUANTIZED_ANEW:
        refused = zapdeploy("compile", model)
        assert refused.status == 2
        assert QUANTIZED_ANEW[name] in refused.err
    else:
        assert checked.status == 0, checked.out + checked.err
    if name in QUANTIZED_ANEW or not (_is_quantized(model) or name in AS_THEY_ARE):
        made = tmp_path / "quantized.onnx"
        done = zapdeploy("quantize", model, "-o", made)
        assert done.status == 0, done.err
        model = made
    program = tmp_path / "program.zap"
    compiled = zapdeploy("compile", model, "-o", program)
    assert compiled.status == 0, compiled.err
    beside = tmp_path / f"{name}.npz"
    given = ["--inputs", beside] if beside.is_file() else []
    found = zapdeploy("simulate", program, "--check", "--reference", model, *given)
    assert found.status == 0, found.out + found.err


def _is_quantized(path: Path) -> bool:
    return any(node.op_type in CODES for node in onnx.load(path).graph.node)
