"""What the energies rest on: shares by event, and every assumed number of the chips."""

from __future__ import annotations

from typing import Any

from zapdeploy.benchmarks.report.blocks import Cell, Chart, Section, Table, table
from zapdeploy.benchmarks.report.data import ReportData, Simulated
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW, label, names_height_px, wrapped
from zapdeploy.benchmarks.report.words import energy_cell, percent
from zapdeploy.benchmarks.results.details import ASSUMED, Details, Price
from zapdeploy.benchmarks.results.table import si_text
from zapdeploy.quantities import Estimate

_OTHERS = "others"
_SMALL, _COLOURS = 0.02, 9  # share below which, and number above which, parts are put together


def provenance(data: ReportData) -> Section | None:
    if not data.simulated:
        return None
    targets = {one.details.target: one.details for one in data.simulated}
    tables = [part for details in targets.values() for part in _assumptions(details)]
    text = (
        "Events are counted; what each costs is a price. This is how much of the energy per frame "
        "(at full speed, modelled) goes to which event, and how much rests on assumed prices: "
        "each has its interval, its source and its reason below."
    )
    return Section(
        "provenance",
        "Provenance",
        (text,),
        (_assumed(data.simulated), _chart(data.simulated), *tables),
    )


def _assumed(simulated: tuple[Simulated, ...]) -> Table:
    rows = []
    for one in simulated:
        part, energy, share, _ = _shares(one.details)[0]
        largest = f"{part.replace('_', ' ')}, {percent(share)}"
        total = Cell(si_text(one.details.energy_j, "J"), energy.kind.value)
        rows.append((one.name, total, percent(assumed_share(one.details)), largest))
    columns = ("network", "energy per frame", "of it on assumed prices", "largest part")
    return table("What the energies rest on", columns, rows)


def assumed_share(details: Details) -> float:
    """Share of the energy per frame whose price was assumed."""
    parts = details.energy_parts.items()
    assumed = sum(e.value for part, e in parts if details.price_kind(part) == ASSUMED)
    return assumed / details.energy_j


def _chart(simulated: tuple[Simulated, ...]) -> Chart:
    figure = {
        "data": [_bar(simulated, part) for part in (*_parts(simulated), _OTHERS)],
        "layout": {
            "height": 260 + names_height_px([one.name for one in simulated]),
            "barmode": "stack",
            "xaxis": {"title": {"text": "share of the energy per frame (%)"}, "range": [0, 100]},
            "yaxis": {"autorange": "reversed", "dtick": 1},
            "legend": LEGEND_BELOW,
        },
    }
    title = "Energy per frame by event"
    rows = [
        (one.name, part.replace("_", " "), energy_cell(found), percent(share), kind)
        for one in simulated
        for part, found, share, kind in _shares(one.details)
    ]
    columns = ("network", "event", "energy per frame", "share", "its price is")
    said = "; ".join(f"{one.name}: most goes to {_shares(one.details)[0][0]}" for one in simulated)
    numbers = table(f"{title}, as a table", columns, rows, folded=True)
    return Chart("provenance-events", title, said.replace("_", " "), figure, numbers)


def _parts(simulated: tuple[Simulated, ...]) -> list[str]:
    """Parts that are large enough somewhere for a colour of their own, the largest first."""
    largest: dict[str, float] = {}
    for one in simulated:
        for part, _, share, _ in _shares(one.details):
            largest[part] = max(share, largest.get(part, 0.0))
    ranked = sorted(largest, key=lambda part: -largest[part])
    return [part for part in ranked[:_COLOURS] if largest[part] >= _SMALL]


def _shares(details: Details) -> list[tuple[str, Estimate, float, str]]:
    """Part, energy, share and kind of its price, the largest first; nothing left out but zeros."""
    found = [
        (part, energy, energy.value / details.energy_j, details.price_kind(part))
        for part, energy in details.energy_parts.items()
        if energy.value > 0
    ]
    return sorted(found, key=lambda one: -one[2])


def _bar(simulated: tuple[Simulated, ...], part: str) -> dict[str, Any]:
    name = label(part.replace("_", " "))
    named = _parts(simulated)
    shares = [
        sum(s for p, _, s, _ in _shares(one.details) if (p if p in named else _OTHERS) == part)
        for one in simulated
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [100 * share for share in shares],
        "y": [wrapped(one.name) for one in simulated],
        "hovertemplate": f"{name}: %{{x:.1f}} %<extra></extra>",
    }


def _assumptions(details: Details) -> tuple[Table, Table]:
    assumed = [one for one in details.figures if one.kind == ASSUMED]
    rows = [(one.key, one.text, _off_by(one), one.source or "none", one.why) for one in assumed]
    columns = ("number", "value", "may be off by", "source", "why")
    caption = f"{details.target}: {len(assumed)} of {len(details.figures)} numbers are assumed"
    sources = table(
        f"{details.target}: sources",
        ("short", "source"),
        list(details.sources.items()),
        folded=True,
    )
    return table(caption, columns, rows, folded=True), sources


def _off_by(price: Price) -> str:
    if price.low == price.high or not price.value:
        return "not stated"
    return f"-{1 - price.low / price.value:.0%} +{price.high / price.value - 1:.0%}"
