"""What a folder of results holds, joined for the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from zapdeploy.benchmarks.results.comparison import DEFAULT_BASELINE, Comparison, compare_rows
from zapdeploy.benchmarks.results.details import Details
from zapdeploy.benchmarks.results.published_ratios import Ratio, published_ratios
from zapdeploy.benchmarks.results.results import BenchmarkResult, ResultFolder
from zapdeploy.benchmarks.results.rows import Row
from zapdeploy.errors import DataError


def model_name(model: str) -> str:
    """A network's name; of a file the last part of its path."""
    return PurePath(model).name


@dataclass(frozen=True, eq=False)
class Simulated:
    """A simulated row with its details."""

    row: Row
    details: Details

    @property
    def name(self) -> str:
        return f"{self.short_name}, on {self.row.target}"

    @property
    def short_name(self) -> str:
        row = self.row
        return f"{model_name(row.model)} {row.precision} {row.scenario.value}"


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that the sections are made of. without_details: simulated rows that lack them."""

    result: BenchmarkResult
    comparison: Comparison
    ratios: tuple[Ratio, ...]
    simulated: tuple[Simulated, ...]
    without_details: tuple[Row, ...]

    @property
    def event_rows(self) -> tuple[Row, ...]:
        """Rows of event-driven chips, one per threshold."""
        return tuple(row for row in self.result.rows if "threshold" in (row.configuration or {}))


def load_report_data(
    folder: str | Path, baseline: tuple[str, str] = DEFAULT_BASELINE
) -> ReportData:
    """Read a folder. Raises DataError where it holds no results, or damaged ones."""
    results = ResultFolder(Path(folder))
    result = results.result()
    if not result.rows and not result.not_run:
        raise DataError(
            f"folder must hold at least one finished row, not none ({folder}); let zapdeploy bench "
            "finish one"
        )
    arrays = [row for row in result.rows if "cycles" in (row.configuration or {})]
    found = {row.key: results.details(row.digest) for row in arrays}
    comparison = compare_rows(
        result.rows, result.not_run, frame_rate_hz=result.frame_rate_hz, baseline=baseline
    )
    return ReportData(
        result=result,
        comparison=comparison,
        ratios=published_ratios(result.rows),
        simulated=tuple(
            Simulated(row, details) for row in arrays if (details := found[row.key]) is not None
        ),
        without_details=tuple(row for row in arrays if found[row.key] is None),
    )
