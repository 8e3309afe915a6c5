"""The further form that a network is tried in on a GPU: torch's own module."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zapdeploy.benchmarks.models.model_files import ModelFile, float_file
from zapdeploy.benchmarks.models.workloads import Workload


def torch_file(workload: Workload, folder: Path) -> ModelFile | None:
    """The float file with its network for torch; None for a user's, or where torch has none."""
    if not workload.has_module:
        return None
    return replace(float_file(workload, folder), form="torch", build=workload.build)
