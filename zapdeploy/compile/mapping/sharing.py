"""Mappers that several compilations share.

What a Mapper prices depends on the layers' forms and on the chip's units, networks and prices; not
on how much the memories hold, nor on the host. Inside `sharing`, compilations that differ in
nothing else take the same Mapper, and with it every choice that was made before: as each asks for
the prices of memory in the same order, from none upwards, the choices are those it would have made
alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.mapper import (
    Mapper,
    NetworkMapping,
    Objective,
    Progress,
    layer_form,
)
from zapdeploy.hardware_targets import Target
from zapdeploy.hardware_targets.changes import target_numbers

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


class Mappers:
    """The last few Mappers; `found` and `made` count how often one was there and was not."""

    def __init__(self, most: int = 6) -> None:
        self._most, self._kept = most, OrderedDict[Hashable, SharedMapper]()
        self.found = self.made = 0

    def of(
        self,
        layers: tuple[Layer, ...],
        target: Target,
        objective: Objective,
        progress: Progress,
        carried: Mapping[str, str],
        width: float,
    ) -> Mapper:
        key = (_network(layers), _read(target), objective, tuple(carried.items()), width)
        kept = self._kept.pop(key, None)
        if kept is None:
            kept = SharedMapper(layers, target, objective, progress, carried, width)
            self.made += 1
        else:
            self.found += 1
        self._kept[key] = kept
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept


_shared: ContextVar[Mappers | None] = ContextVar("mappers", default=None)


@contextmanager
def sharing(mappers: Mappers) -> Iterator[None]:
    """Inside the block, compilations share these Mappers."""
    token = _shared.set(mappers)
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
) -> Mapper:
    """A Mapper of these layers: one that is shared, where there is sharing."""
    mappers = _shared.get()
    make = Mapper if mappers is None else mappers.of
    return make(layers, target, objective, progress, carried, width)


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
