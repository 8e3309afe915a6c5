"""What the values cost: zeros and toggling bits, where trained weights met real inputs."""

from __future__ import annotations

from collections.abc import Mapping
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
_GATINGS = {"without_gating": "zeros not withheld", "with_gating": "zeros withheld"}
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
        "clock, instructions and the host link do not depend on values: bars are of events, and "
        "the table has the whole frame, too."
    )
    blocks: list[Chart | Table] = []
    for index, (one, costs) in enumerate(found):
        assert costs is not None
        blocks += [_chart(one, costs, index), _layers(one, costs)]
    return Section("values", "What the values cost", (text,), tuple(blocks))


def _chart(one: Simulated, costs: ValueCosts, index: int) -> Chart:
    names = list(_CASES.values())
    figure: dict[str, Any] = {
        "data": [_bars(text, costs.events_j[gating], names) for gating, text in _GATINGS.items()],
        "layout": {
            "height": 380,
            "barmode": "group",
            "xaxis": {"title": {"text": "energy of a frame's events (J)"}, "exponentformat": "SI"},
            "yaxis": {"categoryorder": "array", "categoryarray": names[::-1]},
            "legend": LEGEND_BELOW,
        },
    }
    own = "withholds" if costs.gates_zeros else "does not withhold"
    title = f"{one.name}: energy by values"
    rows: list[tuple[Cell | str, ...]] = [
        (
            text,
            *(Cell(si_text(costs.events_j[g][case], "J"), "modelled") for g in _GATINGS),
            *(energy_cell(costs.energy[g][case]) for g in _GATINGS),
        )
        for case, text in _CASES.items()
    ]
    columns = (
        "bits",
        *(f"events, {text}" for text in _GATINGS.values()),
        *(f"whole frame, {text}" for text in _GATINGS.values()),
    )
    caption = f"{title}, {costs.frames} frames; the chip {own} products with a zero"
    events = costs.events_j["without_gating"]
    said = "; ".join(f"{text} {si_text(events[case], 'J')}" for case, text in _CASES.items())
    summary = f"Energy of a frame's events: {said}"
    return Chart(f"values-{index}", title, summary, figure, table(caption, columns, rows))


def _bars(name: str, events: Mapping[str, float], names: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [events[case] for case in _CASES],
        "y": names,
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
