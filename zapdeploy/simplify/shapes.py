"""Lengths for the dimensions that a file leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import onnx

from zapdeploy.errors import ModelError, UsageError
from zapdeploy.simplify.graphs import all_nodes

Lengths = tuple[int, ...]
UNNAMED = ("", "?", "-1", "None")  # what exporters write where they mean "some length"


@dataclass(frozen=True)
class InputShapes:
    """What the caller says: the batch (None: the file's own, 1 where it is open), and the whole
    shape of some inputs by name, 0 for a length that is left to the file. `constants`: inputs that
    always have one value.
    """

    batch: int | None = None
    given: Mapping[str, Lengths] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """The batch as the file has it (None: open), and as asked for."""

    before: int | None
    after: int


def network_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are not initializers."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def fix_inputs(
    graph: onnx.GraphProto, shapes: InputShapes, *, keep_batch: bool = False
) -> Batch | None:
    """Write a length into every dimension of the inputs, in place; the batch that was changed.

    The first dimension is the batch: as asked for, else the file's, else 1. A dimension that has
    the batch's name is the batch wherever it stands; one whose name has a length by `given` has
    that length everywhere. What nobody reads has length 1. `keep_batch` leaves an open batch open.
    Raises ModelError that names all dimensions left open, UsageError for names and shapes that do
    not fit the file.
    """
    if shapes.batch is not None and shapes.batch < 1:
        raise UsageError(f"batch must be at least 1, not {shapes.batch}")
    inputs = network_inputs(graph)
    _check_given(inputs, shapes.given)
    for value in inputs:
        _check_tensor(value)
    rule = _Rule.of(inputs, shapes)
    read = {name for node in all_nodes(graph) for name in node.input}
    read |= {value.name for value in graph.output}
    open_dimensions = []
    for value in inputs:
        for index, dimension in enumerate(value.type.tensor_type.shape.dim):
            if keep_batch and rule.is_open_batch(value, index):
                dimension.dim_param = dimension.dim_param or "batch"
                continue
            length = rule.length(value, index)
            if length is None and value.name not in read:
                length = 1
            if length is None:
                open_dimensions.append((value, index))
            else:
                dimension.dim_value = length
    if open_dimensions:
        raise ModelError(_open_message(inputs, open_dimensions))
    return rule.batch if shapes.batch is not None and rule.firsts else None


def _check_tensor(value: onnx.ValueInfoProto) -> None:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise ModelError(
            f"input '{value.name}' must be a tensor with a known number of dimensions; "
            "export the model with the shape of its inputs"
        )


def _check_given(inputs: list[onnx.ValueInfoProto], given: Mapping[str, Lengths]) -> None:
    by_name = {value.name: value.type.tensor_type.shape.dim for value in inputs}
    for name, lengths in given.items():
        if name not in by_name:
            listed = ", ".join(f"'{n}'" for n in by_name)
            raise UsageError(f"--shape must name an input, one of {listed}, not '{name}'")
        has = [d.dim_value if not _is_open(d) else d.dim_param or "?" for d in by_name[name]]
        fits = len(lengths) == len(has) and min(lengths, default=1) >= 0
        for index, (length, dimension) in enumerate(zip(lengths, has, strict=False)):
            free = isinstance(dimension, str) or (dimension in (1, length) and index == 0)
            fits = fits and (free or dimension == length or not length)
        if not fits:
            shown = ",".join(map(str, has))
            raise UsageError(
                f"--shape of '{name}' must be like {shown} as in the file, "
                f"not {','.join(map(str, lengths))}"
            )


def _is_open(dimension: onnx.TensorShapeProto.Dimension) -> bool:
    """Exporters write an open length as a name, as nothing, as -1 and as 0."""
    return not dimension.HasField("dim_value") or dimension.dim_value <= 0


def _named_lengths(
    inputs: list[onnx.ValueInfoProto], given: Mapping[str, Lengths]
) -> Iterator[tuple[str, int]]:
    """What the given shapes say about dimensions that have a name."""
    for value in inputs:
        pairs = zip(value.type.tensor_type.shape.dim, given.get(value.name, ()), strict=False)
        for dimension, length in pairs:
            if dimension.dim_param not in UNNAMED and length:
                yield dimension.dim_param, length


@dataclass(frozen=True)
class _Rule:
    """How lengths are chosen. `firsts`: the first dimension of each input, None where it is open;
    `names`: what the file calls the batch; `known`: lengths of other names."""

    shapes: InputShapes
    batch: Batch
    firsts: Mapping[str, int | None]
    names: frozenset[str]
    known: Mapping[str, int]

    @classmethod
    def of(cls, inputs: list[onnx.ValueInfoProto], shapes: InputShapes) -> _Rule:
        dimensions = {v.name: v.type.tensor_type.shape.dim for v in inputs}
        dimensions = {name: found for name, found in dimensions.items() if len(found)}
        firsts = {n: None if _is_open(d[0]) else int(d[0].dim_value) for n, d in dimensions.items()}
        names = {dimensions[n][0].dim_param for n, first in firsts.items() if first is None}
        given = {shapes.given[name][0] for name in firsts if name in shapes.given} - {0}
        after = shapes.batch or (min(given) if len(given) == 1 else 1)
        fixed = set(firsts.values())
        before = next(iter(fixed)) if len(fixed) == 1 else 1 if None not in fixed else None
        known = dict(_named_lengths(inputs, shapes.given))
        return cls(shapes, Batch(before, after), firsts, frozenset(names - set(UNNAMED)), known)

    def is_open_batch(self, value: onnx.ValueInfoProto, index: int) -> bool:
        """Whether nobody says what the batch is."""
        dimension = value.type.tensor_type.shape.dim[index]
        given = self.shapes.given.get(value.name, ())
        return (
            _is_open(dimension)
            and self._is_batch(value, index)
            and not (given and given[index])
            and dimension.dim_param not in self.known
        )

    def length(self, value: onnx.ValueInfoProto, index: int) -> int | None:
        """The length that a dimension is to have; None where nobody says."""
        given = self.shapes.given.get(value.name, ())
        if given and given[index]:
            return given[index]
        dimension = value.type.tensor_type.shape.dim[index]
        if _is_open(dimension):
            if dimension.dim_param in self.known:
                return self.known[dimension.dim_param]
            return self.batch.after if self._is_batch(value, index) else None
        length = int(dimension.dim_value)
        if self.shapes.batch is None or not self._is_batch(value, index):
            return length
        if length not in (1, self.shapes.batch):
            raise ModelError(
                f"input '{value.name}' must have a first dimension of 1 or an open one "
                f"for batch {self.shapes.batch}, not {length}; export the model with batch 1"
            )
        return self.shapes.batch

    def _is_batch(self, value: onnx.ValueInfoProto, index: int) -> bool:
        """The first dimension; the second of a state, as recurrent operators have it; and whatever
        has the batch's name."""
        if value.type.tensor_type.shape.dim[index].dim_param in self.names:
            return True
        return index == (1 if self._is_state(value) else 0)

    def _is_state(self, value: onnx.ValueInfoProto) -> bool:
        """Whether the first dimension is something else: of other inputs it is 1 or open."""
        first, dimensions = self.firsts[value.name], value.type.tensor_type.shape.dim
        if first in (None, 1) or len(dimensions) < 3:
            return False
        second = dimensions[1]
        others = any(other in (None, 1) for other in self.firsts.values())
        return others and (_is_open(second) or second.dim_value == 1)


def _open_message(
    inputs: list[onnx.ValueInfoProto], found: list[tuple[onnx.ValueInfoProto, int]]
) -> str:
    """All open dimensions at once, and the options that would close them."""
    listed, options = [], []
    for value in inputs:
        indices = [index for which, index in found if which is value]
        if not indices:
            continue
        dimensions = value.type.tensor_type.shape.dim
        for index in indices:
            named = dimensions[index].dim_param
            listed.append(
                f"{index}{f' ({named})' if named not in UNNAMED else ''} of '{value.name}'"
            )
        lengths = [
            dimensions[i].dim_param or "N" if i in indices else str(max(d.dim_value, 1))
            for i, d in enumerate(dimensions)
        ]
        shown = ",".join(
            "N" if text in UNNAMED or not text.isdecimal() else text for text in lengths
        )
        options.append(f"--shape '{value.name}={shown}'")
    many = "dimension" if len(listed) == 1 else "dimensions"
    return (
        f"every dimension of the inputs must have a length, and {many} {', '.join(listed)} "
        f"{'has' if len(listed) == 1 else 'have'} none; give {' '.join(options)} with a number for "
        "each N"
    )


def lengths_of(
    graph: onnx.GraphProto, shapes: InputShapes, arrays: Mapping[str, Lengths]
) -> InputShapes:
    """The same, where lengths other than the batch that are left open are those of sample arrays.

    `arrays`: their shapes, by the inputs' names.
    """
    given = dict(shapes.given)
    for value in network_inputs(graph):
        dimensions, shape = value.type.tensor_type.shape.dim, arrays.get(value.name, ())
        if value.name in given or len(shape) != len(dimensions):
            continue
        if any(_is_open(d) for d in dimensions[1:]):
            given[value.name] = (0, *shape[1:])
    return replace(shapes, given=given)
