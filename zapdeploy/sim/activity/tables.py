"""Activity as the tables that people read."""

from __future__ import annotations

from zapdeploy.formatting import count, interval, quantity
from zapdeploy.sim.activity.costs import ACTUAL, CASES, RANDOM_DATA, ActivityCosts
from zapdeploy.tables import Table

_WORDS = {
    "zeros": "all zeros",
    "actual": "these inputs",
    "random": "random data",
    "alternating": "every bit toggling",
}

_SHARES = (
    *("zero_inputs_share", "zero_weights_share", "zero_products_share"),
    "operand_toggles_share",
)


def activity_table(found: ActivityCosts) -> Table:
    """Energy per frame by what the values are, zeros withheld or not."""
    sample = found.sample
    title = (
        f"energy per frame by values ({sample.frames} of {sample.frames_given} frames counted; "
        f"products with a zero are {'' if found.gated else 'not '}withheld on this chip)"
    )
    constants = interval(found.performance.energy_per_frame, "J")
    rows = [("stated prices, whatever the values", constants, constants, "")]
    for case in CASES:
        plain, gated = (interval(found.energy(case, g), "J") for g in (False, True))
        rows.append((_WORDS[case], plain, gated, _error(found) if case == ACTUAL else ""))
    columns = ("values", "zeros not withheld", "zeros withheld", "error of the sample")
    return Table(title, columns, rows)


def _error(found: ActivityCosts) -> str:
    error = found.standard_error_j(found.gated)
    if error is None:
        return "one batch: unknown"
    return f"{error / found.energy(ACTUAL, found.gated).value:.2%}"


def layer_activity_table(found: ActivityCosts) -> Table:
    """One row per layer: zeros, toggles, and what these values save against random data."""
    rows: list[tuple[str, ...]] = []
    for number, layer in enumerate(found.layers):
        products = layer.products.as_json()
        multiplied = products["macs"] > 0
        energy = found.layer_j(number, RANDOM_DATA, found.gated)
        rows.append(
            (
                layer.name,
                *(f"{products[share]:.1%}" if multiplied else "" for share in _SHARES),
                quantity(energy, "J"),
                *(f"{found.saved_share(number, gated):.1%}" for gated in (False, True)),
            )
        )
    columns = (
        *("layer", "zero inputs", "zero weights", "zero products", "operand bits toggling"),
        *("events, random data", "saved", "saved, zeros withheld"),
    )
    return Table("layers by values", columns, rows)


def network_activity_table(found: ActivityCosts) -> Table:
    """One row per network: what its bits do."""
    networks = found.as_json()["networks"]
    rows = [
        (
            name.replace("_", " "),
            count(each["bits"]),
            f"{each['ones_share']:.1%}",
            f"{each['toggles_share']:.1%}",
            each["busiest_link"] if each["bits"] else "",
        )
        for name, each in networks.items()
    ]
    columns = ("network", "bit-hops", "ones", "toggling", "most toggles on")
    return Table("networks by values", columns, rows)
