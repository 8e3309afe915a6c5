"""A folder of results: rows, what was not run and why, and what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.results.details import Details
from zapdeploy.benchmarks.results.journal import Journal
from zapdeploy.benchmarks.results.rows import NotRun, Outcome, Row
from zapdeploy.errors import DataError, UsageError
from zapdeploy.files import atomic_write
from zapdeploy.formatting import interval, quantity
from zapdeploy.tables import Answer, Table
from zapdeploy.typed import mapping, other_schema, read_json, typed

SCHEMA_VERSION = 1
ROWS_NAME, NOT_RUN_NAME, COMMON_NAME = "rows.jsonl", "not_run.jsonl", "benchmark.json"
DETAILS_NAME = "details"


@dataclass(frozen=True, repr=False)
class BenchmarkResult(Answer):
    """All that a folder holds. `common`: settings, machine and package versions of its rows.

    `to_frame()` has a row for each model, precision, target and scenario; `plot()` draws energy per
    frame over frames per second.
    """

    folder: Path
    rows: tuple[Row, ...]
    not_run: tuple[NotRun, ...]
    common: Mapping[str, Any]

    @property
    def frame_rate_hz(self) -> float | None:
        """The rate of frames that was asked about; None where none was."""
        rate: float | None = self.common["settings"]["frame_rate_hz"]
        return rate

    def __repr__(self) -> str:
        models = ", ".join(dict.fromkeys(row.model for row in self.rows)) or "nothing"
        return f"<BenchmarkResult of {models}: {len(self.rows)} rows, {len(self.not_run)} not run>"

    def records(self) -> list[dict[str, Any]]:
        """The rows in SI units; a value with an interval has NAME_low and NAME_high beside it."""
        return [flat_record(row) for row in self.rows]

    def tables(self) -> tuple[Table, ...]:
        """Rate, latency and energy of each row, and what each is."""
        columns = ("model", "bits", "target", "scenario", "frames/s", "latency", "energy per frame")
        return (Table("", (*columns, "kind", "boundary"), [_cells(row) for row in self.rows]),)

    def _figure(self, graph_objects: Any) -> Any:
        figure = graph_objects.Figure()
        for target in dict.fromkeys(row.target for row in self.rows):
            shown = [r for r in self.rows if r.target == target and r.energy_per_frame is not None]
            figure.add_scatter(
                x=[row.frames_per_s for row in shown],
                y=[row.energy_per_frame.value for row in shown if row.energy_per_frame],
                text=[f"{row.model}, {row.precision}, {row.scenario.value}" for row in shown],
                mode="markers",
                name=target,
            )
        figure.update_layout(
            xaxis={"title": "frames per second", "type": "log"},
            yaxis={"title": "energy per frame (J)", "type": "log"},
            template="plotly_white",
        )
        return figure

    def as_json(self) -> dict[str, Any]:
        """The JSON document of the `bench` command."""
        return {
            "schema": SCHEMA_VERSION,
            "rows": [row.as_json() for row in self.rows],
            "not_run": [one.as_json() for one in self.not_run],
            **self.common,
        }


_INTERVALS = ("energy_per_frame_j", "energy_at_frame_rate_j", "power_w")
_NESTED = (
    *("latency_percentiles_s", "paced_latency_s", "horizon", "deadlines", "versions"),
    *("configuration", "tried", "frames_per_s_per_w", *_INTERVALS),
)


def flat_record(row: Row) -> dict[str, Any]:
    """A row's plain values, and its intervals in columns of their own."""
    document = row.as_json()
    found = {name: value for name, value in document.items() if name not in _NESTED}
    for name in _INTERVALS:
        value = document[name] or {}
        found |= {name: value.get("value")}
        found |= {f"{name}_{end}": value.get(end) for end in ("low", "high")}
    return found


def _cells(row: Row) -> tuple[str, ...]:
    rate, energy = row.frames_per_s, row.energy_per_frame
    return (
        *(row.model, row.precision, row.target, row.scenario.value),
        "" if rate is None else f"{rate:,.4g}",
        "" if row.latency_s is None else quantity(row.latency_s, "s"),
        "" if energy is None else interval(energy, "J"),
        *(row.kind.value, row.boundary),
    )


