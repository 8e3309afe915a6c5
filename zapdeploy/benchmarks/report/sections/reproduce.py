"""How to get the same results again: commands, versions, machine, and every row's digest."""

from __future__ import annotations

from zapdeploy.benchmarks.measured.machine import Machine
from zapdeploy.benchmarks.report.blocks import Section, Table, table
from zapdeploy.benchmarks.report.data import ReportData
from zapdeploy.benchmarks.report.words import is_here, row_kind
from zapdeploy.benchmarks.results.results import COMMON_NAME
from zapdeploy.benchmarks.results.rows import NOT_STATED, NotRun, Row
from zapdeploy.benchmarks.results.table import NOTHING
from zapdeploy.errors import DataError
from zapdeploy.typed import typed


def reproduce(data: ReportData) -> Section:
    common = data.result.common
    facts = [
        ("command", bench_command(data)),
        ("and", "zapdeploy report results -o report.html"),
        ("machine", _machine(data).summary),
        *((f"{name}", str(version)) for name, version in common["versions"].items()),
    ]
    text = (
        "Simulated rows come out the same on any machine with the same versions; measured rows are "
        "this machine's. A model that is a file is named by its file's SHA-256."
    )
    about = table("Commands, machine and versions", ("what", "as used"), facts)
    return Section("reproduce", "How to reproduce", (text,), (about, _rows(data)))


def _machine(data: ReportData) -> Machine:
    try:
        return typed(Machine, data.result.common["machine"])
    except ValueError as error:
        raise DataError(
            f"{COMMON_NAME} must describe the machine, not otherwise ({data.result.folder}): "
            f"{error}; run the benchmark again in a new folder"
        ) from None


def bench_command(data: ReportData) -> str:
    """The call that makes these rows."""
    run: list[Row | NotRun] = [row for row in data.result.rows if is_here(row)]
    run += data.result.not_run
    models = dict.fromkeys(one.model for one in run)
    targets = dict.fromkeys(one.target.split(", threshold")[0] for one in run)
    precisions = dict.fromkeys(one.precision for one in run if one.precision != NOT_STATED)
    settings = data.result.common["settings"]
    options = {
        "--models": ",".join(models),
        "--targets": ",".join(targets),
        "--precisions": ",".join(precisions),
        "--frame-rate": settings["frame_rate_hz"],
        "--neurons": settings["size"]["neurons"],
        "--data": settings["data"],
    }
    said = " ".join(f"{name} {value}" for name, value in options.items() if value is not None)
    return f"zapdeploy bench {said} -o results"


def _rows(data: ReportData) -> Table:
    columns = (
        *(
            "row",
            "scenario",
            "kind",
            "configuration",
            "digest",
            "SHA-256 of the file",
            "source",
            "note",
        ),
    )
    cells = [
        (
            f"{row.model}, {row.target}, {row.precision}",
            row.scenario.value,
            row_kind(row),
            _configuration(row),
            row.digest[:16] or NOTHING,
            str((row.configuration or {}).get("file_sha256", NOTHING))[:16],
            row.source,
            row.note,
        )
        for row in data.result.rows
    ]
    return table(f"All {len(cells)} rows", columns, cells, folded=True)


def _configuration(row: Row) -> str:
    shown = (
        "batch",
        "objective",
        "timing",
        "form",
        "activations",
        "provider",
        "threads",
        "streams",
    )
    found = row.configuration or {}
    return ", ".join(f"{name} {found[name]}" for name in shown if name in found)
