"""ONNX's own node tests, run through compiler and functional simulator: what is supported, counted.

`Backend` is zapdeploy as ONNX asks for one;
`python -m zapdeploy.benchmarks.experiments.conformance -o TABLE.md` runs all node tests of the
installed onnx and writes the table. A test that the chip refuses with all its
inputs computed at run time is tried again with all but the first as constants, as networks have
shapes, axes and parameters.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.base import Backend as OnnxBackend
from onnx.backend.base import BackendRep

from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Array, Graph
from zapdeploy.errors import ZapdeployError
from zapdeploy.files import atomic_write
from zapdeploy.sim.functional import run
from zapdeploy.text import one_line


class Outcome(Enum):
    """What came of a node test."""

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    CRASHED = "crashed"


@dataclass(frozen=True)
class NodeTest:
    """What became of one test; `why` is the refusal, the difference or the error."""

    name: str
    operator: str
    outcome: Outcome
    why: str = ""


class Prepared(BackendRep):
    """A network ready to run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, inputs: Any, **options: Any) -> tuple[Any, ...]:
        """The outputs in the model's order; inputs in its order, or by name."""
        if not isinstance(inputs, dict):
            inputs = dict(zip(self.graph.inputs, inputs, strict=True))
        found = run(self.graph, {name: np.asarray(array) for name, array in inputs.items()})
        return tuple(found[name] for name in self.graph.outputs)


class Backend(OnnxBackend):
    """zapdeploy as `onnx.backend.base.Backend`; raises ZapdeployError for what it refuses."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **options: Any) -> Prepared:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(model.SerializeToString())
            return Prepared(import_model(path).graph)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device.partition(":")[0] == "CPU"


def node_tests() -> Iterator[NodeTest]:
    """All node tests of the installed onnx, one after the other."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        yield _judged(case)


def _judged(case: Any) -> NodeTest:
    operators = [node.op_type for node in case.model.graph.node]
    found = NodeTest(case.name, operators[0] if operators else "", Outcome.REFUSED)
    for constants in (False, True):
        outcome, why = _attempt(case, constants)
        if outcome is Outcome.PASSED:
            return NodeTest(case.name, found.operator, outcome)
        if outcome is not Outcome.REFUSED:
            return NodeTest(case.name, found.operator, outcome, why)
        if not found.why:
            found = NodeTest(case.name, found.operator, outcome, why)
    return found


def _attempt(case: Any, constants: bool) -> tuple[Outcome, str]:
    try:
        for inputs, expected in case.data_sets:
            arrays = [_array(value) for value in inputs]
            model, given = (
                _with_constants(case.model, arrays) if constants else (case.model, arrays)
            )
            prepared = Backend.prepare(model)
            names = [value.name for value in model.graph.input]
            fed = {n: a for n, a in zip(names, given, strict=False) if n in prepared.graph.inputs}
            for found, right in zip(prepared.run(fed), expected, strict=True):
                difference = _difference(found, _array(right), case.rtol, case.atol)
                if difference:
                    return Outcome.FAILED, difference
    except ZapdeployError as error:
        return Outcome.REFUSED, _reason(str(error))
    except Exception as error:
        return Outcome.CRASHED, one_line(f"{type(error).__name__}: {error}", 300)
    return Outcome.PASSED, ""


def _reason(message: str) -> str:
    """What was refused, without what all messages have and without the temporary file's name."""
    message = re.sub(r" ?\('[^']*model\.onnx'\)", "", message)
    return one_line(message.rpartition(" cannot: ")[2], 300)


def _array(value: Any) -> Array:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    raise ZapdeployError("inputs and outputs must be tensors, not sequences or nothing")


def _with_constants(
    model: onnx.ModelProto, arrays: Sequence[Array]
) -> tuple[onnx.ModelProto, list[Array]]:
    """The model with all inputs but the first as initializers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    values = list(model.graph.input)
    for value, array in list(zip(values, arrays, strict=False))[1:]:
        tensor = numpy_helper.from_array(array, value.name)
        tensor.data_type = value.type.tensor_type.elem_type
        made.graph.initializer.append(tensor)
    del made.graph.input[1:]
    return made, list(arrays[:1])


def _difference(found: Array, right: Array, relative: float, absolute: float) -> str:
    if found.shape != right.shape:
        return f"shape {list(found.shape)}, not {list(right.shape)}"
    if found.dtype.kind != right.dtype.kind and right.dtype.kind in "iub":
        return f"type {found.dtype}, not {right.dtype}"
    near = np.isclose(
        found.astype(np.float64), right.astype(np.float64), relative, absolute, equal_nan=True
    )
    if near.all():
        return ""
    return f"{np.count_nonzero(~near)} of {near.size} elements differ"


def table(found: Sequence[NodeTest]) -> str:
    """The counts, a row for each operator, and what failed or crashed by name."""
    totals = Counter(test.outcome for test in found)
    listed = ", ".join(f"{outcome.value} {totals[outcome]}" for outcome in Outcome)
    lines = [
        "Made by `python -m zapdeploy.benchmarks.experiments.conformance -o docs/conformance.md`;",
        "refusals are of a test's network as it stands, in float32 where it has no quantizers.",
        "",
        f"{len(found)} node tests of onnx {onnx.__version__}: {listed}.",
        "",
        "| operator | passed | refused | why (the first) |",
        "|---|---|---|---|",
    ]
    for operator in sorted({test.operator for test in found}):
        tests = [test for test in found if test.operator == operator]
        counts = Counter(test.outcome for test in tests)
        why = next((t.why for t in tests if t.outcome is Outcome.REFUSED), "").replace("|", "\\|")
        row = (operator, counts[Outcome.PASSED], counts[Outcome.REFUSED], one_line(why, 160))
        lines.append("| " + " | ".join(map(str, row)) + " |")
    wrong = [t for t in found if t.outcome in (Outcome.FAILED, Outcome.CRASHED)]
    lines += ["", *(f"- {t.name}: {t.outcome.value}: {t.why}" for t in wrong)] if wrong else []
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all node tests; 0 when none failed or crashed, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m zapdeploy.benchmarks.experiments.conformance")
    parser.add_argument("-o", "--output", type=Path, help="where to write the table (Markdown)")
    options = parser.parse_args()
    found = list(node_tests())
    text = table(found)
    if options.output is not None:
        with atomic_write(options.output) as file:
            file.write(text.encode())
    wrong = [t for t in found if t.outcome in (Outcome.FAILED, Outcome.CRASHED)]
    print(text.splitlines()[3])
    for test in wrong:
        print(f"{test.name}: {test.outcome.value}: {test.why}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
