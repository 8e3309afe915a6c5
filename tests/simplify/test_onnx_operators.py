"""The sets of ONNX's operators agree with ONNX, and with what the compiler's operators state."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.compile.frontend.test_backend_nodes import with_constants
from tests.compile.ops.test_backend import collected
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Node
from zapdeploy.compile.ops.base import Trait, Unit, has, operator
from zapdeploy.simplify import onnx_operators
from zapdeploy.simplify.onnx_operators import CLAMPS, COPIES, LAYOUT, MOVES, PRODUCTS, RESHAPES

SETS = {name: found for name, found in vars(onnx_operators).items() if isinstance(found, frozenset)}
READ = (np.float32, np.int32, np.int64, np.bool_)


@pytest.mark.parametrize("name", SETS)
def test_every_name_is_an_operator_of_onnx(name: str) -> None:
    assert all(onnx.defs.has(op) for op in SETS[name]), name


def translated(op: str, folder: Path) -> Iterable[Node]:
    """What ONNX's own tests of an operator become; the data is computed, the rest known."""
    for name, (model, inputs, outputs) in collected().items():
        node = model.graph.node[0]
        plain = all(
            isinstance(a, np.ndarray) and a.dtype in READ and a.size for a in (*inputs, *outputs)
        )
        if len(model.graph.node) > 1 or node.op_type != op or not plain or not inputs:
            continue
        joins = tuple(range(len(inputs))) if op == "Concat" else (0,)
        path = folder / f"{name}.onnx"
        onnx.save(with_constants(model, inputs, joins), path)
        yield from import_model(path).graph.nodes


@pytest.mark.parametrize("op", sorted(MOVES))
def test_what_moves_becomes_what_moves(op: str, tmp_path: Path) -> None:
    for node in translated(op, tmp_path):
        assert has(node.op, Trait.MOVES), node
        if op in RESHAPES:
            assert operator(node.op).unit is Unit.VIEW, node


@pytest.mark.parametrize("op", sorted(CLAMPS))
def test_what_clamps_becomes_what_clamps(op: str, tmp_path: Path) -> None:
    nodes = list(translated(op, tmp_path))
    assert nodes
    for node in nodes:
        assert operator(node.op).bounds(node) is not None, node


def test_operators_of_one_name_are_alike_on_both_sides() -> None:
    """ONNX's sets and the traits of the compiler's operators under the same names."""
    for name in LAYOUT & {"Reshape", "Transpose"}:
        assert has(name, Trait.MOVES)
    for name in PRODUCTS - {"Gemm"}:
        assert operator(name).unit is Unit.MATRIX
    for name in MOVES & {"Concat", "Slice", "Tile"}:
        assert has(name, Trait.MOVES)
    for name in COPIES - {"Identity"}:
        assert has(name, Trait.CONVERTS)
