"""Small files rebuilt from public reports and from what trained networks brought: each runs and
agrees with its reference, or is refused for a reason that is written down here.

The files come from `shared/cases` beside the project; without it these tests are skipped.
"""

from __future__ import annotations

import runpy
import sys
from functools import cache
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Call

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not beside the project")

# Why a file is refused, and what the one line says.
REFUSED = {
    "11_missing_axis_attribute": "scales along axis 1 must be as many as its length",  # wrong file
    "74_bias_at_int32_limit": "accumulators must stay within int32",  # one could overflow
}
# In a file that has some quantizers, products are in float: quantize does the rest.
TO_QUANTIZE = ("20_weights_folded_to_float",)
# Refused by compile, whose advice is followed: quantize gives other scales, and fewer bits.
QUANTIZED_ANEW = {
    "09_convtranspose_axis0": "must have one scale or one per output channel",  # summed over
    "10_conv_weight_axis1_square": "must have one scale or one per output channel",  # summed over
    "36_uint16_activations": "matrix operands must have at most 8 bits",  # the chip's widest
}
SHAPES = {"open_hw": ["--shape", "x=1,3,8,8"]}
QUICK = (
    *("16_int4_blocked", "17_qonnx_trunc_new", "20_weights_folded_to_float", "31_pad_reflect"),
    *("24_clip_bounds_dequantized", "36_uint16_activations", "43_lstm_between_qdq"),
    *("44_matmulnbits", "59_unbatched_window", "60_gather_then_dequantize"),
    *("73_dead_branch_and_unused_input", "77_fused_by_runtime", "84_mask_and_scalar_inputs"),
    *("85_unused_input_constant_output", "89_float_token_ids"),
)
BUGS = sorted(path.stem for path in CASES.glob("bugs/*.py"))
PATTERNS = (
    *("lstm", "gru", "if_constant", "pad_reflect", "int8_embedding", "int_input", "opset11"),
    *("open_hw", "cast_weight", "gather_nd", "is_nan", "floor", "scalar_input", "relu6_chain"),
    *("state_batch_second", "matmul_residual", "matmul_residual_mixed", "maxpool_chain"),
)
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "Quant", "DynamicQuantizeLinear")


def _parameters() -> list[object]:
    slow = pytest.mark.slow
    bugs = [pytest.param(name, marks=[] if name in QUICK else slow) for name in BUGS]
    few = ("gru", "if_constant", "state_batch_second", "int8_embedding")
    return bugs + [pytest.param(name, marks=[] if name in few else slow) for name in PATTERNS]


@cache
def _patterns(folder: Path) -> Path:
    _write(CASES / "networks" / "make.py", folder)
    return folder


def _write(script: Path, folder: Path) -> None:
    arguments, sys.argv = sys.argv, [str(script), str(folder)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = arguments


def _file(name: str, folder: Path, patterns: Path) -> Path:
    script = CASES / "bugs" / f"{name}.py"
    if not script.is_file():
        return _patterns(patterns) / f"{name}.onnx"
    _write(script, folder)
    return folder / f"{name}.onnx"


def _is_quantized(path: Path) -> bool:
    nodes = onnx.load(path, load_external_data=False).graph.node
    return any(n.op_type in _QUANTIZED or n.op_type.startswith("QLinear") for n in nodes) or any(
        n.op_type in ("MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul") for n in nodes
    )


@pytest.fixture(scope="session")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patterns")


@pytest.mark.parametrize("name", _parameters())
def test_a_file(name: str, zapdeploy: Call, tmp_path: Path, patterns: Path) -> None:
    model = _file(name, tmp_path, patterns)
    options = SHAPES.get(name, [])
    if name in REFUSED:
        refused = zapdeploy("compile", model)
        assert refused.status == 2
        assert REFUSED[name] in refused.err
        checked = zapdeploy("check", model)
        assert checked.status in (1, 2)
        assert REFUSED[name] in " ".join((checked.out + checked.err).split())
        return
    if name in QUANTIZED_ANEW:
        refused = zapdeploy("compile", model)
        assert refused.status == 2
        assert QUANTIZED_ANEW[name] in refused.err
        assert "zapdeploy quantize" in refused.err
    else:
        checked = zapdeploy("check", model, *options)
        assert checked.status == 0, checked.out + checked.err
    if name in (*TO_QUANTIZE, *QUANTIZED_ANEW) or not _is_quantized(model):
        made = tmp_path / "quantized.onnx"
        done = zapdeploy("quantize", model, "-o", made, *options)
        assert done.status == 0, done.err
        model, options = made, []
    program = tmp_path / "program.zap"
    compiled = zapdeploy("compile", model, "-o", program, *options)
    assert compiled.status == 0, compiled.err
    inputs = (tmp_path / f"{name}.npz") if (tmp_path / f"{name}.npz").is_file() else None
    given = [] if inputs is None else ["--inputs", inputs]
    found = zapdeploy("simulate", program, "--check", "--reference", model, *given)
    assert found.status == 0, found.out + found.err
