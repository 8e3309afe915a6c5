"""zapdeploy report DIR -o report.html"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.cli import options, show


def add_to(app: typer.Typer) -> None:
    app.command("report", help=_report.__doc__)(_report)


def _report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A directory made by bench.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="REPORT.html", help="The page to write.")
    ] = Path("report.html"),
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="TARGET,PRECISION", help="The row that ratios are taken to."
        ),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """One page with charts and tables of all results, readable without a network.

    Example: zapdeploy report results -o report.html
    """
    from zapdeploy.benchmarks.report import load_report_data, report_html
    from zapdeploy.benchmarks.results.comparison import DEFAULT_BASELINE
    from zapdeploy.cli.bench import read_baseline
    from zapdeploy.files import atomic_write

    data = load_report_data(folder, read_baseline(baseline) or DEFAULT_BASELINE)
    page = report_html(data).encode()
    with atomic_write(output) as file:
        file.write(page)
    rows = len(data.result.rows)
    if as_json:
        show.print_json({"report": str(output), "rows": rows, "bytes": len(page)})
    else:
        print(f"wrote {output}: {rows} rows, {len(page) / 1e6:.1f} MB")
    return 0
