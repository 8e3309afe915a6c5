"""How many frames a run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.messages import one_node
from zapdeploy.compile.frames import frames_of
from zapdeploy.compile.frontend import import_model


@pytest.mark.parametrize(
    ("op", "shape", "more", "attributes", "frames"),
    [
        ("Relu", (4, 8), (), {}, 4),
        ("Softmax", (4, 8), (), {"axis": 1}, 4),
        ("Softmax", (4, 8), (), {"axis": 0}, 1),  # every index needs all others
        ("ReduceMean", (4, 8), (np.asarray([0], np.int64),), {"keepdims": 0}, 1),
        ("Transpose", (4, 4), (), {"perm": [1, 0]}, 1),
        ("Reshape", (4, 8), (np.asarray([2, 16], np.int64),), {}, 1),
        ("Relu", (1, 8), (), {}, 1),
    ],
)
def test_frames(
    tmp_path: Path, op: str, shape: Any, more: Any, attributes: dict[str, Any], frames: int
) -> None:
    path = one_node(op, shape, *more, **attributes).save(tmp_path / "model.onnx")
    assert frames_of(import_model(path).graph) == frames
