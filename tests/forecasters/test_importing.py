"""Weights from elsewhere: the same forecasts, or every fault at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tensorstore = pytest.importorskip("tensorstore")

from zapdeploy.errors import DataError  # noqa: E402
from zapdeploy.forecasters import build_model, export_model, sample_inputs  # noqa: E402
from zapdeploy.forecasters.build import build_forecaster  # noqa: E402
from zapdeploy.forecasters.folder import ForecasterSpec  # noqa: E402
from zapdeploy.forecasters.loading import import_forecaster, load_forecaster  # noqa: E402
from zapdeploy.forecasters.orbax import find_orbax  # noqa: E402
from zapdeploy.forecasters.path_maps import Piece, read_path_map  # noqa: E402

NEURONS, WIDTH = 7, 5
Tree = dict[str, np.ndarray]


def dense(inputs: int, outputs: int, seed: int) -> Tree:
    random = np.random.default_rng(seed)
    return {
        "kernel": random.standard_normal((inputs, outputs)).astype(np.float32) / inputs,
        "bias": random.standard_normal(outputs).astype(np.float32),
    }


def tsmixer(context: int = 4, *, first: int = 0) -> Tree:
    """Random weights in the benchmark's naming: paths of a Flax tree, kernels (in, out)."""
    layers = {"Dense_0": dense(context, 32, 9)}
    for block in (0, 1):
        place = f"block{first + block}"
        layers[f"{place}/TimeMix_0/Dense_0"] = dense(context, context, block)
        layers[f"{place}/FeatureMix_0/Dense_0"] = dense(NEURONS, WIDTH, 2 + block)
        layers[f"{place}/FeatureMix_0/Dense_1"] = dense(WIDTH, NEURONS, 4 + block)
    return {f"{path}/{name}": v for path, layer in layers.items() for name, v in layer.items()}


def forecast_by_flax_rules(tree: Tree, x: np.ndarray, first: int = 0) -> np.ndarray:
    """The forecast written with the kernels as they are: rows times (in, out)."""
    y = np.swapaxes(x, 1, 2)  # [batch, neurons, context]
    for block in (first, first + 1):
        at = f"block{block}/TimeMix_0/Dense_0"
        y = y + np.maximum(y @ tree[f"{at}/kernel"] + tree[f"{at}/bias"], 0)
        z = np.swapaxes(y, 1, 2)
        at = f"block{block}/FeatureMix_0/Dense"
        hidden = np.maximum(z @ tree[f"{at}_0/kernel"] + tree[f"{at}_0/bias"], 0)
        z = z + hidden @ tree[f"{at}_1/kernel"] + tree[f"{at}_1/bias"]
        y = np.swapaxes(z, 1, 2)
    return np.swapaxes(y @ tree["Dense_0/kernel"] + tree["Dense_0/bias"], 1, 2)


def save_orbax(folder: Path, tree: Tree, driver: str) -> Path:
    """The layout that Orbax writes: zarr arrays named by dotted paths, in OCDBT or in folders."""
    base = {"driver": "file", "path": f"{folder}/"}
    folder.mkdir(parents=True)
    (folder / "_METADATA").write_text("{}")
    for path, values in tree.items():
        name = f"params.{path.replace('/', '.')}/"
        store: dict[str, Any] = {"driver": "file", "path": f"{folder}/{name}"}
        if driver == "ocdbt":
            store = {"driver": "ocdbt", "base": base, "path": name}
        spec = {"driver": "zarr", "kvstore": store, "create": True}
        metadata = {"shape": list(values.shape), "dtype": "<f4", "compressor": {"id": "zstd"}}
        tensorstore.open({**spec, "metadata": metadata}).result().write(values).result()
    return folder


def saved(tmp_path: Path, form: str, tree: Tree) -> Path:
    if form == "npz":
        np.savez(tmp_path / "flat.npz", **{f"params/{name}": v for name, v in tree.items()})
        return tmp_path / "flat.npz"
    if form == "manager":
        save_orbax(tmp_path / "run" / "3" / "default", {}, "ocdbt")
        save_orbax(tmp_path / "run" / "12" / "default", tree, "ocdbt")
        return tmp_path / "run"
    return save_orbax(tmp_path / "checkpoint", tree, form)


@pytest.mark.parametrize("form", ["npz", "ocdbt", "folders", "manager"])
@pytest.mark.parametrize("first", [0, 1])
def test_the_benchmarks_names_give_the_same_forecasts(
    tmp_path: Path, form: str, first: int
) -> None:
    tree = tsmixer(first=first)
    path = saved(tmp_path, form, tree)
    network = build_model("tsmixer-c4", neurons=NEURONS, width=WIDTH, checkpoint=path)
    x = sample_inputs("tsmixer-c4", 3, neurons=NEURONS)["input"]
    with torch.no_grad():
        found = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, forecast_by_flax_rules(tree, x, first), rtol=1e-4, atol=1e-5)


