"""A short run of the random graphs, and what longer ones found, as small as it still failed."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.dialects import Kind
from tests.compile.frontend.onnx_files import OnnxFile
from tests.cuts import recut
from tests.fuzz import graphs, judging
from tests.fuzz.campaign import Finding
from tests.fuzz.drawing import Drawing, NotDrawnError, Real
from tests.fuzz.judging import Drawn, WrongError, closed, drawn, judge, on_cores
from tests.networks import ORIGIN, mesh
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.program import Options
from zapdeploy.hardware_targets import target_text
from zapdeploy.sim.core_array import CoreArray


@pytest.mark.parametrize("seed", range(3000, 3040))
def test_random_graphs(tmp_path: Path, seed: int) -> None:
    try:
        one = drawn(seed)
    except NotDrawnError:
        return
    judge(one, tmp_path, seed)


def test_a_graph_follows_from_its_seed() -> None:
    first, again, other = (drawn(seed).model.SerializeToString() for seed in (7, 7, 8))
    assert first == again != other


def test_every_dialect_and_most_steps_are_drawn() -> None:
    """Otherwise a run of any length would say little."""
    operators: set[str] = set()
    for seed in range(3100, 3250):
        with suppress(NotDrawnError):
            operators |= {node.op_type for node in drawn(seed).model.graph.node}
    assert {"QuantizeLinear", "Quant", "QLinearConv", "QLinearAdd", "Clip"} <= operators
    assert len(operators) > 60


def test_a_wrong_value_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One code more wherever a Relu was: found, and only the steps with one are kept."""
    right = judging.run_node

    def wrong(graph, node, values):
        found = right(graph, node, values)
        if node.op in ("Add", "Conv"):
            return {name: array + 3 for name, array in found.items()}
        return found

    monkeypatch.setattr(judging, "run_node", wrong)
    finding = None
    for seed in range(3000, 3030):
        try:
            graphs.attempt(seed)
        except WrongError as error:
            finding = graphs.shrunk(seed, error)
            break
    assert isinstance(finding, Finding)
    steps = [int(step) for step in finding.shrunk.removeprefix("--steps ").split(",")]
    assert 0 < len(steps) <= len(drawn(finding.seed).steps)
    with pytest.raises(WrongError, match="elements are not exact, such as"):
        graphs.attempt(finding.seed, steps)


# Found by longer runs. Every graph is what was left when nothing more could be taken away.


def start(dialect: str = "QDQ", shape: tuple[int, ...] = (2, 3, 4, 4)) -> tuple[Drawing, Real]:
    """A file with one input of small numbers, some of them negative."""
    rng = np.random.default_rng(1)
    d = Drawing(random.Random(1), rng, dialect, False, (8,), None, OnnxFile())
    array = rng.normal(0, 2, shape).astype(np.float32)
    d.inputs["x"] = array
    return d, Real(d.file.input("x", shape), array.astype(np.float64))


def to_fewer_codes_of_another_sign() -> Drawn:
    """-1 became 15: codes moved from int4 to uint4 were not clamped."""
    d, x = start("QCDQ")
    codes = d.quantize(x, Kind(4, True, 0.25))
    moved = d.call("Gather", [codes, np.array([0, 2, 1])], axis=-1)
    d.file.initializers = [t for t in d.file.initializers if t.name != d.file.nodes[-1].input[1]]
    d.file.nodes[-1].input[1] = d.file.input("places", (3,), 7)
    d.inputs["places"] = np.array([0, 2, 1])
    out = d.quantize(d.call("Relu", [moved]), Kind(4, False, 0.25))
    return closed(d, [out.name])


def to_fewer_codes() -> Drawn:
    """The same from uint8 to uint4."""
    d, x = start("QCDQ")
    codes = d.quantize(x, Kind(8, False, 0.02, 100))
    out = d.quantize(d.call("Transpose", [codes], perm=[0, 2, 3, 1]), Kind(4, False, 0.02, 9))
    return closed(d, [out.name])


