"""Every layer of every simulated network, and what limits it."""

from __future__ import annotations

from zapdeploy.benchmarks.report.blocks import Section, Table, table
from zapdeploy.benchmarks.report.data import ReportData, Simulated
from zapdeploy.benchmarks.report.words import percent
from zapdeploy.benchmarks.results.details import LayerDetail
from zapdeploy.benchmarks.results.table import NOTHING, si_text

_COLUMNS = (
    *("layer", "operator", "cut", "cycles (simulated)", "of the time"),
    *("cycles at best", "limiter", "MACs", "bits", "energy per frame (modelled)"),
)


def layers(data: ReportData) -> Section | None:
    if not data.simulated:
        return None
    text = (
        "Cycles of the schedule of one batch, and the closed form's bound; a layer's limiter is "
        "what most of it was waited for. A cut says into how many parts each dimension of the "
        "output goes, and last the sum over inputs."
    )
    tables = (_table(one, index > 0) for index, one in enumerate(data.simulated))
    return Section("layers", "Layers", (text,), (_limits(data), *tables))


def _limits(data: ReportData) -> Table:
    """What limits each network."""
    rows = [(one.name, one.details.limiter.replace("_", " "), _most(one)) for one in data.simulated]
    columns = ("network", "limited by", "time by limiter of the layer")
    return table("What limits each network", columns, rows)


def _most(one: Simulated) -> str:
    """The three limiters that most of the time goes to."""
    total = sum(layer.cycles for layer in one.details.layers)
    shares: dict[str, int] = {}
    for layer in one.details.layers:
        shares[layer.limiter] = shares.get(layer.limiter, 0) + layer.cycles
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name.replace('_', ' ')} {percent(c / max(total, 1))}" for name, c in ranked)


def _table(one: Simulated, folded: bool) -> Table:
    total = max(sum(layer.cycles for layer in one.details.layers), 1)
    caption = f"{one.name}: layers, batch {one.details.frames}"
    return table(
        caption, _COLUMNS, [_row(layer, total) for layer in one.details.layers], folded=folded
    )


def _row(layer: LayerDetail, total: int) -> tuple[str, ...]:
    return (
        layer.name,
        layer.op,
        layer.cut,
        f"{layer.cycles:,}",
        percent(layer.cycles / total),
        f"{layer.bound_cycles:,}",
        layer.limiter.replace("_", " "),
        f"{layer.macs:,}" if layer.macs else NOTHING,
        str(layer.bits) if layer.macs else NOTHING,
        si_text(layer.energy_j, "J"),
    )
