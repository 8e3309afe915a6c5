"""What each layer of a compiled file costs: the measure of a search for bits per layer."""

from __future__ import annotations

from pathlib import Path

from zapdeploy.api import ESTIMATE, compile_model, simulate
from zapdeploy.errors import UsageError
from zapdeploy.quantize.modules.mixed_search import Costs


def compiled_costs(path: Path, target: str) -> Costs:
    """Compile a file and read what each layer costs. Raises UsageError when it does not fit.

    Where the host link sets the pace, static power is spent however soon a layer is done: it is
    then counted with the network, not with its layers.
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
    layers: dict[str, tuple[float, float]] = {}
    energy = seconds = 0.0
    for row in found["layers"]:
        own = row["cycles"] / found["clock_hz"]
        energy += row["energy_j"] - static_w * own
        seconds += own
        if row["macs"]:
            layers[row["name"]] = (energy, seconds)
            energy = seconds = 0.0
    return Costs(layers, found["energy_per_frame_j"]["value"], found["latency_s"])
