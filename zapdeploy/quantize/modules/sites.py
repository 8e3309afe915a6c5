"""Where quantizers stand: one for each value that is an integer, shared where sums need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from zapdeploy.errors import UsageError
from zapdeploy.quantize.modules.roles import Role, Roles
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

OUTSIDE_BITS = 8  # of what the network reads and writes
METADATA = frozenset({"size", "dim"})  # they look at a tensor's shape alone


@dataclass(frozen=True)
class Site:
    """One quantizer. `values`: names of the nodes behind which it stands. `readers`: names of the
    nodes that see it; empty for all. bits: of its unsigned codes."""

    values: tuple[str, ...]
    bits: int
    readers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """Sites in topological order; by layer its node's name, its bits and its input's site."""

    sites: tuple[Site, ...]
    layers: Mapping[str, str]  # module -> node
    bits: Mapping[str, BitChoice]
    sources: Mapping[str, Site]


def place(
    roles: Roles,
    recipe: ModuleRecipe,
    chosen: Mapping[str, BitChoice] | None = None,
    apart: frozenset[str] = frozenset(),
) -> Placement:
    """Sites and bits for a recipe; `chosen` overrides the bits of layers by module name.

    apart: modules that read through a site of their own, at whatever bits.
    """
    names = {str(layer.target): layer.name for layer in roles.layers}
    if len(names) < len(roles.layers):
        raise UsageError(
            "layers must be called once each, not again with the same weights; "
            "copy the module for each call"
        )
    unknown = sorted(set(chosen or ()) - set(names))
    if unknown:
        raise UsageError(f"layers must be those of the module, not {unknown}; see its record")
    bits = {
        str(layer.target): (chosen or {}).get(str(layer.target))
        or recipe.bits(edge=layer in roles.edges)
        for layer in roles.layers
    }
    groups = _groups(roles, recipe, bits)
    mains = {group: _main_bits(roles, recipe, bits, group) for group in groups}
    main_of = {node: Site(tuple(n.name for n in g), mains[g]) for g in groups for node in g}
    sites = list(dict.fromkeys(main_of.values()))
    sources: dict[str, Site] = {}
    narrow: dict[tuple[fx.Node, int], list[fx.Node]] = {}
    for layer in roles.layers:
        read, wanted = layer.all_input_nodes[0], bits[str(layer.target)].activations
        sources[str(layer.target)] = main_of[roles.root(read)]
        if wanted < main_of[roles.root(read)].bits or str(layer.target) in apart:
            narrow.setdefault((read, wanted), []).append(layer)
    for (read, wanted), readers in narrow.items():
        site = Site((read.name,), wanted, tuple(reader.name for reader in readers))
        sites.append(site)
        sources.update({str(reader.target): site for reader in readers})
    return Placement(tuple(sites), names, bits, sources)


def _sums_alike(
    roles: Roles, recipe: ModuleRecipe, bits: Mapping[str, BitChoice], addition: fx.Node
) -> bool:
    """Whether readers want what an addition hands on in as many bits as it reads.

    On the scale of what it reads such a sum is exact. What all want in fewer bits is better rounded
    once, to those.
    """
    wanted = _main_bits(roles, recipe, bits, (roles.result(addition),))
    return recipe.stream and wanted == recipe.sums


def _groups(
    roles: Roles, recipe: ModuleRecipe, bits: Mapping[str, BitChoice]
) -> tuple[tuple[fx.Node, ...], ...]:
    """Roots of carried values, together where they share a quantizer, in topological order."""
    order = {node: index for index, node in enumerate(roles.nodes)}
    leader = {node: node for node in roles.carried if roles.root(node) is node}

    def find(node: fx.Node) -> fx.Node:
        while leader[node] is not node:
            node = leader[node]
        return node

    for node in roles.nodes:
        if roles.kind(node) in (Role.ADDITION, Role.CONCATENATION):
            inputs = node.all_input_nodes
            if all(source in roles.carried for source in inputs):
                members_of_sum = [roles.root(source) for source in inputs]
                if roles.kind(node) is Role.ADDITION and _sums_alike(roles, recipe, bits, node):
                    members_of_sum.append(roles.result(node))
                first, *others = (find(member) for member in members_of_sum)
                for other in others:
                    leader[find(other)] = find(first)
    members: dict[fx.Node, list[fx.Node]] = {}
    for node in sorted(leader, key=order.__getitem__):
        members.setdefault(find(node), []).append(node)
    return tuple(tuple(group) for group in members.values())


def _main_bits(
    roles: Roles, recipe: ModuleRecipe, bits: Mapping[str, BitChoice], group: tuple[fx.Node, ...]
) -> int:
    """The widest that any reader wants."""
    wanted = [0]
    for node in group:
        if node.op == "placeholder":
            wanted.append(OUTSIDE_BITS)
        for reader in _readers(roles, node):
            role = roles.kind(reader)
            if role is Role.MATRIX:
                wanted.append(bits[str(reader.target)].activations)
            elif role in (Role.ADDITION, Role.CONCATENATION, Role.POOLING):
                wanted.append(recipe.sums)
            else:
                wanted.append(OUTSIDE_BITS)
    return max(wanted) or OUTSIDE_BITS


def _readers(roles: Roles, node: fx.Node) -> list[fx.Node]:
    """What reads a value, directly or through operators that only move it."""
    found: list[fx.Node] = []
    for user in node.users:
        if (user.op == "call_method" and user.target in METADATA) or user.target is getattr:
            continue
        if roles.kind(user) is Role.PASSING and user in roles.carried:
            found += _readers(roles, user)
        else:
            found.append(user)
            if roles.kind(user) is Role.CONCATENATION and user in roles.carried:
                found += _readers(roles, user)
    return found
