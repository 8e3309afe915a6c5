"""Mixed precision: the integer program against all choices, and costs against the compiler."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from zapdeploy.errors import UsageError
from zapdeploy.quantize.mixed import Budget, Option, Table, choice_of, choose, pareto_front
from zapdeploy.quantize.recipes import BitChoice, find_recipe

BITS = (BitChoice(8, 8), BitChoice(4, 4), BitChoice(2, 4))


def table(layers: int = 5, seed: int = 0) -> Table:
    """Random layers: fewer bits cost less and do more damage."""
    random = np.random.default_rng(seed)
    found = {}
    for index in range(layers):
        damage = np.sort(random.uniform(0, 1e-3, 3))
        energy = np.sort(random.uniform(1e-6, 1e-5, 3))[::-1]
        found[f"layer{index}"] = tuple(
            Option(bits, float(d), float(e), float(e) * 10)
            for bits, d, e in zip(BITS, damage, energy, strict=True)
        )
    return Table(found, rest_energy_j=1e-6, rest_latency_s=1e-5, rest_damage=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    """The oracle tries all 3^5 choices."""
    given = table(seed=seed)
    damages = [choose(given, quantity, ()).damage for quantity in ("damage", "energy_j")]
    limit = sum(damages) / 2
    every = [
        choice_of(given, dict(zip(given.layers, bits, strict=True)))
        for bits in itertools.product(BITS, repeat=len(given.layers))
    ]
    best = min(choice.energy_j for choice in every if choice.damage <= limit)
    found = choose(given, "energy_j", [Budget("damage", limit)])
    assert found.energy_j == pytest.approx(best, rel=1e-9)
    assert found.damage <= limit


def test_the_front_rises_and_holds_both_ends() -> None:
    given = table(8)
    front = pareto_front(given)
    assert front[0].energy_j == pytest.approx(choose(given, "energy_j", ()).energy_j)
    assert front[-1].damage == pytest.approx(choose(given, "damage", ()).damage)
    assert all(a.energy_j <= b.energy_j for a, b in itertools.pairwise(front))
    assert all(a.damage > b.damage for a, b in itertools.pairwise(front))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget("energy_j", 1e-9), r"not 1e-09 J \(least possible: \d.*e-05 J\); give a looser"),
        (Budget("latency_s", 1e-9), r"not 1e-09 s \(least possible"),
        (Budget("damage", 1e-9), r"an output SNR of 90\.0 dB \(most possible: \d\d\.\d dB\)"),
    ],
)
def test_a_budget_that_nothing_meets_is_named(budget: Budget, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(table(), "damage", [budget])


@pytest.fixture(scope="module")
def mixer_result(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    pytest.importorskip("brevitas")
    from zapdeploy.forecasters import build_model, sample_inputs
    from zapdeploy.mixed import quantize_mixed
    from zapdeploy.quantize import prepare_module

    network = build_model("tsmixer-c4", neurons=400, width=64)
    prepared = prepare_module(network, sample_inputs("tsmixer-c4", 16, neurons=400))
    recipe = find_recipe("int8")
    return prepared, quantize_mixed(prepared, recipe, [Budget("damage", 10**-2.7)])


def test_predicted_costs_are_what_compile_reports(mixer_result, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from zapdeploy.mixed import compiled_costs, draw_front
    from zapdeploy.quantize import write_module

    prepared, found = mixer_result
    write_module(prepared, found.quantized, tmp_path / "mixed.onnx")
    reported = compiled_costs(tmp_path / "mixed.onnx", "northpole-sim")
    assert found.choice.energy_j == pytest.approx(reported.energy_j, rel=1e-12)
    assert found.choice.latency_s == pytest.approx(reported.latency_s, rel=1e-12)
    pytest.importorskip("plotly")
    assert draw_front(found, tmp_path / "front.html")
    assert b"energy per frame" in (tmp_path / "front.html").read_bytes()


def test_without_plotly_the_front_is_printed_and_one_line_says_so(  # type: ignore[no-untyped-def]
    mixer_result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zapdeploy.cli.quantize import _say_mixed
    from zapdeploy.mixed import draw_front

    _, found = mixer_result
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    assert not draw_front(found, tmp_path / "front.html")
    assert not (tmp_path / "front.html").exists()
    _say_mixed({**found.as_json(), "plot": None})
    printed = capsys.readouterr().out
    assert "Pareto front" in printed
    assert "no plot of it: Plotly is not installed; run: pip install" in printed


def test_what_is_measured_from_a_layer_on_is_what_the_whole_network_gives(mixer_result) -> None:  # type: ignore[no-untyped-def]
    """The oracle runs all of the network for each option, as the definition says."""
    from zapdeploy.quantize.modules.build import assemble, outputs
    from zapdeploy.quantize.modules.sensitivity import WIDEST, _narrowed, _readers, measure

    prepared, _ = mixer_result
    recipe, options = find_recipe("int8"), (WIDEST, BitChoice(4, 4), BitChoice(2, 4))
    found, base = measure(prepared, recipe, options, samples=12)  # in batches of 8 and 4
    few = tuple(values[:12] for values in prepared.samples)
    exact = outputs(prepared.graph, few).double()
    quantized = assemble(prepared, recipe, dict.fromkeys(prepared.layers, WIDEST))

    def noise() -> float:
        error = outputs(quantized.graph, few).double() - exact
        return float((error**2).sum() / (exact**2).sum())

    assert base == pytest.approx(noise(), rel=1e-9)
    for (name, bits), reader in _readers(prepared, recipe, options).items():
        with _narrowed(quantized, name, bits, reader):
            assert found[name][bits] == pytest.approx(max(noise() - base, 0), rel=1e-9, abs=1e-12)
    assert base == pytest.approx(noise(), rel=1e-9)  # all is as it was


def test_mixed_takes_less_energy_than_int8(mixer_result) -> None:  # type: ignore[no-untyped-def]
    _, found = mixer_result
    assert found.choice.energy_j < found.uniform.energy_j
    assert found.choice.damage <= 10**-2.7
    document = found.as_json()
    assert document["energy_j"]["predicted"] == pytest.approx(document["energy_j"]["compiled"])
