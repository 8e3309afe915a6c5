"""Random small networks on a 4 x 4 array, with random cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.networks import NetworkBuilder, compiled, mesh
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.tiling import enumerate_cuts, space_of
from zapdeploy.compile.program.program import Program
from zapdeploy.hardware_targets import Target

SMALL = mesh(4, 4)


def random_program(seed: int, target: Target = SMALL, *, any_cuts: bool = True) -> Program:
    """Some layers: convolutions, pooling, residual sums, a matrix product; `any_cuts`, or those
    that the compiler chooses."""
    random = np.random.default_rng(seed)
    net = NetworkBuilder("random")
    batch, size = int(random.integers(1, 4)), int(random.integers(6, 13))
    channels = int(random.choice([16, 40, 64, 96]))
    bits = int(random.choice([4, 8]))
    x = net.input("x", (batch, int(random.choice([3, 32])), size, size))
    for number in range(int(random.integers(1, 3))):
        kernel, stride = int(random.choice([1, 3])), int(random.choice([1, 1, 2]))
        x = net.conv(x, channels, kernel, stride, name=f"conv{number}", bits=bits, weight_bits=bits)
    if random.random() < 0.3:
        groups = channels if random.random() < 0.5 else 2
        x = net.conv(x, channels, 3, name="groups", bits=bits, weight_bits=bits, groups=groups)
    if random.random() < 0.5:
        y = net.conv(x, channels, 1, name="branch", bits=bits, weight_bits=bits)
        x = net.node("Add", (y, x), bits, name="sum")
    if random.random() < 0.3:
        x = net.max_pool(x, 3, 2, 1, bits=bits)
    if random.random() < 0.5:
        x = net.dense(net.flatten(x, bits=bits), int(random.choice([10, 100])), name="dense")
    program = compiled(net.graph(x), target, batch=batch)
    return with_random_cuts(program, random) if any_cuts else program


def with_random_cuts(program: Program, random: np.random.Generator) -> Program:
    """The same layers, cut any way that the compiler could have cut them."""
    layers = []
    cores = program.target.cores
    for layer, found in zip(group_layers(program.graph), program.layers, strict=True):
        cuts = enumerate_cuts(space_of(layer), cores)
        used = cuts.prod(axis=1)
        good = cuts[used >= min(cores // 2, int(used.max()))]
        cut = tuple(int(f) for f in good[random.integers(len(good))])
        layers.append(replace(found, cut=cut))
    return replace(program, layers=tuple(layers))
