"""One folder of results for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.report.results_folder import write_results


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: copy it first."""
    return write_results(tmp_path_factory.mktemp("report"))