def means_of_channels(op: str, *axes: int) -> Callable[[], Drawn]:
    """Sums over a tensor with a scale for each channel ended in an internal error."""

    def made() -> Drawn:
        d, x = start()
        codes = along(d, x, Kind(8, True, np.array([0.05, 0.03, 0.04]), 3), 1)
        inputs = [codes] if not axes else [codes, np.array(axes)]
        return closed(d, [d.quantize(d.call(op, inputs), Kind(8, True, 0.02)).name])

    return made


def along(d: Drawing, x: Real, kind: Kind, axis: int) -> Real:
    """The tensor quantized with a scale for each index of an axis."""
    d.kind_for = lambda real: (kind, axis)  # type: ignore[method-assign]
    return d.quantize(x)


def padding_beside_no_code() -> Drawn:
    """0.25 in steps of 2^23 is no code, and became zero."""
    d, x = start(shape=(1, 4))
    big = d.quantize(Real(x.name, x.array), Kind(8, True, 2.0**23, 127))
    padded = d.call("Pad", [big, np.array([0, 2, 0, 1]), np.asarray(0.25)], mode="constant")
    return closed(d, [d.quantize(padded, Kind(8, False, 2.0**-11)).name])


def power_of_one_exponent() -> Drawn:
    """NumPy raises to a single exponent in another way than to many, in other last bits."""
    d, x = start(shape=(13,))
    positive = d.call("Abs", [d.quantize(x, Kind(8, False, 0.0625, 128))])
    shifted = d.call("Add", [positive, np.asarray(0.6171875)])
    return closed(d, [d.call("Pow", [shifted, np.asarray(-1.0)]).name])


def tiny_selu() -> Drawn:
    """exp(x) - 1 cancels where x is nearly zero."""
    d, x = start(shape=(3, 5))
    scaled = Real(x.name, x.array * 2.0**-36)
    d.inputs["x"] = scaled.array.astype(np.float32)
    codes = d.quantize(scaled, Kind(8, True, 2.0**-40, 127))
    return closed(d, [d.call("Selu", [codes]).name])


def real_bias() -> Drawn:
    """ONNX Runtime's QGemm rounds a bias of real numbers to int32: one element is a step off, and
    it was our result, as ONNX defines it, that was called wrong."""
    d, x = start(shape=(8, 3))
    d.rng = np.random.default_rng(23)
    codes = d.quantize(x, Kind(8, True, 0.05, 2))
    d.rng.integers(-60, 60, 3)
    weights = d.weights((3, 1), 1)
    bias = d.rng.normal(0, 1, 1) * float(np.abs(weights.array).max())
    y = d.call("Gemm", [codes, weights, np.float32(bias).astype(np.float64)])
    scale = float(np.float32(np.abs(y.array).max() / 100))
    return closed(d, [d.quantize(y, Kind(8, True, scale)).name])


def maximum_in_qonnx() -> Drawn:
    """What moves before a maximum is compared as codes of the quantizer behind it, negative ones
    cut off as there."""
    d, x = start("QONNX", (1, 5, 11))
    copied = d.call("Expand", [d.quantize(x, Kind(8, True, 0.05)), np.array([3, 5, 11])])
    most = d.call("GlobalMaxPool", [copied])
    out = d.quantize(d.call("Relu", [most]), Kind(8, True, 0.013))
    return closed(d, [out.name])


def codes_of_another_sign() -> Drawn:
    """Codes behind a Relu stay int7 in the graph and are uint8 in the file: the layer that reads
    them, fed with the reference's, ended `--check` with an error."""
    d, x = start("QCDQ", (3, 1))
    codes = d.quantize(x, Kind(6, True, 0.25))
    cut = d.quantize(d.call("Relu", [codes]), Kind(7, True, 0.0625))
    again = d.quantize(d.call("Flatten", [cut], axis=1), Kind(7, False, 0.0625))
    product = d.call("MatMul", [again, d.weights((1, 2), 1)])
    return closed(d, [d.quantize(product, Kind(7, True, 0.125)).name])


