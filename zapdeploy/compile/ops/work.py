"""Operations of the vector and activation units that many operators share.

What is assumed, in operations per element:

    what                      vector  activation  why
    read a quantized operand       2           0  multiply by the scale, add the zero point's
                                                  share (1 when the zero point is 0)
    write a quantized result       2           1  multiply, add the zero point (1 when it is 0);
                                                  round and clamp are one activation operation
    Add, Sub, Mul, Min, Max        1           0  for each operand after the first
    Add, Sub to a quantized      3-4           1  two multiplies that hold the result's scale, an
      result, in all                              add, another for the zero points
    Neg, Abs, Cast                 1           0
    Relu, Clip                     0           1  a clamp
    LeakyRelu                      2           0  multiply, choose
    HardSigmoid                    2           1  multiply, add; clamp
    HardSwish                      3           1  the same, and a multiply
    compare, And, Or, Not, Where   1           0
    Sigmoid, Tanh, Exp, Log,       0           1  a table look-up with interpolation
      Erf, Sqrt, Sin, Cos,
      Softplus
    Gelu                           1           1  look up the distribution, multiply
    Swish                     1 or 2           1  multiply by alpha, look up the sigmoid, multiply
    Reciprocal                     3           1  look up; a Newton step: 2 multiplies, 1 subtract
    Div                            4           1  the same, and a multiply
    Pow                            1           2  2^(b log2 a): two look-ups, one multiply
    Softmax                        4           1  compare, subtract, add, multiply; look up exp
    LogSoftmax                     4           1  compare, subtract, add, subtract; look up exp
    LayerNormalization        6 or 7           0  add, subtract, square, add, multiply by
                                                  1/deviation and the scale, add the bias
    RMSNormalization               4           0  square, add, multiply by 1/root and the scale
    scales of single neurons   1 to 3          0  more behind a product, see `epilogue`
    MaxPool                      k-1           0  compares under a window of k elements
    means                  k or k+1            1  k-1 adds, a multiply (scales over k), zero points
    sums, extrema                k-1           0  adds or compares along the axes
    Gather, GatherElements         1           0  an address
    Resize                 2^(k+1)-1           0  weighted sum of the 2^k neighbours along k axes

The tables' sizes and the Newton step are assumptions: no chip of this kind publishes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Call, Quantization, Value
from zapdeploy.compile.ops.axes import quantization_after
from zapdeploy.compile.ops.base import ElementWork

NO_WORK = ElementWork(vector=0, activation=0)
ROUND_AND_CLAMP = 1
LOOK_UP = 1
DIVIDE = ElementWork(vector=4, activation=LOOK_UP)


def reading(value: Value | None) -> float:
    """Vector operations that make a real number of one element."""
    if value is None or value.quantization is None:
        return 0
    return 2 if value.quantization.zero_point.any() else 1


def writing(value: Value) -> ElementWork:
    """Work that makes one element of the result out of a real number."""
    if value.quantization is None:
        return NO_WORK
    return ElementWork(2 if value.quantization.zero_point.any() else 1, ROUND_AND_CLAMP)


def around(call: Call, function: ElementWork) -> ElementWork:
    """A function's own work, with reading its operands and writing its result."""
    written = writing(call.output)
    read = sum(reading(value) for value in call.inputs)
    return ElementWork(
        read + function.vector + written.vector, function.activation + written.activation
    )


@dataclass(frozen=True)
class Scaled:
    """Dimensions of a matrix operator's output that the scales of x, w and y run along; None: one
    scale."""

    x: int | None = None
    w: int | None = None
    y: int | None = None


ONE_SCALE = Scaled()


def epilogue(call: Call, bias: Value | None, scaled: Scaled = ONE_SCALE) -> ElementWork:
    """What follows the accumulator of a matrix operator: scale, bias or zero point, round, clamp.

    A plain integer output is the accumulator itself. Scales along one dimension are one multiply.
    Those along another than the channels' (of neurons) are a further one, and keep bias and zero
    point apart: ((acc s_w[o] s_x[n]) + b[o]) / s_y[n] + z[n]. Zero points of x that vary are sums
    over the weights, z_x[n] times the sum of w[o], which cost a multiply and a subtract.
    """
    out, x = call.output, call.input(0)
    if out.quantization is None and out.element.is_integer:
        return ElementWork(0 if bias is None else 1, 0)
    zeros = out.quantization is not None and bool(out.quantization.zero_point.any())
    rounded = 0 if out.quantization is None else ROUND_AND_CLAMP
    axes = {axis for axis in (scaled.x, scaled.w, scaled.y) if axis is not None}
    if not axes - {scaled.w}:
        return ElementWork(2 if bias is not None or zeros else 1, rounded)
    multiplies = len(axes) if bias is None or scaled.y is None else len({scaled.x, scaled.w}) + 1
    corrected = 2 if x.quantization is not None and np.ptp(x.quantization.zero_point) else 0
    return ElementWork(multiplies + (bias is not None) + zeros + corrected, rounded)


def moving(call: Call) -> ElementWork:
    """A change of place: no work, unless some input has other parameters than the output."""
    out = call.output.quantization
    if out is None:
        return NO_WORK
    changed = [value for value in call.inputs if value is not None and _changes(call, value, out)]
    if not changed:
        return NO_WORK
    written = writing(call.output)
    return ElementWork(max(map(reading, changed)) + written.vector, written.activation)


def _changes(call: Call, value: Value, out: Quantization) -> bool:
    """Whether codes of an input are other codes in the output."""
    if value.quantization is None:
        return False
    meaning = quantization_after(call.node, value, call.output.shape)
    return meaning is None or not meaning.same(out)


def mean_work(call: Call, count: int) -> ElementWork:
    """A sum of `count` codes, one multiply (scales over count), one add (zero points)."""
    rounded = 0 if call.output.quantization is None else ROUND_AND_CLAMP
    return ElementWork(count - 1 + (2 if has_zero_point(call) else 1), rounded)


def has_zero_point(call: Call) -> bool:
    """Whether any operand's or the result's zero point is not 0."""
    return any(
        bool(value.quantization.zero_point.any())
        for value in (*call.inputs, call.output)
        if value is not None and value.quantization is not None
    )
