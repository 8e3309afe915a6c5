"""From a spec to a table: every row is what a compilation of its own says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import zapdeploy as zd
from tests.benchmarks.chips import small_model
from tests.cli.conftest import Call
from tests.cli.conftest import zapdeploy as zapdeploy  # a fixture
from tests.compile.frontend.dialects import Style, Writer, residual_network
from zapdeploy.explore import code
from zapdeploy.explore.exploring import explore, plan_exploration
from zapdeploy.explore.spec import read_spec
from zapdeploy.explore.store import Store
from zapdeploy.hardware_targets.changes import changed_target_text

pytest.importorskip("pyarrow")


def spec_of(folder: Path, **more: Any) -> dict[str, Any]:
    axes = {
        "model": str(small_model(folder, width=64)),
        "batch": [1, 2],
        "core": {"memory": ["4 KiB", "768 KiB"]},
        "networks": {"model": {"width": ["64 B/cycle", "128 B/cycle"]}},
        "frame_rate": [1.0, 1000.0],
    }
    return {"name": "small", "axes": {**axes, **more.pop("axes", {})}, **more}


@pytest.mark.parametrize("timing", ["estimate", "schedule"])
def test_rows_are_what_separate_compilations_say(tmp_path: Path, timing: str) -> None:
    spec = spec_of(tmp_path, compute={"timing": timing})
    rows = explore(spec, tmp_path / "out", workers=0).rows
    assert len(rows) == 16
    level = "timing" if timing == "schedule" else "estimate"
    chip = tmp_path / "chip.toml"
    for row in rows:
        keys = ("core.memory", "networks.model.width")
        chip.write_text(changed_target_text("northpole-sim", {key: row[key] for key in keys}))
        program = zd.compile(row["model"], target=chip, batch=row["batch"])
        assert program.fits
        result = zd.simulate(program, level=level, frame_rate_hz=row["frame_rate"])  # type: ignore[arg-type]
        assert row["cycles"] == result.cycles
        assert row["throughput_fps"] == result.throughput_fps
        assert row["energy_per_frame_j"] == result.energy_per_frame.value
        assert result.at_frame_rate is not None
        energy = result.at_frame_rate.energy_per_frame
        assert row["energy_at_frame_rate_j"] == energy.value
        assert row["throughput_fps_low"] < row["throughput_fps"] < row["throughput_fps_high"]


def test_energy_by_values_is_what_simulate_says(
    zapdeploy: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path, axes={"core": {"memory": ["768 KiB"]}, "batch": 2})
    shape = onnx.load(spec["axes"]["model"]).graph.input[0].type.tensor_type.shape.dim
    size = [8, *(d.dim_value for d in shape[1:])]
    frames = np.random.default_rng(0).normal(size=size).astype(np.float32)
    np.savez(tmp_path / "frames.npz", x=frames)
    values = {"inputs": str(tmp_path / "frames.npz"), "frames": 4}
    found = explore({**spec, "compute": {"values": values}}, tmp_path / "out", workers=0)
    assert {row["values_reason"] for row in found.rows} == {""}
    for row in found.rows[::2]:  # without the other frame rate, which shares it
        key = {"networks.model.width": row["networks.model.width"]}
        (tmp_path / "chip.toml").write_text(changed_target_text("northpole-sim", key))
        zapdeploy("compile", row["model"], "--target", tmp_path / "chip.toml", "--batch", 2,
                  "-o", tmp_path / "m.zap")  # fmt: skip
        document = zapdeploy("simulate", tmp_path / "m.zap", "--level", "estimate", "--inputs",
                             tmp_path / "frames.npz", "--activity", "--activity-frames", 4,
                             "--json")  # fmt: skip
        assert document.status == 0, document.err
        document = document.json["activity"]
        gating = "with_gating" if document["gates_zeros"] else "without_gating"
        wanted = document["energy_per_frame_j"][gating]["actual"]
        assert row["energy_by_values_j"] == pytest.approx(wanted["value"], rel=1e-12)
        assert row["energy_by_values_j_low"] < wanted["value"] < row["energy_by_values_j_high"]
        assert row["energy_by_values_j"] != row["energy_per_frame_j"]


def test_networks_cut_over_space(tmp_path: Path) -> None:
    model = residual_network(Writer(), Style())[0].save(tmp_path / "images.onnx")
    axes = {
        "model": str(model),
        "batch": 2,
        "core": {"memory": ["768 KiB"]},
        "networks": {"model": {"width": ["64 B/cycle"]}},
        "frame_rate": [1.0],
    }
    cuts = {"split": ["stages", "space", "space", "stages"], "chips": [1, 4, 4, 4]}
    linked = [{**cuts, "chip_grid": ["suited", "suited", "1x4", "2x2"]}]
    found = explore(spec_of(tmp_path, axes=axes, linked=linked), tmp_path / "out", workers=0)
    whole, suited, given, wrong = found.rows
    keys = {"core.memory": "768 KiB", "networks.model.width": "64 B/cycle"}
    (tmp_path / "chip.toml").write_text(changed_target_text("northpole-sim", keys))
    for row, grid in ((suited, None), (given, "1x4")):
        program = zd.compile_space(model, tmp_path / "chip.toml", chips=4, chip_grid=grid, batch=2)
        result = zd.simulate_space(program, level="estimate", frame_rate_hz=1.0)
        assert (row["chips_used"], row["throughput_fps"]) == (4, result.throughput_fps)
        assert row["energy_per_frame_j"] == result.energy_per_frame.value
        assert result.energy_at_frame_rate is not None
        assert row["energy_at_frame_rate_j"] == result.energy_at_frame_rate.value
        assert row["throughput_fps_low"] is None
    assert (whole["status"], whole["chips_used"]) == ("done", 1)
    assert (wrong["status"], wrong["reason"][:25]) == ("failed", "chip_grid must go with sp")
    assert found.tables()  # times without an interval are shown, too


def test_values_of_other_shapes_leave_the_rest(tmp_path: Path) -> None:
    np.savez(tmp_path / "frames.npz", input=np.zeros((2, 3), np.float32))
    values = {"inputs": str(tmp_path / "frames.npz")}
    found = explore(spec_of(tmp_path, compute={"values": values}), tmp_path / "out", workers=0)
    done = [row for row in found.rows if row["status"] == "done"]
    assert done
    assert all(row["energy_by_values_j"] is None for row in done)
    assert all("input" in row["values_reason"] for row in done)


def test_nothing_is_computed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = explore(spec_of(tmp_path), tmp_path / "out", workers=0)
    plan = plan_exploration(spec_of(tmp_path, axes={"batch": [1, 2, 3]}), tmp_path / "out")
    (counts,) = plan.records()
    assert (counts["points"], counts["known"], counts["to_compute"]) == (24, 16, 8)
    assert counts["mappings"] == 2  # one for each width, whatever memory and frame rate
    monkeypatch.setattr("zapdeploy.explore.exploring.Runner.compute", None)
    again = explore(spec_of(tmp_path), tmp_path / "out", workers=0)
    assert again.rows == first.rows


def test_digests_depend_on_what_matters(tmp_path: Path) -> None:
    def digests(**axes: Any) -> set[str]:
        plan = plan_exploration(spec_of(tmp_path, axes=axes), tmp_path / "none")
        return {point.digest for point in plan.points}

    same = digests(core={"memory": ["4096 B", "0.75 MiB"]})  # written in other units
    assert same == digests()
    assert not same & digests(objective=["energy"])
    assert not same & digests(frame_rate=[2.0])
    assert not same & digests(host={"bandwidth": "1 GB/s"})
    assert not (tmp_path / "none").exists()  # a plan writes nothing


def test_changed_code_computes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sim/cost.py", "cli/show.py", "explore/page.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("FACTOR = 1\n")
    before = code.code_digest(tmp_path)
    (tmp_path / "cli/show.py").write_text("FACTOR = 2\n")  # shows results, makes none
    (tmp_path / "explore/page.py").write_text("FACTOR = 2\n")
    assert code.code_digest.__wrapped__(tmp_path) == before
    (tmp_path / "sim/cost.py").write_text("FACTOR = 2\n")
    assert code.code_digest.__wrapped__(tmp_path) != before
    first = plan_exploration(spec_of(tmp_path), tmp_path / "none").points
    monkeypatch.setattr("zapdeploy.explore.points.code_digest", lambda: "of changed code")
    second = plan_exploration(spec_of(tmp_path), tmp_path / "none").points
    assert not {point.digest for point in first} & {point.digest for point in second}


def test_code_that_takes_no_part_is_there() -> None:
    for name in code.NO_PART:
        assert (code.PACKAGE / name).exists(), name


def test_points_that_cannot_be(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path,
        axes={"core": {"memory": ["1 KiB"]}, "array": {"cores_off": [0, 999]}, "chips": [1]},
    )
    found = explore(spec, tmp_path / "out", workers=0)
    assert found.counts == {"does not fit": 8, "failed": 8} or found.counts == {"failed": 16}
    reasons = {row["reason"] for row in found.rows if row["status"] == "failed"}
    assert any("cores_off" in reason for reason in reasons)
    assert all(row["reason"] for row in found.rows)


def test_constraints_leave_points_out(tmp_path: Path) -> None:
    found = plan_exploration(
        spec_of(tmp_path, constraints={"core_memory": "<= 1 MiB", "batch": [">= 2", "< 9"]}),
        tmp_path / "out",
    )
    assert {point.values["core.memory"] for point in found.points} == {"4 KiB"}
    assert {point.values["batch"] for point in found.points} == {2}
    assert (found.grid, len(found.points)) == (16, 4)


def test_a_store_may_have_several_writers(tmp_path: Path) -> None:
    one, other = Store(tmp_path), Store(tmp_path)
    for index in range(70):
        writer = one if index % 2 else other
        writer.add([{"digest": str(index), "status": "done", "reason": ""}])
    other.join()
    one.join()
    assert set(one.rows()) == set(other.rows()) == {str(i) for i in range(70)}
    assert len(list((tmp_path / "results").iterdir())) < 70
    assert set(Store(tmp_path).rows()) == set(one.rows())


def test_large_files_are_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.add([{"digest": f"first{i}", "status": "done", "reason": ""} for i in range(2000)])
    (large,) = (tmp_path / "results").iterdir()
    monkeypatch.setattr("zapdeploy.explore.store.LARGE_BYTES", large.stat().st_size)
    for index in range(70):
        store.add([{"digest": str(index), "status": "done", "reason": ""}])
        store.join()
    assert large.exists()
    assert len(list((tmp_path / "results").iterdir())) < 10
    assert len(Store(tmp_path).rows()) == 2070


def test_a_point_that_was_computed_again_stays_done(tmp_path: Path) -> None:
    for attempt in range(8):  # files are read in an order that nobody chose
        folder = tmp_path / str(attempt)
        Store(folder).add([{"digest": "a", "status": "failed", "reason": "for a while"}])
        Store(folder).add([{"digest": "a", "status": "done", "reason": ""}])
        assert Store(folder).rows()["a"]["status"] == "done"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"constraints": {"batch": "2"}}, r'must be a comparison such as "<= 192 MiB", not \'2\''),
        (
            {"constraints": {"core_memory": "<= 1 s"}},
            r"constraint on core_memory must be a quantity",
        ),
        ({"constraints": {"size": "<= 1"}}, r"constraints must be on one of peak_"),
        ({"limits": {"seconds": 0}}, r"limits.seconds input should be greater than 0, not 0"),
        ({"compute": {"timing": "x"}}, r"compute.timing input should be 'estimate' or 'schedule'"),
        ({"compute": {"values": {"inputs": "none.npz"}}}, r"compute.values.inputs must be a file"),
        ({"serch": {}}, r"key 'serch' must be one of those known"),
        ({"axes": {"precision": ["int3"]}}, None),
        ({"axes": {"core": {"memry": ["1 B"]}}}, r"target key must be one that a chip's file has"),
        ({"axes": {"target": ["no-such"]}}, r"target must be one of"),
    ],
)
def test_specs_that_are_wrong(tmp_path: Path, more: dict[str, Any], message: str | None) -> None:
    spec = spec_of(tmp_path, **more)
    if message is None:  # a file that is quantized is taken as it is
        assert {p.values["precision"] for p in plan_exploration(spec, tmp_path).points} == {"int8"}
        return
    with pytest.raises(zd.ZapdeployError, match=message):
        plan_exploration(spec, tmp_path / "out")


def test_a_precision_that_is_none(tmp_path: Path) -> None:
    spec = read_spec({"name": "x", "axes": {"model": "tsmixer-c4", "precision": "int3"}})
    with pytest.raises(zd.UsageError, match=r"^precision must be int8, int4 or wNaM"):
        plan_exploration(spec, tmp_path / "out")


def test_on_the_command_line(zapdeploy: Call, tmp_path: Path) -> None:
    model = small_model(tmp_path)
    (tmp_path / "spec.toml").write_text(f'[axes]\nmodel = "{model.name}"\nbatch = [1, 2]\n')
    out = tmp_path / "out"
    planned = zapdeploy("explore", tmp_path / "spec.toml", "-o", out, "--dry-run", "--json").json
    assert (planned["points"], planned["to_compute"]) == (2, 2)
    called = zapdeploy("explore", "-o", out, tmp_path / "spec.toml", "--workers", 0, "--json")
    assert called.status == 0
    assert called.json["counts"] == {"done": 2}
    assert [row["batch"] for row in called.json["rows"]] == [1, 2]
    shown = zapdeploy("explore", tmp_path / "spec.toml", "-o", out)
    assert "2 done" in shown.out
    wrong = zapdeploy("explore", tmp_path / "none.toml", "-o", out)
    assert (wrong.status, wrong.out) == (2, "")
    assert wrong.err.count("\n") == 1
    assert json.dumps(called.json)
