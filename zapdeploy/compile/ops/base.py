"""What an operator must say about itself, and the registry that holds them.

An operator lives in one place. Its class says what it computes (`evaluate`), which shapes it makes
(`infer`), which part of its inputs a part of its output needs (`input_regions`), how much work that
is (`matrix_tile`, `element_work`), and which cuts make sense (`cuttable`). Nothing else in the
package knows an operator by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar, TypeVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Node, Shape, Value
from zapdeploy.compile.regions import IntArray, Region, Slices, broadcast
from zapdeploy.errors import ModelError

# The outputs of a call from its inputs.
Evaluation = Callable[[Sequence[Array | None]], tuple[Array, ...]]


class Unit(Enum):
    """Where an operator runs."""

    MATRIX = "matrix"  # the vector-matrix unit; its epilogue in the vector and activation units
    VECTOR = "vector"  # the vector and activation units
    MOVE = "move"  # memory and network only: data changes place, not value
    VIEW = "view"  # another name for the same data: the consumer reads through it


@dataclass(frozen=True)
class ElementWork:
    """Operations per output element outside the matrix unit.

    `vector`: multiplies, adds, compares in the vector unit. `activation`: roundings, clamps and
    table look-ups in the activation unit.
    """

    vector: float
    activation: float


@dataclass(frozen=True)
class MatrixTile:
    """The matrix work behind boxes of the output; arrays over candidates and cores.

    Each of `positions` multiplies, for each of `groups`, a vector by a matrix with `outputs`
    columns. The vector is `runs` pieces of `run_values` consecutive values each (a row of a
    convolution window, its channels innermost, is one piece).
    """

    positions: IntArray
    groups: IntArray
    outputs: IntArray
    runs: IntArray
    run_values: IntArray

    @property
    def macs(self) -> IntArray:
        return self.positions * self.groups * self.outputs * self.runs * self.run_values


class Trait(Enum):
    """What rewriting may rely on. Each operator states its own; no pass keeps a list of names."""

    MOVES = "data changes place, not value"
    QUANTIZER_PASSES = "op(Q(x)) = Q(op(x))"
    DEQUANTIZER_PASSES = "op(DQ(q)) = DQ(op(q))"
    HANDS_CODES_ON = "the output's codes mean what the input's do"
    FOLDS = "of constants it is a constant, made when the network is compiled"
    INTEGER = "in the vector unit it runs on integers where its inputs and output are codes"
    CONVERTS = "numbers are written another way; nothing is computed"
    ROUNDS_ON_BYTES = "on 8-bit codes it rounds by the formula of an integer kernel"
    ZERO_POINT_FIRST = "that kernel adds the zero point before it rounds"


Traits = frozenset[Trait]
NO_TRAITS: Traits = frozenset()
MOVEMENT: Traits = frozenset(
    (Trait.MOVES, Trait.QUANTIZER_PASSES, Trait.DEQUANTIZER_PASSES, Trait.HANDS_CODES_ON)
) | {Trait.FOLDS}
BYTE_ARITHMETIC: Traits = frozenset((Trait.INTEGER, Trait.ROUNDS_ON_BYTES, Trait.ZERO_POINT_FIRST))
# Attributes of the ONNX operator of the same name, with ONNX's defaults.
OnnxAttributes = Mapping[str, float | int | str]


class Operator:
    """Base class; the defaults are those of an elementwise operator with broadcasting."""

    name: ClassVar[str]
    traits: ClassVar[Traits]
    # Where ONNX has the operator under this name, with these attributes and nothing else to know;
    # None where a translator of the front end reads it.
    onnx_attributes: ClassVar[OnnxAttributes | None] = None
    unit: ClassVar[Unit] = Unit.VECTOR
    summary: ClassVar[str] = ""
    batched: ClassVar[bool] = False  # the first dimension of all tensors runs over a batch
    finite: ClassVar[bool] = True  # gives finite real numbers for inputs of ordinary size

    def infer(self, call: Call) -> tuple[Shape, ...]:
        """Shapes of the outputs. Raises ModelError when the inputs do not go together."""
        shapes = [v.shape for v in call.inputs if v is not None]
        try:
            return (tuple(np.broadcast_shapes(*shapes)),)
        except ValueError:
            listed = ", ".join(str(list(s)) for s in shapes)
            raise ModelError(
                f"inputs must have shapes that broadcast, not {listed} (node '{call.node.name}')"
            ) from None

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        """The outputs, exactly. Arrays have the NumPy type of their value's element type."""
        raise NotImplementedError

    def prepare(self, call: Call) -> Evaluation:
        """`evaluate` for many frames: what depends on constants alone is done once."""
        return lambda inputs: self.evaluate(call, inputs)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        """The node's attributes when all its tensors have a further first axis, that of the cores.

        The default suits operators whose attributes name no axis. Those that are `batched` are
        given the axis of the cores as part of the batch instead.
        """
        return call.node.attributes

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        """Attributes that are others where the call makes boxes of its output from boxes of its
        inputs, as if these were all: arrays [boxes, length of the attribute]."""
        return {}

    def adds_up(self, call: Call) -> bool:
        """Whether the output is the sum, in integers, of what parts of input 0 give by themselves.

        Whoever has only parts of the input may then make parts of the sum, and add them later.
        """
        return False

    def rounds_either_way(self, call: Call) -> bool:
        """Whether float32 may round an exact result between two codes to either side: sums of
        numbers times weights, of which it does not hold all exactly.
        """
        return self.unit is Unit.MATRIX and not holds_scales(call)

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        """The output's axis that runs over the same indices as `axis` of the first input.

        None where there is none: the axis is merged, split, cut, or its indices meet. Axes count
        from the front. The default suits whatever computes.
        """
        return None

    def axis_before(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        """The first input's axis that runs over the same indices as `axis` of the output."""
        return self.axis_after(node, after, before, axis)

    def codes_after(self, node: Node, codes: Sequence[Value], output: Value) -> Value | None:
        """The output as codes, from inputs as codes; the scales' axis in `codes` is the output's.

        Only for what has Trait.DEQUANTIZER_PASSES. None where the output has no such codes.
        """
        return replace(output, element=codes[0].element, quantization=codes[0].quantization)

    def bounds(self, node: Node) -> tuple[float, float] | None:
        """What numbers are clamped to, where that is all that the operator does."""
        return None

    def priced_attributes(self, call: Call) -> Mapping[str, Attribute]:
        """The attributes that the work depends on, and how much of the inputs is read; not where.

        Calls that are alike in these, in types and in shapes are priced once.
        """
        return call.node.attributes

    @property
    def is_elementwise(self) -> bool:
        """Whether every output element comes from the elements of the inputs that broadcast to it,
        the last dimensions aligned."""
        return type(self).input_regions is Operator.input_regions

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        """The box of each input that boxes of output 0 need; None for an absent input.

        `reduction` ([..., 1]) is the part of the reduced dimension a core sums over; None is all.
        Boxes are inside the input's shape: padding is not read from anywhere.
        """
        shape = call.output.shape
        return tuple(
            None if value is None else broadcast(out, shape, value.shape) for value in call.inputs
        )

    def slices(self, call: Call, index: int, out: Region) -> Slices | None:
        """What boxes of output 0 leave out of their box of an input; None: nothing."""
        return None

    def grain(self, call: Call) -> tuple[int, ...]:
        """For each dimension of output 0, what tiles along it are multiples of."""
        return (1,) * len(call.output.shape)

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        """For each dimension of output 0, whether it may be cut over cores."""
        return (True,) * len(call.output.shape)

    def element_work(self, call: Call) -> ElementWork:
        """Work per element of output 0 in the vector and activation units."""
        raise NotImplementedError

    # Only operators of the matrix unit:

    def reduction_size(self, call: Call) -> int:
        """Length of the dimension that can be cut into partial sums; 1 when there is none."""
        return 1

    def channel_axis(self, call: Call) -> int:
        """The dimension of the output that runs over columns of the matrix."""
        raise NotImplementedError

    def vector_regions(
        self, call: Call, out: Region, reduction: Region | None, inputs: int
    ) -> Region:
        """Boxes of input 0 behind each vector of `inputs` values, in order [vectors, ..., rank].

        A single box, that of all of them, where the operator does not tell them apart.
        """
        region = self.input_regions(call, out, reduction)[0]
        assert region is not None
        return Region(region.low[None], region.high[None])

    def matrix_tile(self, call: Call, out: Region, reduction: Region | None = None) -> MatrixTile:
        """The matrix work behind boxes of the output (and a part of the reduction)."""
        raise NotImplementedError

    def matrix_tiles(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[MatrixTile, ...]:
        """The same where it is several products of different form, one after the other."""
        return (self.matrix_tile(call, out, reduction),)


T = TypeVar("T", bound=Operator)
_REGISTRY: dict[str, Operator] = {}


def register(cls: type[T]) -> type[T]:
    """Class decorator: make an operator known under its name. It must state its traits."""
    if not hasattr(cls, "traits"):
        raise TypeError(f"operator {cls.name} must state its traits, such as NO_TRAITS")
    _REGISTRY[cls.name] = cls()
    return cls


def operator(name: str) -> Operator:
    """The operator of this name. Raises ModelError for an unknown one."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise ModelError(
            f"operator '{name}' must be one of {', '.join(sorted(_REGISTRY))}"
        ) from None


def has(name: str, trait: Trait) -> bool:
    """Whether the operator of this name has a trait."""
    return trait in operator(name).traits


def registered() -> tuple[Operator, ...]:
    """All operators, by name."""
    return tuple(_REGISTRY[name] for name in sorted(_REGISTRY))


def holds_scales(call: Call) -> bool:
    """Whether float32 holds every dequantized number: all scales are powers of two."""
    used = (v.quantization for v in (*call.inputs, call.output) if v is not None)
    scales = [q.scale.ravel() for q in used if q is not None]
    return bool(np.all(np.frexp(np.concatenate(scales))[0] == 0.5)) if scales else True
