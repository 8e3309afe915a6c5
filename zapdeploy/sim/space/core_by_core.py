"""A card of several, core by core: its Program carried out layer by layer, in step with the others.

It reads what others send out of its own framebuffer only, and what it sends them is read out of its
cores' memories.
"""

from __future__ import annotations

from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import stored
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Program
from zapdeploy.sim.core_array.run import CoreArray
from zapdeploy.sim.space.lockstep import Mail, Runner, Steps, received


def core_array(program: Program) -> Runner:
    """A card with this Program; every card gets memories of its own."""
    lowered, graph = lower(program), program.graph
    sent = _sent(graph)

    def run(mail: Mail) -> Steps:
        array = CoreArray(lowered)
        framebuffer = array.begin({n: mail[n] for n in graph.inputs if n not in graph.exchanged})
        for events in lowered.layers:
            for name in (d.source for d in events.deliveries):
                if name in graph.inputs and name in graph.exchanged:
                    while name not in mail:
                        yield name
                    framebuffer[name] = received(graph, mail, name)
            array.run_layer(events, framebuffer)
            for value in sent.get(events.layer.output.name, ()):
                yield value.name, array.gathered(value, framebuffer)
        yield from array.end(framebuffer).items()

    return run


def _sent(graph: Graph) -> dict[str, list[Value]]:
    """Values that others are sent parts of, by the tensor that they are or are a view of."""
    found: dict[str, list[Value]] = {}
    for name in sorted(graph.exchanged - set(graph.inputs)):
        value = graph.values[name]
        found.setdefault(stored(graph, value).name, []).append(value)
    return found
