"""What was asked for and has no row, and why."""

from __future__ import annotations

from zapdeploy.benchmarks.report.blocks import Block, Section, table
from zapdeploy.benchmarks.report.data import ReportData


def not_run(data: ReportData) -> Section | None:
    blocks: list[Block] = []
    if data.result.not_run:
        reasons = dict.fromkeys(
            (one.model, f"{one.target} {one.precision}", one.scenario.value, one.reason)
            for one in data.result.not_run
        )
        columns = ("model", "device", "scenario", "why")
        blocks.append(table("Not run, and why", columns, list(reasons)))
    if data.without_details:
        rows = [
            (row.model, f"{row.target} {row.precision}", row.scenario.value)
            for row in data.without_details
        ]
        caption = "Simulated by an earlier version, which kept no details: run them again"
        blocks.append(table(caption, ("model", "device", "scenario"), rows))
    if not blocks:
        return None
    text = "Combinations that were asked for and gave no number, or no details."
    return Section("not-run", "Not run", (text,), tuple(blocks))