def interpolated_ties() -> Drawn:
    """Weights of 0.05, which float32 does not hold, times codes: sums between two codes, which the
    reference rounded to the other side."""
    d, x = start("QCDQ", (8, 16, 9))
    codes = d.quantize(x, Kind(4, True, 0.25, 3))
    sizes = np.array([8, 16, 10])
    longer = d.call("Resize", [codes, None, None, sizes], mode="linear")
    return closed(d, [d.quantize(d.call("Relu", [longer]), Kind(4, False, 0.125)).name])


def sums_of_far_larger_steps() -> Drawn:
    """QLinearAdd gathers zero points times ratios in one float32, which lost the sum's: 0 + 0 in
    steps of 32 became code 0 in the place of 66."""
    d, x = start(shape=(3, 1))
    codes = d.quantize(x, Kind(8, False, 32.0, 128))
    total = d.call("Add", [codes, codes])
    return closed(d, [d.quantize(total, Kind(8, False, 1.0587912e-22, 66)).name])


FOUND = {
    "interpolated ties": interpolated_ties,
    "sums of far larger steps": sums_of_far_larger_steps,
    "codes of another sign": codes_of_another_sign,
    "real bias": real_bias,
    "maximum in QONNX": maximum_in_qonnx,
    "to fewer codes of another sign": to_fewer_codes_of_another_sign,
    "to fewer codes": to_fewer_codes,
    "mean of channels": means_of_channels("GlobalAveragePool"),
    "mean of channels, some axes": means_of_channels("ReduceMean", 1, 2),
    "sum of channels": means_of_channels("ReduceSum", 3),
    "padding beside no code": padding_beside_no_code,
    "power": power_of_one_exponent,
    "tiny selu": tiny_selu,
}


@pytest.mark.parametrize("label", FOUND)
@pytest.mark.parametrize("seed", [1, 3])
def test_found(tmp_path: Path, label: str, seed: int) -> None:
    assert judge(FOUND[label](), tmp_path, seed) == "right"


def over_cores(one: Drawn, folder: Path, wanted: Callable[[np.ndarray], int]) -> None:
    """Core by core under chosen cuts, on 2 x 2 cores."""
    path = folder / "model.onnx"
    path.write_bytes(one.model.SerializeToString())
    text, options = target_text("northpole-sim")[1], Options(1, 1, "throughput")
    program = build_program(import_model(path).graph, ORIGIN, mesh(2, 2), text, options)
    on_cores(recut(program, wanted), one.inputs)


def test_a_constant_behind_sums_over_cores(tmp_path: Path) -> None:
    """A mask stays with the cores that end up with the sums; those that pass theirs on have none of
    it, and were sent parts of it as if they had."""
    d, x = start(shape=(4, 8))
    codes = d.quantize(x, Kind(8, True, 0.05))
    product = d.call("MatMul", [codes, d.call("Transpose", [codes], perm=[1, 0])])
    kept = d.call("Trilu", [d.quantize(product, Kind(8, True, 0.5)), np.asarray(0)], upper=1)
    one = closed(d, [d.quantize(kept, Kind(8, True, 0.25)).name])
    over_cores(one, tmp_path, lambda factors: int(np.argmax(factors[:, -1])))


def test_scales_of_a_computed_operand(tmp_path: Path) -> None:
    """Weights on the left, a scale for each column of the activation on the right: cores of other
    columns with the same weights were given the scales of the first."""
    d, x = start(shape=(3, 12))
    right = along(d, x, Kind(8, False, np.linspace(0.02, 0.3, 12), 128), 1)
    product = d.call("MatMul", [d.weights((5, 3), 0), right])
    one = closed(d, [d.quantize(product, Kind(8, True, 0.02)).name])
    over_cores(one, tmp_path, lambda factors: int(np.argmax(factors[:, 1])))


def test_what_cores_compute_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = CoreArray.run

    def wrong(self: CoreArray, inputs, **more):
        return {name: array + 1 for name, array in right(self, inputs, **more).items()}

    monkeypatch.setattr(CoreArray, "run", wrong)
    with pytest.raises(
        WrongError, match=r"core by core, '.*' must equal the graph evaluated whole"
    ):
        judge(to_fewer_codes(), tmp_path, 1)
