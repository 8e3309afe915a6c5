"""What each layer of a compiled file costs: the measure of a search for bits per layer."""

from __future__ import annotations

from pathlib import Path

from zapdeploy.api import compile_model, simulate
from zapdeploy.arrays import Arrays
from zapdeploy.errors import UsageError
from zapdeploy.quantize.modules.mixed_search import Costs
from zapdeploy.sim.activity import measure_activity
from zapdeploy.sim.activity.costs import ACTUAL, RANDOM_DATA
from zapdeploy.sim.asked import ESTIMATE
from zapdeploy.sim.batches import in_batches
from zapdeploy.sim.results import Result


def compiled_costs(path: Path, target: str, values: Arrays | None = None) -> Costs:
    """Compile a file and read what each layer costs. Raises UsageError when it does not fit.

    Where the host link sets the pace, static power is spent however soon a layer is done: it is
    then counted with the network, not with its layers.

    values: inputs [count, ...] by name. Some are run core by core, and energies are those of the
    bits that were seen; without any they are those of random data.
    """
    program = compile_model(path, target, batch=1, chips=1)
    if not program.fits:
        what = program.violation
        raise UsageError(
            f"network must fit {target}, not demand {what.demanded if what else '?'} of "
            f"{what.limit if what else '?'} ({what.what if what else ''}); choose a larger target"
        )
    result = simulate(program, level=ESTIMATE)
    found = result.as_json()
    waits = result.limiter == "host link"
    static_w = result.energy_parts["static"].value * result.throughput_fps if waits else 0.0
    frame_j, saved = found["energy_per_frame_j"]["value"], [0.0] * len(found["layers"])
    if values is not None:
        frame_j, saved = _by_values(result, values)
    layers: dict[str, tuple[float, float]] = {}
    energy = seconds = 0.0
    for row, less in zip(found["layers"], saved, strict=True):
        own = row["cycles"] / found["clock_hz"]
        energy += row["energy_j"] - less - static_w * own
        seconds += own
        if row["macs"]:
            layers[row["name"]] = (energy, seconds)
            energy = seconds = 0.0
    return Costs(layers, frame_j, found["latency_s"])


def _by_values(result: Result, values: Arrays) -> tuple[float, list[float]]:
    """Joules of a frame by what its bits do, and how much less each layer takes than with random
    data."""
    activity = measure_activity(result, in_batches(result.pipeline.interface, values))
    gated = activity.gated
    saved = [
        activity.layer_j(n, RANDOM_DATA, gated) - activity.layer_j(n, ACTUAL, gated)
        for n in range(len(activity.layers))
    ]
    return activity.energy(ACTUAL, gated).value, saved
