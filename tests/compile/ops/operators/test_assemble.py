"""Assemble: joins the laws of all operators; pieces must fill the box, each element once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compile.ops.build import UINT8, call, plain, quantized
from zapdeploy.compile.graph import Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.errors import ModelError


def _piece(name: str, *shape: int) -> Value:
    return quantized(name, shape, UINT8, 0.02, 3)


_Y = quantized("y", (2, 5, 6), UINT8, 0.02, 3)
# A box of 5 x 6 from one of 4 x 4 that reaches beyond it by a row, and a row and columns besides.
_PIECES = [_piece("own", 2, 4, 4), _piece("row", 2, 2, 4), _piece("columns", 2, 5, 2)]
_STARTS = (0, -1, 0, 0, 3, 0, 0, 0, 4)
CALLS = {
    "assemble": call("Assemble", [*_PIECES], _Y, starts=_STARTS),
    "crop": call("Assemble", [plain("x", (3, 7))], plain("y", (2, 4)), starts=(-1, -2)),
}


def test_pieces_lie_where_they_begin() -> None:
    c = CALLS["assemble"]
    arrays = [np.full(v.shape, k, np.uint8) for k, v in enumerate(c.inputs) if v is not None]
    (found,) = operator("Assemble").evaluate(c, arrays)
    assert found[0].tolist() == [[0] * 4 + [2] * 2] * 3 + [[1] * 4 + [2] * 2] * 2


@pytest.mark.parametrize("starts", [(0, 0, 2, 0), (0, 0, 1, 1)], ids=["overlap", "gap"])
def test_pieces_must_fill_the_box(starts: tuple[int, ...]) -> None:
    pieces: list[Value | None] = [plain("a", (3, 4)), plain("b", (2, 4))]
    with pytest.raises(ModelError, match=r"pieces must fill \[5, 4\] without overlap"):
        call("Assemble", pieces, plain("y", (5, 4)), starts=starts)
