"""What a package that is not installed is called, and how to get it."""

from __future__ import annotations

import sys

import pytest

from zapdeploy.errors import UsageError
from zapdeploy.extras import load


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zmq", None)
    expected = r"pyzmq must be installed to stream, not missing; run: pip install 'zapdeploy\[x\]'"
    with pytest.raises(UsageError, match=expected):
        load("zmq", "x", "stream")


def test_a_module_inside_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.delitem(sys.modules, "scipy.signal", raising=False)
    with pytest.raises(UsageError, match=r"^scipy must be installed to draw"):
        load("scipy.signal", "models", "draw")


def test_one_that_is_there() -> None:
    assert load("json", "x", "read").loads("[1]") == [1]