class ResultFolder:
    """The files of one folder. Only the process that holds its lock may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = Journal(folder / ROWS_NAME)
        self._not_run = Journal(folder / NOT_RUN_NAME)

    def rows(self) -> dict[str, Row]:
        """The rows by their keys."""
        return {key: self._row(raw) for key, raw in self._rows.read().items()}

    def not_run(self) -> dict[str, NotRun]:
        """What was not run, less what has a row by now."""
        done = self._rows.read().keys()
        found = {key: self._reason(raw) for key, raw in self._not_run.read().items()}
        return {key: one for key, one in found.items() if key not in done}

    def add(self, outcome: Outcome) -> None:
        """On disk when this returns."""
        journal = self._rows if isinstance(outcome, Row) else self._not_run
        journal.append(outcome.as_json())

    def keep_details(self, digest: str, document: Mapping[str, Any]) -> None:
        """What the row of that program rests on; kept before the row, so no row lacks it."""
        path = self._details_path(digest)
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(document, allow_nan=False).encode())

    def details(self, digest: str) -> Details | None:
        """What was kept for a row's digest. Raises DataError where it cannot be read."""
        path = self._details_path(digest)
        try:
            if not digest or not path.exists():
                return None
            return Details.from_json(read_json(path.read_bytes()))
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"details must be whole and of this version, not {error!r} ({path}); run the "
                "benchmark again in a new folder"
            ) from error

    def begin(self, common: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder ready. Raises UsageError where old and new rows do not go together."""
        if self._rows.read() and not resume:
            raise UsageError(
                f"output folder must be new, not hold results ({self.folder}); add --resume to go "
                "on with them, or give another folder"
            )
        if resume and (self.folder / COMMON_NAME).exists():
            _check_same(self.common(), common, self.folder)
        self._rows.repair()
        self._not_run.repair()
        for half_written in (self.folder / DETAILS_NAME).glob(".*"):
            half_written.unlink()
        with atomic_write(self.folder / COMMON_NAME) as file:
            document = {"schema": SCHEMA_VERSION, **common}
            file.write(json.dumps(document, indent=2).encode() + b"\n")

    def common(self) -> dict[str, Any]:
        """Raises DataError unless the folder holds results."""
        path = self.folder / COMMON_NAME
        try:
            found = read_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if isinstance(found, dict) and (wrong := other_schema(found, SCHEMA_VERSION)):
            raise DataError(
                f"{COMMON_NAME} must have {wrong} ({self.folder}); read the folder with the "
                "zapdeploy that wrote it, or run the benchmark again in a new folder"
            )
        if not _is_common(found):
            raise DataError(
                f"folder must hold benchmark results, not lack a readable {COMMON_NAME} "
                f"({self.folder}); give the folder that zapdeploy bench -o wrote"
            )
        return {name: part for name, part in found.items() if name != "schema"}

    def result(self) -> BenchmarkResult:
        """All that the folder holds now."""
        rows, reasons = self.rows().values(), self.not_run().values()
        return BenchmarkResult(self.folder, tuple(rows), tuple(reasons), self.common())

    def _details_path(self, digest: str) -> Path:
        return self.folder / DETAILS_NAME / f"{Path(digest).name}.json"

    def _row(self, raw: Mapping[str, Any]) -> Row:
        try:
            return Row.from_json(raw)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.folder / ROWS_NAME, raw, error) from error

    def _reason(self, raw: Mapping[str, Any]) -> NotRun:
        try:
            return NotRun.from_json(raw)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.folder / NOT_RUN_NAME, raw, error) from error


def _is_common(found: Any) -> bool:
    """Whether it is what `begin` writes: settings, machine and versions of packages."""
    try:
        settings = mapping(mapping(found)["settings"])
        mapping(settings["size"])["neurons"]
        mapping(found["versions"])
        found["machine"], settings["data"]
        rate = typed(float | None, settings["frame_rate_hz"])  # type: ignore[arg-type]
    except (KeyError, ValueError):
        return False
    return rate is None or rate > 0


def load_result(folder: str | Path) -> BenchmarkResult:
    """The results in a folder that `run_benchmark` wrote, finished or not."""
    return ResultFolder(Path(folder)).result()


def _damaged(path: Path, raw: Mapping[str, Any], error: Exception) -> DataError:
    return DataError(
        f"entry must have the fields of this version, not {error!r} ({path}, key "
        f"{raw.get('key')!r}); start a new folder"
    )


def _check_same(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    for part in ("settings", "machine", "versions"):
        before, now = old.get(part, {}), new[part]
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                raise UsageError(
                    f"{name} must stay {before.get(name)!r}, not become {now.get(name)!r}, within "
                    f"one folder ({folder}, {part}); start a new folder"
                )
