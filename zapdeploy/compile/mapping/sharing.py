"""Work that several compilations share: Mappers, what follows from a choice of cuts, schedules.

What a Mapper prices depends on the layers' forms and on the chip's units, networks and prices; not
on how much the memories hold, nor on the host. Inside `sharing`, compilations that differ in
nothing else take the same Mapper, and with it every choice that was made before: as each asks for
the prices of memory in the same order, from none upwards, the choices are those it would have made
alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.mapper import Mapper, NetworkMapping, Objective, Routes, layer_form
from zapdeploy.hardware_targets import Target
from zapdeploy.hardware_targets.changes import target_numbers
from zapdeploy.progress import Progress

T = TypeVar("T")
# Entries of a target that no Mapper reads: see tests/compile/mapping/test_sharing.py.
NOT_READ = frozenset(
    {
        *("core.memory", "framebuffer.memory", "energy.host_byte", "energy.idle_power"),
        *("host.bandwidth", "host.transfer_latency", "host.launch_latency"),
    }
)


class SharedMapper(Mapper):
    """A Mapper that remembers its choices."""

    _made: dict[float, NetworkMapping] | None = None

    def map(self, memory_weight: float = 0.0) -> NetworkMapping:
        self._made = {} if self._made is None else self._made
        if memory_weight not in self._made:
            self._made[memory_weight] = super().map(memory_weight)
        return self._made[memory_weight]


class Kept:
    """The last few of what was made, by key; `found` and `made` count what was there or was not."""

    def __init__(self, most: int) -> None:
        self._most, self._things = most, OrderedDict[Hashable, Any]()
        self.found = self.made = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        there = key in self._things
        self.found, self.made = self.found + there, self.made + (not there)
        found: T = self._things.pop(key) if there else make()
        self._things[key] = found
        while len(self._things) > self._most:
            self._things.popitem(last=False)
        return found


class Shared:
    """What compilations have made that others may take."""

    def __init__(self, most_mappers: int = 6, most_results: int = 24) -> None:
        self.mappers, self.results = Kept(most_mappers), Kept(most_results)

    def mapper(
        self,
        layers: tuple[Layer, ...],
        target: Target,
        objective: Objective,
        progress: Progress,
        carried: Mapping[str, str],
        width: float,
        routes: Routes | None = None,
    ) -> Mapper:
        key = (_network(layers), _read(target), objective, tuple(carried.items()), width)
        return self.mappers.get(
            key,
            lambda: SharedMapper(
                layers, target, objective, progress, carried, width, routes=routes
            ),
        )


_shared: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def sharing(shared: Shared) -> Iterator[None]:
    """Inside the block, compilations share this work."""
    token = _shared.set(shared)
    try:
        yield
    finally:
        _shared.reset(token)


def mapper_of(
    layers: tuple[Layer, ...],
    target: Target,
    objective: Objective,
    progress: Progress,
    carried: Mapping[str, str],
    width: float,
    routes: Routes | None = None,
) -> Mapper:
    """A Mapper of these layers: one that is shared, where there is sharing."""
    shared = _shared.get()
    make = Mapper if shared is None else shared.mapper
    return make(layers, target, objective, progress, carried, width, routes=routes)


def once(key: Hashable, make: Callable[[], T]) -> T:
    """What `make` returns: of the same key, where there is sharing, the same as before. The key may
    hold objects that compare by identity; they are kept with it."""
    shared = _shared.get()
    return make() if shared is None else shared.results.get(key, make)


def schedule_key(layers: tuple[Layer, ...], cuts: Hashable, target: Target) -> Hashable:
    """What a schedule depends on: the network, its cuts, and all numbers of a chip but prices."""
    numbers = numbers_read(target)
    kept = tuple((k, repr(v)) for k, v in sorted(numbers.items()) if not k.startswith("energy."))
    return ("schedule", _network(layers), cuts, kept)


def _network(layers: tuple[Layer, ...]) -> Hashable:
    """What the choice of cuts, and whoever reads it, take of a network: forms and names."""
    return tuple(
        (
            layer_form(layer),
            layer.output.name,
            tuple(call.node.name for call in layer.calls),
            tuple(tuple(sorted(call.node.attributes.items())) for call in layer.calls),
            tuple(read.source.name for read in layer.reads),
        )
        for layer in layers
    )


def numbers_read(target: Target) -> dict[str, Any]:
    """The entries of a target that the choice of cuts depends on."""
    numbers = target_numbers(target)
    return {key: value for key, value in numbers.items() if key not in NOT_READ}


def _read(target: Target) -> Hashable:
    return tuple((key, repr(value)) for key, value in sorted(numbers_read(target).items()))
