"""A random graph from its seed, and what must hold for it: in exact arithmetic, beside ONNX
Runtime, core by core, in its schedule and from its file.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from tests.compile.frontend.onnx_files import Array, OnnxFile
from tests.cuts import drawn_by, recut
from tests.fuzz.drawing import DIALECTS, Drawing, Expected, NotDrawnError, Real
from tests.fuzz.steps import STEPS
from tests.networks import mesh
from zapdeploy.api import simulate
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.multichip.pipeline import single
from zapdeploy.compile.multichip.pipeline_file import load_pipeline, save_pipeline
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.errors import ModelError, ZapdeployError
from zapdeploy.hardware_targets import target_text
from zapdeploy.sim.check import check
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.functional import constants, run, run_node
from zapdeploy.sim.memory_verifier import certify
from zapdeploy.sim.schedule import schedule
from zapdeploy.sim.schedule.collisions import check_collisions

SHAPES = (
    *((1, 3, 8, 8), (2, 4, 5, 7), (1, 1, 1, 1), (1, 8, 3, 1), (3, 12), (1, 1), (7, 1), (2, 3, 6)),
    *((1, 5, 11), (2, 2, 3, 2, 4), (13,), (1, 16, 4, 4), (5, 1, 9)),
)
ARRAYS = ((1, 1), (2, 2), (1, 3), (4, 4), (3, 5))
MOST_STEPS = 6


class WrongError(Exception):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Drawn:
    """A file, its inputs, and what its tensors are; `steps` are the numbers of those it took."""

    model: onnx.ModelProto
    inputs: dict[str, Array]
    expected: dict[str, Expected]
    exactly: bool
    steps: tuple[int, ...]


def drawn(seed: int, only: Sequence[int] | None = None) -> Drawn:
    """The graph of a seed, or of some of its steps alone."""
    chance = random.Random(seed)
    dialect = chance.choice((*DIALECTS, "QDQ", "QCDQ"))
    powers, opset = chance.random() < 0.5, chance.choice((21, 21, 20, 18))
    bits: tuple[int, ...] = {
        "QDQ": chance.choice(((8,), (8, 4), (4,), (8, 4, 16), (2, 4))),
        "operator form": (8,),
    }.get(dialect, chance.choice(((8,), (4,), (8, 4, 2), (3, 5, 6, 7), (2, 3, 4, 5, 6, 7, 8))))
    if dialect == "QDQ" and bits != (8,):
        opset = 25 if 2 in bits else 21
    signed = chance.choice((True, False)) if dialect == "operator form" else None
    d = Drawing(
        chance, np.random.default_rng(abs(seed)), dialect, powers, bits, signed, OnnxFile(opset)
    )
    for number in range(chance.choice((1, 1, 1, 2))):
        d.tensors.append(_input(d, number))
    taken = []
    for number in range(chance.randint(1, MOST_STEPS)) if only is None else only:
        d.chance, d.rng = (
            random.Random(f"{seed}:{number}"),
            np.random.default_rng([abs(seed), number]),
        )
        if _step(d):
            taken.append(number)
    return _finished(d, random.Random(f"{seed}:end"), tuple(taken))


def _input(d: Drawing, number: int) -> Real:
    shape = d.choose(*SHAPES)
    name = d.file.input(f"x{number}", shape)
    scale = 2.0 ** d.choose(0, 0, 0, 0, 3, -10, 30, -30)
    array = (d.rng.normal(0, 2, shape) * scale).astype(np.float32)
    d.inputs[name] = array
    exact = array.astype(np.float64)
    return d.quantize(Real(name, exact))


def _step(d: Drawing) -> bool:
    """Whether a step could be added; what it left half done is taken back."""
    file, known = d.file, (dict(d.expected), dict(d.inputs), d.exactly)
    lengths = [len(x) for x in (file.nodes, file.initializers, file.inputs)]
    held = list(file.initializers)
    try:
        made = d.choose(*STEPS)(d)
        if d.rarely(0.3):
            made = d.call("Relu", [made])
        d.tensors.append(made if d.rarely(0.15) else d.quantize(made))
    except NotDrawnError:
        del file.nodes[lengths[0] :], file.inputs[lengths[2] :]
        file.initializers = held
        d.expected, d.inputs, d.exactly = known
        return False
    return True


def _finished(d: Drawing, chance: random.Random, taken: tuple[int, ...]) -> Drawn:
    """With the last tensor as output, as numbers or as codes, and now and then another."""
    last = d.tensors[-1]
    names = [last.name]
    if last.codes and d.dialect != "QONNX" and chance.random() < 0.3:
        names = [last.codes]
    if chance.random() < 0.2:
        names.append(chance.choice(d.tensors).name)
    return closed(d, names, taken)


def closed(d: Drawing, names: Sequence[str], taken: tuple[int, ...] = ()) -> Drawn:
    """The file with these tensors as outputs, and without inputs that nothing reads."""
    for name in dict.fromkeys(names):
        if name in d.inputs:
            raise NotDrawnError
        d.file.outputs.append(onnx.ValueInfoProto(name=name))
    _type_outputs(d)
    model = d.file.model()
    used = {name for node in model.graph.node for name in node.input}
    for value in [v for v in model.graph.input if v.name not in used]:
        model.graph.input.remove(value)
        d.inputs.pop(value.name)
    return Drawn(model, d.inputs, d.expected, d.exactly, taken)


def _type_outputs(d: Drawing) -> None:
    kinds = {t.codes: t.kind for t in d.tensors if t.codes and d.dialect != "QONNX"}
    for value in d.file.outputs:
        kind = kinds.get(value.name)
        name = "FLOAT"
        if kind is not None:
            bits = max(kind.bits, 8) if d.dialect == "QCDQ" else kind.bits
            name = f"{'INT' if kind.signed else 'UINT'}{bits}"
        value.type.tensor_type.elem_type = getattr(onnx.TensorProto, name)


def judge(one: Drawn, folder: Path, seed: int) -> str:
    """What became of it: "right", or the reason why it was refused. Raises WrongError."""
    path = folder / "model.onnx"
    path.write_bytes(one.model.SerializeToString())
    try:
        graph = import_model(path).graph
    except ZapdeployError as error:
        return f"refused: {error}"
    _exact(graph, one)
    try:
        checked = check(graph, path, one.inputs)
    except ModelError as error:  # by exact arithmetic alone, then
        if not str(error).startswith("model must be one that "):
            raise
        checked = None
    if checked is not None and not checked.passed:
        raise WrongError(f"--check disagrees: {checked.failures[0]}")
    if not group_layers(graph):
        return "right, nothing on the chip"
    chance = np.random.default_rng(abs(seed))
    target = mesh(*ARRAYS[int(chance.integers(len(ARRAYS)))])
    text = target_text("northpole-sim")[1]
    try:
        program = build_program(
            graph, Origin("model.onnx", "0" * 64), target, text, Options(1, 1, "throughput")
        )
    except ZapdeployError as error:
        return f"right, refused for the chip: {error}"
    if not program.fits:
        return "right, does not fit"
    on_cores(program, one.inputs)
    on_cores(recut(program, drawn_by(chance)), one.inputs)
    if seed % 8 == 0:
        _from_file(folder / "model.zap", path)
    return "right"


def _exact(graph: Graph, one: Drawn) -> None:
    """Every node, fed with exact tensors, is as exact arithmetic has it."""
    values = {**constants(graph), **one.inputs}
    for name, expected in one.expected.items():
        if name in graph.values and graph.values[name].data is None:
            values[name] = _fed(graph.values[name], expected)
    judged = set()
    for node in graph.nodes:
        for name, found in run_node(graph, node, values).items():
            if name in one.expected:
                judged.add(name)
                if one.exactly:
                    _near(found, graph.values[name], one.expected[name], f"{node.op} '{name}'")
            values.setdefault(name, found)
    free = run(graph, one.inputs)
    for name in graph.outputs:
        value = graph.values[name]
        if not value.is_constant and name not in judged and name not in one.inputs:
            raise WrongError(f"output '{name}' must be among the values that are judged")
        expected = one.expected[name].exact if name in one.expected else free[name]
        if free[name].shape != expected.shape or free[name].dtype != value.element.numpy:
            raise WrongError(f"output '{name}' must be {expected.shape}, not {free[name].shape}")


def _fed(value: Value, expected: Expected) -> Array:
    exact = expected.exact
    if expected.codes is not None and value.element.is_integer:
        exact = expected.codes
    elif expected.real is not None:
        exact = expected.real
    return np.asarray(exact).astype(value.element.numpy)


def _limits(expected: Expected) -> tuple[int, int]:
    assert expected.kind is not None
    return expected.kind.limits


def _near(found: Array, value: Value, expected: Expected, what: str) -> None:
    exact = expected.exact
    if found.shape != exact.shape:
        raise WrongError(f"{what} must be {exact.shape}, not {found.shape}")
    numbers = found.astype(np.float64)
    allowed = expected.slack + 1e-30
    if expected.kind is not None and value.element.is_integer:
        low, high = _limits(expected)
        numbers = np.clip(numbers, low, high)
        exact = np.clip(exact, low, high)
        allowed = 0.5 + expected.slack
    elif expected.real is not None:
        exact, allowed = expected.real, 1e-6 * float(np.abs(expected.real).max()) + 1e-30
    far = ~(np.abs(numbers - exact) <= allowed)
    if far.any():
        at = tuple(int(i) for i in np.argwhere(far)[0])
        raise WrongError(
            f"{what}: {int(far.sum())} of {far.size} elements are not exact, such as "
            f"{numbers[at]:.9g}, not {np.broadcast_to(exact, far.shape)[at]:.9g} "
            f"(within {allowed:.3g}) at {list(at)}"
        )


def on_cores(program: Program, inputs: dict[str, Array]) -> None:
    """Core by core the very same bits; a schedule without collisions, not below the bound."""
    lowered = lower(program)
    certify(lowered)
    found, whole = CoreArray(lowered).run(inputs), run(program.graph, inputs)
    for name, array in whole.items():
        if found[name].dtype != array.dtype or found[name].tobytes() != array.tobytes():
            raise WrongError(f"core by core, '{name}' must equal the graph evaluated whole")
    for layer in schedule(program).layers:
        check_collisions(layer)
        if layer.cycles < layer.events.program.bound_cycles:
            raise WrongError(f"'{layer.events.program.name}' must not be faster than its bound")


def _from_file(path: Path, model: Path) -> None:
    """Through the file on the chip as it is: the same after reading."""
    from zapdeploy.api import compile_model

    made = compile_model(model)
    if not made.fits:
        return
    saved = save_pipeline(single(made) if isinstance(made, Program) else made, path)
    again = load_pipeline(path)
    if simulate(saved).as_json() != simulate(again).as_json():
        raise WrongError("a network must be timed the same before and after its file")
