"""State that stays on the chip: a cache written at a position, and a window that moves on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.onnx_files import OnnxFile
from tests.compile.program.zap_files import load_program, save_program
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers, network_inputs, network_outputs
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.state import is_in_place, states
from zapdeploy.errors import ZapdeployError
from zapdeploy.hardware_targets import parse_target, target_text
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.sim.frames import run_frames
from zapdeploy.sim.functional import Network

ROWS, WIDTH = 16, 32
BYTE = Kind(8, True, 2.0**-5)
PAIR = {"past": "present"}


def written_at_a_position() -> OnnxFile:
    """present = past with row `position` replaced by x; the output is present times weights."""
    file = OnnxFile()
    writer = Writer(file)
    x, past = (writer.start(n, (1, s, WIDTH), BYTE).name for n, s in (("x", 1), ("past", ROWS)))
    rows = file.constant(np.arange(ROWS, dtype=np.float32).reshape(1, ROWS, 1))
    position = file.input("position", (1, 1, 1))
    mask = file.node("Equal", [rows, position])
    _finish(file, writer, file.node("Where", [mask, x, past]))
    return file


def moved_on() -> OnnxFile:
    """present = past without its first row, then x."""
    file = OnnxFile()
    writer = Writer(file)
    x, past = (writer.start(n, (1, s, WIDTH), BYTE).name for n, s in (("x", 1), ("past", ROWS)))
    bounds = [file.constant(np.asarray([v], np.int64)) for v in (1, ROWS, 1)]
    rest = file.node("Slice", [past, *bounds])
    _finish(file, writer, file.node("Concat", [rest, x], axis=1))
    return file


def read_late() -> OnnxFile:
    """present = max(past, x); the output reads past beside present."""
    file = OnnxFile()
    writer = Writer(file)
    x, past = (writer.start(n, (1, s, WIDTH), BYTE).name for n, s in (("x", 1), ("past", ROWS)))
    _finish(file, writer, file.node("Max", [x, past]), later=past)
    return file


def _finish(file: OnnxFile, writer: Writer, cache: str, later: str = "") -> None:
    parameters = [file.constant(np.float32(BYTE.scale)), file.constant(np.int8(0))]
    codes = file.node("QuantizeLinear", [cache, *parameters])
    file.output(file.node("DequantizeLinear", [codes, *parameters], "present"))
    read = file.node("Add", ["present", later]) if later else "present"
    weights = np.random.default_rng(0).integers(-128, 128, (WIDTH, 8)).astype(np.int8)
    w = writer.dequantize(file.constant(weights), Kind(8, True, 2.0**-7))
    product = file.node("MatMul", [writer.activation(read, BYTE).name, w])
    file.output(file.node("Identity", [writer.activation(product, Kind(8, True, 0.25)).name], "y"))


FILES: dict[str, Callable[[], OnnxFile]] = {
    "written at a position": written_at_a_position,
    "moved on": moved_on,
    "read late": read_late,
}


def imported(tmp_path: Path, file: OnnxFile, **options: Any) -> Graph:
    return import_model(file.save(tmp_path / "model.onnx"), **options).graph


def compiled(graph: Graph) -> Program:
    text = target_text("northpole-sim")[1]
    target = parse_target(text, "northpole-sim")
    options = Options(1, 1, "throughput")
    return build_program(graph, Origin("model.onnx", ""), target, text, options)


def frames(count: int = 2 * ROWS + 3) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        {
            "x": rng.normal(0, 1, (1, 1, WIDTH)).astype(np.float32),
            "position": np.full((1, 1, 1), step % ROWS, np.float32),
        }
        for step in range(count)
    ]


@pytest.mark.parametrize("name", FILES)
def test_frames_go_on_as_in_onnx_runtime(tmp_path: Path, name: str) -> None:
    file = FILES[name]()
    graph = imported(tmp_path, file, state=PAIR)
    given = [{k: v for k, v in f.items() if k in graph.inputs} for f in frames()]
    session = open_session(file.model(), Purpose.PLAIN)
    past, expected = np.zeros((1, ROWS, WIDTH), np.float32), []
    for frame in given:
        y, past = session.run(["y", "present"], {**frame, "past": past})
        expected.append(y)
    found = list(run_frames(graph, Network.of(graph).run, given))
    assert [set(outputs) for outputs in found] == [{"y"}] * len(given)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours["y"], theirs)


def test_a_first_state_is_taken(tmp_path: Path) -> None:
    graph = imported(tmp_path, moved_on(), state=PAIR)
    past = np.full((1, ROWS, WIDTH), 0.5, np.float32)
    x = np.zeros((1, 1, WIDTH), np.float32)
    run = Network.of(graph).run
    (empty,) = run_frames(graph, run, [{"x": x}])
    (full,) = run_frames(graph, run, [{"x": x, "past": past}])
    assert not empty["y"].any()
    assert full["y"][0, :-1].any()


@pytest.mark.parametrize("name", FILES)
def test_the_host_neither_sends_nor_receives_state(tmp_path: Path, name: str) -> None:
    """Host bytes differ by the state, sent and received; frames of a cache are all it saves."""
    file = FILES[name]()
    kept, sent = (compiled(imported(tmp_path, file, state=s)) for s in (PAIR, {}))
    size = ROWS * WIDTH
    assert sent.boundary_counts.host_bytes - kept.boundary_counts.host_bytes == 2 * size
    assert not {"past", "past_quantized"} & {v.name for v in network_inputs(kept.graph)}
    assert [v.name for v in network_outputs(kept.graph)] != []
    fetches = {f.source: f for layer in kept.layers for f in layer.fetches}
    before = states(kept.graph)[0].before.name
    assert not fetches[before].from_framebuffer
    assert {f.source: f for layer in sent.layers for f in layer.fetches}[before].from_framebuffer


def test_a_cache_written_in_place_moves_nothing_and_has_one_copy(tmp_path: Path) -> None:
    program = compiled(imported(tmp_path, written_at_a_position(), state=PAIR))
    (state,) = states(program.graph)
    assert is_in_place(state, group_layers(program.graph))
    writer = next(layer for layer in program.layers if layer.output == state.after.name)
    fetch = next(f for f in writer.fetches if f.source == state.before.name)
    assert (fetch.total_received_bytes, fetch.link_bytes) == (0, 0)
    end = len(program.layers) - 1
    held = [b for b in program.memory.buffers if b.kind == "state"]
    assert [(b.name, b.first, b.last) for b in held] == [(writer.name, 0, end)]
    tile = -(-np.asarray((1, ROWS, WIDTH)) // writer.cut[:3])
    assert held[0].size == np.prod(tile)
    assert all(
        b.size == 0 for b in program.memory.buffers if (b.name, b.kind) == (writer.name, "output")
    )


def test_a_window_that_moves_on_takes_its_own_place(tmp_path: Path) -> None:
    """The old one is gone by the time that the new one is put together."""
    graph = imported(tmp_path, moved_on(), state=PAIR)
    assert is_in_place(states(graph)[0], group_layers(graph))


def test_state_that_is_read_after_the_new_one_is_made_has_two_copies(tmp_path: Path) -> None:
    program = compiled(imported(tmp_path, read_late(), state=PAIR))
    (state,) = states(program.graph)
    writer = next(layer for layer in program.layers if layer.output == state.after.name)
    copies = [b for b in program.memory.buffers if b.name == writer.name and b.size]
    assert {b.kind for b in copies} >= {"output", "state"}
    assert len({b.size for b in copies if b.kind != "received"}) == 1


def test_buffers_of_state_overlap_with_nothing(tmp_path: Path) -> None:
    for file in FILES.values():
        buffers = compiled(imported(tmp_path, file(), state=PAIR)).memory.buffers
        for state in (b for b in buffers if b.kind == "state"):
            for other in buffers:
                apart = other.end <= state.address or state.end <= other.address
                assert other is state or apart or not other.size


def test_metadata_declares_state(tmp_path: Path) -> None:
    model = moved_on().model()
    model.metadata_props.add(key="zapdeploy.state", value=json.dumps(PAIR))
    onnx.save(model, tmp_path / "model.onnx")
    graph = import_model(tmp_path / "model.onnx").graph
    assert graph.state == (("past", "present"),)
    saved = save_program(compiled(graph), tmp_path / "model.zap")
    assert load_program(tmp_path / "model.zap").graph.state == saved.graph.state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"last": "present"}, "state must name an input, one of 'x', 'past', not 'last'"),
        ({"past": "next"}, "state must name an output, one of 'present', 'y', not 'next'"),
        ({"past": "y"}, "state 'past' -> 'y' must have one shape and type, not [1, 16, 32] int8"),
        ({"past": "y", "x": "y"}, "state must name every output once, not ['y', 'y']"),
    ],
)
def test_refusals(tmp_path: Path, state: dict[str, str], message: str) -> None:
    with pytest.raises(ZapdeployError) as caught:
        imported(tmp_path, moved_on(), state=state)
    assert str(caught.value).startswith(message)


def test_one_scale_for_both(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    past = writer.start("past", (1, WIDTH), BYTE).name
    doubled = file.node("Add", [past, past])
    other = Kind(8, True, 2.0**-4)
    file.output(file.node("Identity", [writer.activation(doubled, other).name], "present"))
    with pytest.raises(ZapdeployError) as caught:
        imported(tmp_path, file, state=PAIR)
    assert str(caught.value) == (
        "state 'past' -> 'present' must have one scale and zero point; give both one quantizer"
    )


def test_unreadable_metadata(tmp_path: Path) -> None:
    model = moved_on().model()
    model.metadata_props.add(key="zapdeploy.state", value="past=present")
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ZapdeployError) as caught:
        import_model(tmp_path / "model.onnx")
    assert str(caught.value) == (
        "metadata 'zapdeploy.state' must be a JSON object of input and output names, "
        "not 'past=present'"
    )
