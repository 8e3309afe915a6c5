"""A network over one chip or several: a Program for each, and the tensors that go between them.

A network on a single chip is a pipeline of one stage; nothing that reads a Pipeline has to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import chip_output
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.stages import size_on_chip
from zapdeploy.compile.program.layer_records import layer_bars, layer_records, layer_table
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import Target
from zapdeploy.tables import Answer, Table


@dataclass(frozen=True)
class Link:
    """A tensor that one stage sends to the host, and the host to each stage that reads it.

    `size_bytes`: of one micro-batch, on the wire.
    """

    value: str
    source: int
    readers: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class Pipeline(Answer):
    """A compiled network. Each stage runs on a chip of its own; frames stream through them.

    `options.batch` is what the user asked for; the stages take `micro_batch` frames at a time.
    `inputs`, `outputs` and `state` are the network's, for one micro-batch. `origins` are the files
    that were compiled: one, or one for each stage. `stages` may be read from a file one by one: go
    through them once, and keep none. `violation` says why the network does not fit on so many
    chips; `stages` then holds the Program of the whole network, or of the part in question, on one.
    """

    model: str
    target: Target
    target_toml: str
    options: Options
    micro_batch: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    state: tuple[tuple[str, str], ...]
    origins: tuple[Origin, ...]
    stages: Sequence[Program]
    links: tuple[Link, ...]
    violation: CapacityViolation | None
    version: str
    digest: str = ""

    @property
    def fits(self) -> bool:
        """Whether the network has room on its chips."""
        return self.violation is None

    @property
    def on_what(self) -> str:
        """The chip, or how many of them, in words."""
        chips, name = self.options.chips, self.target.name
        return name if chips == 1 else f"{chips} x {name}"

    @property
    def why_not(self) -> str:
        """Why the network does not fit, and what would help; empty where it does."""
        found = self.violation
        if found is None:
            return ""
        fix = " or ".join(found.hints) or "a chip with more memory"
        return found.sentence(self.model, self.on_what, fix)

    def __repr__(self) -> str:
        fits = "fits" if self.fits else "does not fit"
        batch = self.options.batch
        return f"<Pipeline of {self.model} for {self.on_what}, batch {batch}: {fits}>"

    def records(self) -> list[dict[str, Any]]:
        """The layers, stage by stage."""
        return layer_records(self.stages, "stage")

    def tables(self) -> tuple[Table, ...]:
        """The layers as they were mapped; nothing was timed yet."""
        return (layer_table(self._title, self.records(), "stage"),)

    def _figure(self, graph_objects: Any) -> Any:
        return layer_bars(graph_objects, self._title, self.records())

    @property
    def _title(self) -> str:
        return self.why_not or f"{self.model} on {self.on_what}, batch {self.options.batch}"

    @property
    def micro_batches(self) -> int:
        """Micro-batches in a batch."""
        return self.options.batch // self.micro_batch

    @property
    def origin(self) -> Origin:
        """The file that was compiled. Raises UsageError for a network that was given in parts."""
        if len(self.origins) > 1:
            raise UsageError(
                f"network must be one file for this, not {len(self.origins)} parts ({self.model}); "
                "take a part by itself"
            )
        return self.origins[0]

    @property
    def interface(self) -> Graph:
        """A graph without nodes that has the network's inputs and outputs."""
        values = {value.name: value for value in (*self.inputs, *self.outputs)}
        inputs, outputs = (
            tuple(value.name for value in side) for side in (self.inputs, self.outputs)
        )
        return Graph(self.model, (), values, inputs, outputs, self.state)

    @property
    def graph(self) -> Graph:
        """The whole network, put together again from its stages; as `origin`, not from parts."""
        assert self.origin
        graphs = [stage.graph for stage in self.stages]
        nodes = {node.name: node for graph in graphs for node in graph.nodes}
        values = {name: value for graph in graphs for name, value in graph.values.items()}
        return replace(self.interface, nodes=tuple(nodes.values()), values=values)


@dataclass(frozen=True, eq=False)
class Border:
    """What a stage takes and gives; `sent_bytes`: of each output, on the wire."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    state: tuple[tuple[str, str], ...]
    sent_bytes: tuple[int, ...]


def border_of(graph: Graph, target: Target) -> Border:
    """The border of a stage with this graph."""
    return Border(
        inputs=tuple(_plain(graph.values[name]) for name in graph.inputs),
        outputs=tuple(_plain(graph.values[name]) for name in graph.outputs),
        state=graph.state,
        sent_bytes=tuple(size_on_chip(chip_output(graph, name), target) for name in graph.outputs),
    )


def single(program: Program) -> Pipeline:
    """A Program as the pipeline that it is alone."""
    pipeline = pipeline_of(program.graph, program.options, (program,))
    return replace(pipeline, violation=program.violation)


def pipeline_of(graph: Graph, options: Options, stages: Sequence[Program]) -> Pipeline:
    """The stages of a network, of which `graph` has at least the inputs and outputs."""
    first = stages[0]
    around = border_of(graph, first.target)
    return Pipeline(
        model=first.model,
        target=first.target,
        target_toml=first.target_toml,
        options=options,
        micro_batch=first.options.batch,
        inputs=around.inputs,
        outputs=around.outputs,
        state=around.state,
        origins=(first.origin,),
        stages=stages,
        links=links_between([border_of(stage.graph, first.target) for stage in stages]),
        violation=None,
        version=first.version,
    )


def links_between(borders: Sequence[Border]) -> tuple[Link, ...]:
    """What the stages with these borders send each other, in the order in which it is made."""
    readers: dict[str, list[int]] = {}
    for index, border in enumerate(borders):
        for value in border.inputs:
            readers.setdefault(value.name, []).append(index)
    return tuple(
        Link(value.name, index, tuple(readers[value.name]), size)
        for index, border in enumerate(borders)
        for value, size in zip(border.outputs, border.sent_bytes, strict=True)
        if value.name in readers
    )


def _plain(value: Value) -> Value:
    """Name, shape and type of a tensor."""
    return Value(value.name, value.shape, value.element)
