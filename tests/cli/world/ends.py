"""Unused inputs, constant outputs, results of unknown length, tensors without a batch."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.cli.world.writing import File, case, float32


@case()
def unused_inputs_three(file: File) -> None:
    file.input("u1", [3], TensorProto.INT64, give=np.array([1, 2, 3]))
    file.input("u2", [], TensorProto.BOOL, give=np.array(True))
    file.input("u3", ["a", "file"], TensorProto.FLOAT, give=np.ones((1, 1), float32))
    file.node(
        "NonZero", [file.node("Constant", [], value=numpy_helper.from_array(np.ones(3, float32)))]
    )
    file.output(file.node("MatMul", [file.input("x", [2, 8]), file.floats(8, 4)]))


@case()
def constant_outputs_kinds(file: File) -> None:
    file.output(file.node("MatMul", [file.input("x", [2, 8]), file.floats(8, 4)]))
    file.output(
        file.node("Constant", [], value=numpy_helper.from_array(np.array([1, 2], np.int64))),
        TensorProto.INT64,
    )
    file.output(file.node("Add", [file.floats(3), file.floats(3)]))
    file.output(file.node("Shape", ["x"]), TensorProto.INT64)


@case()
def nonzero_refused(file: File) -> None:
    x = file.node("MatMul", [file.input("x", [4, 8]), file.floats(8, 8)])
    file.output(
        file.node("NonZero", [file.node("Greater", [x, file.constant(float32(0))])]),
        TensorProto.INT64,
    )


@case()
def nms_refused(file: File) -> None:
    x = file.node("Conv", [file.input("x", [1, 3, 8, 8]), file.floats(4, 3, 3, 3)])
    bx = file.node(
        "Transpose",
        [file.node("Reshape", [x, file.constant(np.array([1, 4, 36]))])],
        perm=[0, 2, 1],
    )
    s = file.node(
        "Reshape",
        [
            file.node("Conv", [file.input("z", [1, 3, 8, 8]), file.floats(1, 3, 3, 3)]),
            file.constant(np.array([1, 1, 36])),
        ],
    )
    file.output(
        file.node(
            "NonMaxSuppression",
            [
                bx,
                s,
                file.constant(np.array([5])),
                file.constant(np.array([0.5], float32)),
                file.constant(np.array([0.1], float32)),
            ],
        ),
        TensorProto.INT64,
    )


@case()
def reshape_fixed_batch_float(file: File) -> None:
    x = file.node(
        "Relu", [file.node("Conv", [file.input("x", ["N", 3, 6, 6]), file.floats(4, 3, 3, 3)])]
    )
    file.output(
        file.node(
            "Gemm",
            [file.node("Reshape", [x, file.constant(np.array([1, 64]))]), file.floats(64, 5)],
        )
    )


@case()
def reshape_from_shape(file: File) -> None:
    x = file.node(
        "Relu", [file.node("Conv", [file.input("x", ["N", 3, 6, 6]), file.floats(4, 3, 3, 3)])]
    )
    s = file.node(
        "Concat",
        [
            file.node(
                "Slice",
                [
                    file.node("Shape", [x]),
                    file.constant(np.array([0])),
                    file.constant(np.array([1])),
                ],
            ),
            file.constant(np.array([-1])),
        ],
        axis=0,
    )
    file.output(file.node("Gemm", [file.node("Reshape", [x, s]), file.floats(64, 5)]))


@case()
def one_dimensional_input(file: File) -> None:
    file.output(file.node("MatMul", [file.input("x", [16]), file.floats(16, 4)]))


@case()
def unbatched_image(file: File) -> None:
    file.output(
        file.node(
            "Squeeze",
            [
                file.node(
                    "Conv",
                    [
                        file.node(
                            "Unsqueeze", [file.input("x", [3, 8, 8]), file.constant(np.array([0]))]
                        ),
                        file.floats(4, 3, 3, 3),
                    ],
                ),
                file.constant(np.array([0])),
            ],
        )
    )


@case()
def scalar_mean_all(file: File) -> None:
    file.output(
        file.node(
            "ReduceMean",
            [file.node("Conv", [file.input("x", [1, 3, 6, 6]), file.floats(4, 3, 3, 3)])],
            keepdims=0,
        )
    )


@case()
def input_is_output(file: File) -> None:
    x = file.input("x", [1, 4])
    file.output(file.node("Identity", [x]))
    file.output(file.node("MatMul", [x, file.floats(4, 3)]))


@case()
def moves_tile_expand(file: File) -> None:
    x = file.input("x", [1, 4, 1])
    file.output(file.node("Tile", [x, file.constant(np.array([1, 2, 3]))]))
    file.output(file.node("Expand", [x, file.constant(np.array([2, 4, 5]))]))


@case()
def kv_cache(file: File) -> None:
    x = file.input("x", [1, 1, 8])
    past = file.input("past", [1, 5, 8])
    k = file.node("Concat", [past, file.node("MatMul", [x, file.floats(8, 8)])], axis=1)
    s = file.node(
        "Softmax",
        [
            file.node(
                "MatMul",
                [
                    file.node("MatMul", [x, file.floats(8, 8)]),
                    file.node("Transpose", [k], perm=[0, 2, 1]),
                ],
            )
        ],
        axis=-1,
    )
    file.output(file.node("MatMul", [s, k]))
    file.output(k)


@case()
def state_two(file: File) -> None:
    x = file.input("x", [1, 6])
    a = file.input("a", [2, 1, 8])
    c = file.input("c", [1, 3, 1, 4])
    hdn = file.node(
        "Tanh",
        [
            file.node(
                "Add",
                [
                    file.node("Gemm", [x, file.floats(6, 8)]),
                    file.node(
                        "Squeeze",
                        [
                            file.node(
                                "Slice",
                                [
                                    a,
                                    file.constant(np.array([0])),
                                    file.constant(np.array([1])),
                                    file.constant(np.array([0])),
                                ],
                            ),
                            file.constant(np.array([0])),
                        ],
                    ),
                ],
            )
        ],
    )
    file.output(file.node("Gemm", [hdn, file.floats(8, 2)]))
    file.output(
        file.node(
            "Concat",
            [
                file.node("Unsqueeze", [hdn, file.constant(np.array([0]))]),
                file.node(
                    "Slice",
                    [
                        a,
                        file.constant(np.array([0])),
                        file.constant(np.array([1])),
                        file.constant(np.array([0])),
                    ],
                ),
            ],
            axis=0,
        )
    )
    file.output(file.node("Mul", [c, file.constant(float32(0.9))]))