def test_a_checkpoint_that_orbax_itself_wrote(tmp_path: Path) -> None:
    orbax = pytest.importorskip("orbax.checkpoint", reason="reads what Orbax writes, without it")
    tree = tsmixer()
    nested: dict[str, Any] = {}
    for path, values in tree.items():
        *folders, name = path.split("/")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = values
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "orbax", {"params": nested, "step": 3})
    network = build_model("tsmixer-c4", neurons=NEURONS, width=WIDTH, checkpoint=tmp_path / "orbax")
    np.testing.assert_array_equal(
        network.forecast.weight[:, :, 0].detach(), tree["Dense_0/kernel"].T
    )


def test_time_mix_with_reversible_normalisation(tmp_path: Path) -> None:
    tree = {
        f"TimeMix_{block}/Dense_0/{name}": value
        for block in range(5)
        for name, value in dense(256, 256, block).items()
    }
    tree |= {f"Dense_0/{name}": value for name, value in dense(256, 32, 9).items()}
    scale, bias = np.arange(1, 8, dtype=np.float32), np.arange(7, dtype=np.float32)
    tree |= {"ReversibleInstanceNorm_0/scale": scale, "ReversibleInstanceNorm_0/bias": bias}
    network = build_model("time-mix-c256", neurons=7, checkpoint=saved(tmp_path, "npz", tree))
    state = network.state_dict()
    np.testing.assert_array_equal(state["norm.scale"], scale)
    np.testing.assert_array_equal(state["norm.bias"], bias)
    np.testing.assert_array_equal(
        state["blocks.3.dense.weight"][:, :, 0], tree["TimeMix_3/Dense_0/kernel"].T
    )


def tide(context: int, static: int = 192) -> Tree:
    """TiDE in the benchmark's naming, with the layers that its configuration silences."""
    inputs = context + static + 32 * context + 32 * 32
    sizes = {
        "MLPResidual_0": (26, 32),
        "MLPResidual_1": (26, 32),
        "StackedMLPResidual_0/MLPResidual_0": (inputs, 128),
        "StackedMLPResidual_1/MLPResidual_0": (128, 1024),
        "MLPResidual_2": (64, 1),
    }
    layers = {"Dense_0": dense(context, 32, 50)}
    for seed, (path, (width_in, width_out)) in enumerate(sizes.items()):
        layers[f"{path}/Dense_0"] = dense(width_in, 128, 3 * seed)
        layers[f"{path}/Dense_1"] = dense(128, width_out, 3 * seed + 1)
        layers[f"{path}/Dense_2"] = dense(width_in, width_out, 3 * seed + 2)
    return {f"{path}/{name}": v for path, layer in layers.items() for name, v in layer.items()}


def tide_by_flax_rules(tree: Tree, x: np.ndarray, stimuli: np.ndarray) -> np.ndarray:
    """TiDE as the benchmark writes it: a row per neuron, everything copied and concatenated."""

    def linear(path: str, rows: np.ndarray) -> np.ndarray:
        return rows @ tree[f"{path}/kernel"] + tree[f"{path}/bias"]

    def mlp(path: str, rows: np.ndarray) -> np.ndarray:
        hidden = np.maximum(linear(f"{path}/Dense_0", rows), 0)
        return linear(f"{path}/Dense_1", hidden) + linear(f"{path}/Dense_2", rows)

    batch, context, neurons = x.shape
    past = np.swapaxes(x, 1, 2).reshape(batch * neurons, context)
    future = np.repeat(mlp("MLPResidual_1", stimuli), neurons, axis=0)  # [rows, 32 frames, 32]
    width = tree["StackedMLPResidual_0/MLPResidual_0/Dense_0/kernel"].shape[0]
    zeroed = np.zeros((len(past), width - context - 1024), np.float32)
    rows = np.concatenate([past, zeroed, future.reshape(len(past), -1)], axis=1)
    decoded = mlp(
        "StackedMLPResidual_1/MLPResidual_0", mlp("StackedMLPResidual_0/MLPResidual_0", rows)
    )
    steps = np.concatenate([decoded.reshape(len(past), 32, 32), future], axis=2)
    found = mlp("MLPResidual_2", steps)[:, :, 0] + linear("Dense_0", past)
    return np.swapaxes(found.reshape(batch, neurons, 32), 1, 2)


@pytest.mark.parametrize("form", ["npz", "ocdbt"])
@pytest.mark.parametrize(("context", "static"), [(4, 192), (256, 0)])
def test_tide_in_the_benchmarks_names(tmp_path: Path, form: str, context: int, static: int) -> None:
    tree, name = tide(context, static), f"tide-c{context}"
    network = build_model(name, neurons=NEURONS, checkpoint=saved(tmp_path, form, tree))
    inputs = sample_inputs(name, 2, neurons=NEURONS)
    with torch.no_grad():
        found = network(*map(torch.from_numpy, inputs.values())).numpy()
    expected = tide_by_flax_rules(tree, *inputs.values())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_tide_of_another_context_or_in_other_names(tmp_path: Path) -> None:
    path = saved(tmp_path, "npz", tide(8))
    with pytest.raises(DataError, match=r"1 of the wrong shape \(skip.weight \[32, 8\] for"):
        build_model("tide-c4", neurons=NEURONS, checkpoint=path)
    path = saved(tmp_path, "npz", {f"Mine_{name}": v for name, v in tide(4).items()})
    with pytest.raises(DataError, match=r"say what is what in flat\.npz\.map\.json, beside it$"):
        build_model("tide-c4", neurons=NEURONS, checkpoint=path)


