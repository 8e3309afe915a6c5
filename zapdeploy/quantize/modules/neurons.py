"""Which quantizers may have a scale for each neuron, and which of them do.

Neurons are the last axis, that of [batch, time, neurons], along which 1x1 convolutions slide. A
layer that sums over them reads through a quantizer of its own, with one scale. What a sliding
convolution requantizes for itself to fewer bits is centred first: the mean of each channel is
subtracted, and the layer's bias makes up for it (as in Nagel et al., ICCV 2019, section 4.1.3).
Residual sums carry constants that every neuron has, and codes would be spent on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from zapdeploy.arrays import Floats
from zapdeploy.progress import Progress
from zapdeploy.quantize.index_ranges import ActivationScales, IndexRanges, Trial
from zapdeploy.quantize.modules.calibration import Watcher, batches
from zapdeploy.quantize.modules.roles import Role, Roles
from zapdeploy.quantize.modules.sites import METADATA, Placement, Site
from zapdeploy.quantize.ranges import Quantizer

AXIS = -1
SHAPING = frozenset({torch.reshape, "reshape", "view", "contiguous"})  # may leave the axis whole


def summing(roles: Roles) -> frozenset[str]:
    """Layers that are not 1x1 convolutions over neurons, by module name."""
    return frozenset(str(node.target) for node in roles.layers if not _slides(roles, node))


def separable(roles: Roles, placement: Placement) -> dict[Site, frozenset[str]]:
    """Sites of which no reader sums over neurons, or shares a scale with what has none.

    With each, the nodes of which the last axis must be that of the neurons.
    """
    nodes = {node.name: node for node in roles.nodes}
    own = frozenset(name for site in placement.sites for name in site.readers)
    found = {}
    for site in placement.sites:
        if site.readers:
            if all(_slides(roles, nodes[name]) for name in site.readers):
                found[site] = frozenset(site.values)
            continue
        shaped = [_shaped(roles, nodes[name], own) for name in site.values]
        readers = {user.name for name in site.values for user in nodes[name].users}
        if None not in shaped and not readers <= own:
            found[site] = frozenset(site.values).union(*(s for s in shaped if s is not None))
    return found


def _shaped(roles: Roles, node: fx.Node, own: frozenset[str]) -> frozenset[str] | None:
    """Nodes that hand a value's codes on in another shape; None where a reader mixes neurons.

    Readers in `own` requantize for themselves.
    """
    found: set[str] = set()
    for user in node.users:
        if (user.op == "call_method" and user.target in METADATA) or user.target is getattr:
            continue
        role = roles.kind(user)
        if role is Role.MATRIX:
            if user.name not in own and not _slides(roles, user):
                return None
        elif role is Role.PASSING and user in roles.carried:
            if all(reader.name in own for reader in user.users):
                continue
            behind = _shaped(roles, user, own)
            if user.target not in SHAPING or behind is None:
                return None
            found |= {user.name, *behind}
        elif role in (Role.CONCATENATION, Role.POOLING):
            return None
    return frozenset(found)


def _slides(roles: Roles, node: fx.Node) -> bool:
    """Whether a layer is a 1x1 convolution over neurons."""
    layer = roles.graph.get_submodule(str(node.target))
    sizes = ("kernel_size", "stride", "dilation", "padding")
    return isinstance(layer, nn.Conv1d) and [getattr(layer, s) for s in sizes] == [
        (1,), (1,), (1,), (0,)
    ]  # fmt: skip


def per_neuron(
    graph: fx.GraphModule,
    quantizers: Mapping[Site, Quantizer],
    shapes: Mapping[Site, frozenset[str]],
    samples: tuple[Tensor, ...],
    size: int,
    scales: ActivationScales,
    progress: Progress,
) -> dict[Site, Quantizer]:
    """What stands at separable sites, with scales for each neuron where these are better.

    shapes: by site, the nodes whose last axes must be alike, as `separable` found them.
    Two runs over all samples: ranges of the neurons, then errors on the second half.
    """
    ranges = {site: IndexRanges(AXIS) for site in quantizers}
    lengths: dict[Site, set[int]] = {site: set() for site in quantizers}
    centres: dict[Site, Floats] = {}
    for site, name, values, half in _shown(graph, shapes, samples, size, progress):
        lengths[site].add(values.shape[-1] if values.ndim > 1 else 1)
        if name in site.values and len(lengths[site]) == 1:
            if site.readers and site not in centres:
                centres[site] = values.mean(axis=(0, AXIS))
            ranges[site].widen(_centred(values, centres.get(site)), half)
    trials = {
        site: Trial(tensor, ranges[site])
        for site, tensor in quantizers.items()
        if len(lengths[site]) == 1 and ranges[site].low.shape[1] > 1
    }
    values_of = {site: frozenset(site.values) for site in trials}
    for site, _, values, half in _shown(graph, values_of, samples, size, progress):
        if half:
            trials[site].add(values, _centred(values, centres.get(site)))
    found = dict(quantizers)
    for site, trial in trials.items():
        best = trial.choose(scales)
        centre = None if best.axis is None else centres.get(site)
        found[site] = replace(best, centre=centre)
    return found


def _centred(values: Floats, centre: Floats | None) -> Floats:
    return values if centre is None else values - centre[:, None]


def _shown(
    graph: fx.GraphModule,
    sites: Mapping[Site, frozenset[str]],
    samples: tuple[Tensor, ...],
    size: int,
    progress: Progress,
) -> Iterator[tuple[Site, str, Floats, int]]:
    """The values of nodes over all samples, with the half of the samples they belong to.

    A single sample is both halves.
    """
    if not sites:
        return
    count = len(samples[0])
    half = max(count // 2, 1)
    watcher = Watcher(graph, {name for names in sites.values() for name in names})
    seen: list[tuple[str, Tensor]] = []
    watcher.show = lambda name, value: seen.append((name, value))
    at, step = 0, min(size, half)
    for batch in batches(samples, step):
        with torch.no_grad():
            watcher.run(*batch)
        for name, value in seen:
            for site in (site for site, names in sites.items() if name in names):
                yield site, name, value.numpy(), int(at >= half)
                if count == 1:
                    yield site, name, value.numpy(), 1
        seen.clear()
        at += step
        progress("scales of neurons", min(at, count), count)
