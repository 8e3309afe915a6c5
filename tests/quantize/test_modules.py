"""Torch modules by every recipe: what is computed, what agrees, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

import torch
from torch import nn

from tests.quantize.modules import (
    Branching,
    perceptron,
    residual_network,
    samples,
    time_mixer,
)
from zapdeploy.commands.quantize_module import check_file
from zapdeploy.errors import DataError, ModelError, UsageError, ZapdeployError
from zapdeploy.quantize import (
    RECIPES,
    BitChoice,
    ModuleRecipe,
    build,
    find_recipe,
    prepare_module,
    quantize_module,
)
from zapdeploy.quantize.modules.sites import place

LEAST_DB = {"int8": 30, "w4a8": 22, "int4": 18, "w2a4": 6}
NETWORKS = {
    "residual": (residual_network, samples(32, 1, 8, 8)),
    "mixer": (time_mixer, samples(48, 4, 12)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("recipe", [recipe.name for recipe in RECIPES])
@pytest.mark.parametrize("form", ["qcdq", "packed"])
def test_torch_runtime_and_simulator_agree(
    tmp_path: Path, name: str, recipe: str, form: Any
) -> None:
    make, calibration = NETWORKS[name]
    target = tmp_path / "q.onnx"
    record = quantize_module(make(), target, calibration, recipe, form=form, check=check_file)
    assert record.agreed, record.agreement
    assert record.accuracy["output_snr_db"] > LEAST_DB[recipe]
    onnx.checker.check_model(str(target))
    written = json.loads((tmp_path / "q.json").read_text())
    assert written["recipe"]["name"] == recipe
    assert len(written["calibration_sha256"]) == 64
    assert set(written["versions"]) == {"brevitas", "numpy", "onnx", "onnxruntime", "torch"}


def test_powers_of_two_agree_exactly(tmp_path: Path) -> None:
    recipe = find_recipe("int4", exponents=True)
    record = quantize_module(
        residual_network(), tmp_path / "q.onnx", samples(32, 1, 8, 8), recipe, check=check_file
    )
    for part in record.agreement.values():
        assert part["elements"] == part["equal"]
    scales = [
        onnx.numpy_helper.to_array(t)
        for t in onnx.load(tmp_path / "q.onnx").graph.initializer
        if t.data_type == onnx.TensorProto.FLOAT
    ]
    mantissas = np.concatenate([np.frexp(scale.ravel())[0] for scale in scales])
    assert (mantissas == 0.5).all()


def test_packed_files_hold_narrow_tensors(tmp_path: Path) -> None:
    kinds = {}
    for recipe in ("int4", "w2a4"):
        quantize_module(residual_network(), tmp_path / "q.onnx", samples(8, 1, 8, 8), recipe)
        model = onnx.load(tmp_path / "q.onnx")
        kinds[recipe] = {tensor.data_type for tensor in model.graph.initializer}
        constants = {tensor.name for tensor in model.graph.initializer}
        clipped = {n.input[0] for n in model.graph.node if n.op_type == "Clip"}
        assert not clipped & constants  # activations alone
    assert onnx.TensorProto.INT4 in kinds["int4"]
    assert onnx.TensorProto.INT2 in kinds["w2a4"]


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a.onnx", "b.onnx"):
        quantize_module(time_mixer(), tmp_path / name, samples(16, 4, 12), "int4")
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_sums_share_one_scale_and_ends_keep_8_bits() -> None:
    prepared = prepare_module(residual_network(), samples(8, 1, 8, 8))
    placement = place(prepared.roles, find_recipe("int4"))
    assert placement.bits["stem"] == placement.bits["head"] == BitChoice(8, 8)
    assert placement.bits["branch"] == BitChoice(4, 4)
    shared = [site for site in placement.sites if len(site.values) > 1]
    assert len(shared) == 2  # the sum, and the concatenation
    assert {site.bits for site in shared} == {8}
    assert placement.sources["branch"].readers == ("branch",)


def test_a_chain_of_sums_is_exact_on_one_scale() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(6, 6) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + torch.relu(self.a(x))
            result: torch.Tensor = self.c(x + torch.relu(self.b(x)))
            return result

    prepared = prepare_module(Chain(), samples(16, 6))
    sizes = {
        stream: max(len(s.values) for s in place(prepared.roles, recipe).sites)
        for stream in (False, True)
        for recipe in [find_recipe("int8", stream=stream)]
    }
    assert sizes == {False: 2, True: 5}  # x, what both layers add, and both sums
    narrower = place(prepared.roles, find_recipe("int8"), {"c": BitChoice(8, 4)})
    assert max(len(s.values) for s in narrower.sites) == 4  # the last: once, to 4 bits


def test_batchnorm_is_folded_and_nothing_stays_in_float() -> None:
    prepared = prepare_module(residual_network(), samples(8, 1, 8, 8))
    assert prepared.float_operators == ()
    assert prepared.equalized


@pytest.mark.parametrize("changes", [{"calibration": "percentile"}, {"rounding": "gptq"}])
def test_other_ways_to_calibrate_and_round(changes: dict[str, Any]) -> None:
    prepared = prepare_module(residual_network(), samples(32, 1, 8, 8))
    quantized = build(prepared, find_recipe("int4", **changes))
    x = torch.from_numpy(samples(4, 1, 8, 8, seed=1)["input"])
    error = (quantized.graph(x) - prepared.graph(x)).abs().max()
    assert error < 0.5 * prepared.graph(x).abs().max()


def test_gptq_beats_the_nearest_code() -> None:
    prepared = prepare_module(perceptron(), samples(64, 16))
    x = prepared.samples[0]
    exact = prepared.graph(x)
    noise = {
        rounding: float(((build(prepared, recipe).graph(x) - exact) ** 2).mean())
        for rounding in ("nearest", "gptq")
        for recipe in [find_recipe("w4a8", rounding=rounding, edges=4)]
    }
    assert noise["gptq"] < noise["nearest"]


def test_what_cannot_be_traced_is_named_with_its_line() -> None:
    with pytest.raises(ModelError, match=r"modules\.py, line \d+: if x\.sum\(\) > 0:"):
        prepare_module(Branching(), samples(8, 4))


BAD_INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "names": ({"foo": np.ones((2, 16), np.float32)}, r"must hold the inputs \['input'\], not"),
    "shape": (samples(8, 15), "must be inputs that the module runs on, not of shape"),
    "nan": ({"input": np.full((8, 16), np.nan, np.float32)}, "must be finite, not NaN"),
    "constant": ({"input": np.ones((8, 16), np.float32)}, "must vary, not be all 1"),
    "integers": ({"input": np.ones((8, 16), np.int64)}, "must be floating point, not int64"),
    "none": ({"input": np.ones((0, 16), np.float32)}, "must be at least one, not none"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_unfit_calibration_is_refused(case: str) -> None:
    given, message = BAD_INPUTS[case]
    with pytest.raises(DataError, match=message):
        prepare_module(perceptron(), given)


def test_unfit_modules_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "q.onnx"
    cases: list[tuple[nn.Module, dict[str, Any], type[ZapdeployError], str]] = [
        (nn.Sequential(nn.ReLU()), samples(4, 4), ModelError, "there is nothing to quantize"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")),
            samples(4, 1, 5, 5),
            ModelError,
            "padding must be with zeros, not 'circular'",
        ),
    ]
    for module, given, kind, message in cases:
        with pytest.raises(kind, match=message):
            quantize_module(module, target, given)
    broken = nn.Linear(4, 4)
    with torch.no_grad():
        broken.weight[0, 0] = float("nan")
    with pytest.raises(DataError, match="outputs must be finite"):
        quantize_module(nn.Sequential(broken), target, samples(4, 4))
    assert not target.exists()


def test_a_layer_called_twice_is_refused() -> None:
    layer = nn.Linear(4, 4)
    prepared = prepare_module(nn.Sequential(layer, layer), samples(8, 4), equalized=False)
    with pytest.raises(UsageError, match="layers must be called once each"):
        build(prepared, find_recipe("int8"))


def test_recipes_check_their_fields() -> None:
    with pytest.raises(UsageError, match="recipe must be one of int8, w4a8, int4, w2a4, not 'x'"):
        find_recipe("x")
    with pytest.raises(UsageError, match="weights must be one of 8, 4, 2, not 3"):
        ModuleRecipe("odd", 3, 8)
    prepared = prepare_module(perceptron(), samples(8, 16))
    with pytest.raises(UsageError, match="layers must be those of the module"):
        build(prepared, find_recipe("int8"), {"nowhere": BitChoice(4, 4)})


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, zapdeploy.quantize as q; q.RECIPES; "
        "print([m for m in ('torch', 'brevitas', 'onnxruntime', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