def test_an_imported_forecaster_is_a_folder_like_a_trained_one(tmp_path: Path) -> None:
    path = saved(tmp_path, "npz", tsmixer())
    spec = ForecasterSpec("tsmixer-c4", NEURONS, WIDTH)
    network = import_forecaster(path, spec, tmp_path / "folder")
    read = load_forecaster(tmp_path / "folder")
    assert read.record == {"imported from": "flat.npz"}
    assert torch.equal(read.network.forecast.weight, network.forecast.weight)
    export_model("tsmixer-c4", tmp_path / "a.onnx", neurons=7, width=5, checkpoint=path)
    export_model(
        "tsmixer-c4", tmp_path / "b.onnx", neurons=7, width=5, checkpoint=tmp_path / "folder"
    )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_other_torch_names_by_a_map_beside_the_file(tmp_path: Path) -> None:
    """torch.nn.Linear is (out, in) already and is not transposed."""
    layer = torch.nn.Linear(4, 32)
    torch.save({"head.weight": layer.weight, "head.bias": layer.bias}, tmp_path / "mine.pt")
    names = {"forecast.weight": "head.weight", "forecast.bias": "head.bias"}
    (tmp_path / "mine.pt.map.json").write_text(json.dumps(names))
    network = build_model("linear-c4", neurons=3, checkpoint=tmp_path / "mine.pt")
    assert torch.equal(network.forecast.weight[:, :, 0], layer.weight)


def test_rows_and_orders_of_a_kernel(tmp_path: Path) -> None:
    """TiDE's encoder reads [traces, stimuli]; its stimuli are counted frame by frame in Flax."""
    kernel = np.random.default_rng(0).standard_normal((4 + 1024, 128)).astype(np.float32)
    source, spec = "Encoder/Dense_0/kernel", ForecasterSpec("tide-c4", 3)
    pieces = {
        "encoder.down_traces.weight": Piece(source, rows=(0, 4)),
        "encoder.down_frame.weight": Piece(source, rows=(4, 1028), swap=(32, 32)),
    }
    rest = {n: v.numpy() for n, v in build_forecaster(spec).state_dict().items() if n not in pieces}
    np.savez(tmp_path / "t.npz", **rest, **{source: kernel})
    pieces |= {name: Piece(name) for name in rest}
    network = import_forecaster(tmp_path / "t.npz", spec, tmp_path / "out", pieces)
    found = network.state_dict()
    np.testing.assert_array_equal(found["encoder.down_traces.weight"][:, :, 0, 0], kernel[:4].T)
    step, feature = 3, 20
    np.testing.assert_array_equal(
        found["encoder.down_frame.weight"][:, feature * 32 + step, 0, 0],
        kernel[4 + step * 32 + feature],
    )


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    tree = tsmixer()
    del tree["block1/FeatureMix_0/Dense_1/bias"]
    tree["Dense_0/kernel"] = np.zeros((9, 32), np.float32)
    tree["block0/TimeMix_0/Dense_0/bias"][1] = np.nan
    tree["LayerNorm_0/scale"] = np.ones(3, np.float32)
    path = saved(tmp_path, "npz", tree)
    with pytest.raises(DataError) as caught:
        build_model("tsmixer-c4", neurons=NEURONS, width=WIDTH, checkpoint=path)
    assert str(caught.value).replace(str(path), path.name) == (
        "checkpoint must hold the tensors of tsmixer-c4, not 1 missing (blocks.3.up.bias); "
        "1 unknown (LayerNorm_0/scale); 1 of the wrong shape (forecast.weight [32, 9] for "
        "[32, 4, 1]); 1 with NaN or infinity (blocks.0.dense.bias) (flat.npz); "
        "export it from the same network at the same size, or say what is what in "
        "flat.npz.map.json, beside it"
    )


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    path = saved(tmp_path, "folders", tsmixer())
    (path / "params.Dense_0.kernel" / ".zarray").write_text("{")
    with pytest.raises(DataError, match="checkpoint must be a whole Orbax checkpoint, not"):
        build_model("tsmixer-c4", neurons=NEURONS, width=WIDTH, checkpoint=path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert find_orbax(tmp_path) is None
    assert find_orbax(tmp_path / "notes.txt") is None


def test_path_maps(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"a": "x/kernel", "b": {"source": "y", "rows": [0, 4], "swap": [2, 3]}}')
    assert read_path_map(path) == {"a": Piece("x/kernel"), "b": Piece("y", (0, 4), (2, 3))}
    for text in ("[]", '{"a": 3}', "{", '{"a": {"rows": [1, 2]}}'):
        path.write_text(text)
        with pytest.raises(DataError, match="path map must be JSON of our names and theirs, not"):
            read_path_map(path)
