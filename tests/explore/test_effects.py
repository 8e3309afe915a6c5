"""Shares of variance where they are known by construction."""

from __future__ import annotations

from itertools import product

import pytest

from zapdeploy.explore.effects import effects


def test_products_have_no_interactions() -> None:
    """log(a b) = log a + log b: two main effects, nothing together."""
    rows = [{"a": a, "b": b, "y": a * b} for a, b in product((1.0, 4.0), (1.0, 2.0))]
    found = {effect.names: effect for effect in effects(rows, ("a", "b"), "y")}
    assert found["a",].share == pytest.approx(4 / 5)  # (log 4)^2 to (log 2)^2
    assert found["b",].share == pytest.approx(1 / 5)
    assert found["a", "b"].share == pytest.approx(0.0, abs=1e-12)
    assert found["a",].factors == {"1.0": pytest.approx(0.5), "4.0": pytest.approx(2.0)}


def test_what_two_axes_do_only_together() -> None:
    rows = [{"a": a, "b": b, "y": 2.0 if a == b else 1.0} for a, b in product("xy", "xy")]
    found = {effect.names: effect.share for effect in effects(rows, ("a", "b"), "y")}
    assert found["a", "b"] == pytest.approx(1.0)
    assert found["a",] == pytest.approx(0.0, abs=1e-12)


def test_rows_without_a_result() -> None:
    assert effects([{"a": 1, "y": None}, {"a": 2, "y": 1.0}], ("a",), "y") == ()
    constant = effects([{"a": 1, "y": 2.0}, {"a": 2, "y": 2.0}], ("a",), "y")
    assert [effect.share for effect in constant] == [0.0]
