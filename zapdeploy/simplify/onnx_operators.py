"""What is so of ONNX's operators by their definition: sets that several rooms need, each once.

What the compiler's own operators are like, they say themselves (`zapdeploy.compile.ops`); a test
holds these sets against them. What one exporter, one runtime or one method makes of an operator
stands where that is dealt with.
"""

from __future__ import annotations

# The same elements in the same order under another shape.
RESHAPES = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze"))
# Elements change place, each is there once, whatever the input's values are.
LAYOUT = RESHAPES | {"Transpose"}
# The same numbers, perhaps in another type.
COPIES = frozenset(("Identity", "Cast"))
# Some of the input's elements, or some of them several times; all that is in LAYOUT too.
MOVES = LAYOUT | {"Identity", "Slice", "Split", "Concat", "Gather", "Expand", "Tile"}
# Each element is limited to a range, and that is all.
CLAMPS = frozenset(("Relu", "Clip"))

CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))
PRODUCTS = CONVOLUTIONS | {"MatMul", "Gemm"}
RECURRENT = frozenset(("LSTM", "GRU", "RNN"))  # products inside

STATIC_QUANTIZERS = frozenset(("QuantizeLinear", "DequantizeLinear"))
QUANTIZERS = STATIC_QUANTIZERS | {"DynamicQuantizeLinear"}
INTEGER_PRODUCTS = frozenset(("ConvInteger", "MatMulInteger"))
CONTROL_FLOW = frozenset(("If", "Loop", "Scan"))
RANDOM = frozenset(
    ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli")
)
# Of constants they are no constants: codes stay as they are, and random numbers are new each time.
NEVER_FOLDED = QUANTIZERS | CONTROL_FLOW | RANDOM
SHAPES = frozenset(("Shape", "Size"))  # constants where shapes are known
