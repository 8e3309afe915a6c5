"""The comparison of speeds: ratios, the limit, and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.speed.comparing import main, ratios
from tests.speed.reference import reference_s


def _results(path: Path, **seconds: float) -> Path:
    """As pytest-benchmark writes them: a reference of 10 ms beside every one."""
    benchmarks = [
        {"name": name, "stats": {"min": one}, "extra_info": {"reference_s": 0.01}}
        for name, one in seconds.items()
    ]
    benchmarks.append({"name": "alone", "stats": {"min": 1.0}, "extra_info": {}})
    document = {"benchmarks": benchmarks, "machine_info": {"cpu": {"brand_raw": "Example CPU"}}}
    path.write_text(json.dumps(document))
    return path


def test_ratio_is_time_over_the_references(tmp_path: Path) -> None:
    found = ratios(json.loads(_results(tmp_path / "now.json", a=0.5, b=0.02).read_text()))
    assert found == pytest.approx({"a": 50, "b": 2})


@pytest.mark.parametrize(("seconds", "slower"), [(0.76, True), (0.74, False), (0.1, False)])
def test_more_than_half_as_slow_again_is_flagged(
    seconds: float, slower: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = tmp_path / "baseline.json"
    assert main([str(_results(tmp_path / "a.json", a=0.5)), "--record"], baseline) == 0
    now = str(_results(tmp_path / "b.json", a=seconds, new=1.0))
    capsys.readouterr()
    assert main([now], baseline) == 0
    out = capsys.readouterr().out
    assert ("SLOWER" in out) == slower
    assert "not in the baseline" in out
    assert "Example CPU" in out
    assert main([now, "--strict"], baseline) == int(slower)


def test_without_a_baseline_nothing_is_flagged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = str(_results(tmp_path / "a.json", a=0.5))
    assert main([now, "--strict"], tmp_path / "missing.json") == 0
    assert "no baseline yet: run make speed-baseline" in capsys.readouterr().out


def test_the_reference_takes_time() -> None:
    assert 1e-4 < reference_s() < 10
