"""A forecaster over all 71,721 neurons: does it fit, in which memory, and are its values right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zapdeploy as zd
from tests.full_size.conftest import Make
from zapdeploy.compile.frontend import import_model
from zapdeploy.forecasters import sample_inputs
from zapdeploy.sim.check import check
from zapdeploy.sim.functional import run
from zapdeploy.sim.staged import run_pipeline

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("bits", "form"), [(8, "qdq"), (8, "qoperator"), (4, "qcdq")])
def test_values(make: Make, bits: int, form: str) -> None:
    path = make("tsmixer-c4", bits, form)
    found = check(import_model(path).graph, path, sample_inputs("tsmixer-c4", 1))
    assert found.passed, found.failures
    if bits == 8:
        assert sum(c.different for c in found.nodes) == 0


@pytest.mark.parametrize(("bits", "form"), [(8, "qdq"), (4, "packed")])
def test_compiles_within_2_gb(make: Make, tmp_path: Path, bits: int, form: str) -> None:
    """Peak resident memory of the whole command: VmHWM, since getrusage counts this process too."""
    path = make("tsmixer-c4", bits, form)
    code = (
        "import sys; from zapdeploy.cli.app import run; status = run(sys.argv[1:]);"
        "lines = open('/proc/self/status').read().splitlines();"
        "print(next(l for l in lines if l.startswith('VmHWM')).split()[1], file=sys.stderr);"
        "sys.exit(status)"
    )
    arguments = ["compile", str(path), "-o", str(tmp_path / "t.zap"), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["fits"]
    assert int(done.stderr.split()[-1]) * 1024 < 2e9


def test_a_wide_one_fits_at_int4_or_on_two_chips(make: Make) -> None:
    """d = 1,024: 294 M weights. 256 cores hold 201.3 MB; int8 takes 294 MB, int4 half."""
    int8 = make("tsmixer-c4", 8, "qdq", width=1024)
    too_large = zd.compile(int8, chips=1).violation
    assert too_large is not None
    assert "core memory" in too_large.what
    assert too_large.limit == 256 * 768 * 1024
    assert too_large.demanded > 294e6
    assert [hint.split(" ")[0] for hint in too_large.hints] == ["int4", "2"]
    assert zd.compile(make("tsmixer-c4", 4, "packed", width=1024), chips=1).fits
    pipeline = zd.compile(int8)
    assert pipeline.fits
    assert pipeline.options.chips == 2
    assert sum(layer.macs for s in pipeline.stages for layer in s.layers) > 294e6
    inputs = sample_inputs("tsmixer-c4", 1)
    (found,) = run_pipeline(pipeline, [inputs])
    expected = run(pipeline.graph, inputs)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
