"""What the values cost: zeros and toggling bits, where trained weights met real inputs."""

from __future__ import annotations

from typing import Any

from zapdeploy.benchmarks.report.blocks import Cell, Chart, Section, Table, table
from zapdeploy.benchmarks.report.data import ReportData, Simulated
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW
from zapdeploy.benchmarks.report.words import energy_cell, percent
from zapdeploy.benchmarks.results.details import LayerBits, ValueCosts
from zapdeploy.benchmarks.results.table import NOTHING, si_text

_CASES = {
    "zeros": "all bits zero",
    "actual": "these inputs",
    "random": "random data",
    "alternating": "every bit toggling",
}
_LAYER_COLUMNS = (
    *("layer", "zero inputs", "zero weights", "zero products", "operand bits toggling"),
    *("events, random data (modelled)", "saved"),
)


def values(data: ReportData) -> Section | None:
    found = [(one, one.details.values) for one in data.simulated if one.details.values is not None]
    if not found:
        return None
    text = (
        "Stated prices are those of random data. Some calibration windows were run core by core "
        "with every bit counted: zeros and bits that stay as they are cost less. Static power, the "
        "clock, instructions and the host link do not depend on the values."
    )
    blocks: list[Chart | Table] = []
    for index, (one, costs) in enumerate(found):
        assert costs is not None
        blocks += [_chart(one, costs, index), _layers(one, costs)]
    return Section("values", "What the values cost", (text,), tuple(blocks))


def _chart(one: Simulated, costs: ValueCosts, index: int) -> Chart:
    names = list(_CASES.values())
    figure: dict[str, Any] = {
        "data": [
            _bars("zeros not withheld", costs.without_gating, names),
            _bars("zeros withheld", costs.with_gating, names),
        ],
        "layout": {
            "height": 380,
            "barmode": "group",
            "xaxis": {"title": {"text": "energy per frame (J)"}, "exponentformat": "SI"},
            "yaxis": {"categoryorder": "array", "categoryarray": names[::-1]},
            "legend": LEGEND_BELOW,
        },
    }
    own = "withholds" if costs.gates_zeros else "does not withhold"
    title = f"{one.name}: energy by values"
    rows = [
        (text, energy_cell(costs.without_gating[case]), energy_cell(costs.with_gating[case]))
        for case, text in _CASES.items()
    ]
    caption = f"{title}, {costs.frames} frames; the chip {own} products with a zero"
    numbers = table(caption, ("bits", "zeros not withheld", "zeros withheld"), rows)
    said = "; ".join(
        f"{text} {si_text(costs.without_gating[case].value, 'J')}" for case, text in _CASES.items()
    )
    return Chart(f"values-{index}", title, f"Energy per frame: {said}", figure, numbers)


def _bars(name: str, energies: Any, names: list[str]) -> dict[str, Any]:
    found = [energies[case] for case in _CASES]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [energy.value for energy in found],
        "y": names,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [energy.high - energy.value for energy in found],
            "arrayminus": [energy.value - energy.low for energy in found],
        },
        "hovertemplate": "%{y}: %{x:.3s}J<extra></extra>",
    }


def _layers(one: Simulated, costs: ValueCosts) -> Table:
    rows = [_row(layer) for layer in costs.layers]
    return table(f"{one.name}: layers by values", _LAYER_COLUMNS, rows, folded=True)


def _row(layer: LayerBits) -> tuple[Cell | str, ...]:
    shares = (
        *(layer.zero_inputs_share, layer.zero_weights_share),
        *(layer.zero_products_share, layer.operand_toggles_share),
    )
    return (
        layer.name,
        *(percent(share) if layer.macs else NOTHING for share in shares),
        si_text(layer.random_j, "J"),
        percent(layer.saved_share),
    )
