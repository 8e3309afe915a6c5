"""Mixed precision: the integer program against all choices, and costs against the compiler."""

from __future__ import annotations

import itertools
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from zapdeploy.benchmarks.simulated.layer_costs import compiled_costs
from zapdeploy.errors import UsageError
from zapdeploy.quantize.mixed import Budget, Option, Table, choice_of, choose, pareto_front
from zapdeploy.quantize.recipes import BitChoice, find_recipe

BITS = (BitChoice(8, 8), BitChoice(4, 4), BitChoice(2, 4))
COSTS_OF = partial(compiled_costs, target="northpole-sim")


def table(layers: int = 5, seed: int = 0) -> Table:
    """Random layers: fewer bits cost less and do more noise."""
    random = np.random.default_rng(seed)
    found = {}
    for index in range(layers):
        noise = np.sort(random.uniform(0, 1e-3, 3))
        energy = np.sort(random.uniform(1e-6, 1e-5, 3))[::-1]
        found[f"layer{index}"] = tuple(
            Option(bits, float(d), float(e), float(e) * 10)
            for bits, d, e in zip(BITS, noise, energy, strict=True)
        )
    return Table(found, rest_energy_j=1e-6, rest_latency_s=1e-5, rest_noise=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    """The oracle tries all 3^5 choices."""
    given = table(seed=seed)
    noises = [choose(given, quantity, ()).noise for quantity in ("noise", "energy_j")]
    limit = sum(noises) / 2
    every = [
        choice_of(given, dict(zip(given.layers, bits, strict=True)))
        for bits in itertools.product(BITS, repeat=len(given.layers))
    ]
    best = min(choice.energy_j for choice in every if choice.noise <= limit)
    found = choose(given, "energy_j", [Budget("noise", limit)])
    assert found.energy_j == pytest.approx(best, rel=1e-9)
    assert found.noise <= limit


def test_the_front_rises_and_holds_both_ends() -> None:
    given = table(8)
    front = pareto_front(given)
    assert front[0].energy_j == pytest.approx(choose(given, "energy_j", ()).energy_j)
    assert front[-1].noise == pytest.approx(choose(given, "noise", ()).noise)
    assert all(a.energy_j <= b.energy_j for a, b in itertools.pairwise(front))
    assert all(a.noise > b.noise for a, b in itertools.pairwise(front))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget("energy_j", 1e-9), r"not 1e-09 J \(least possible: \d.*e-05 J\); give a looser"),
        (Budget("latency_s", 1e-9), r"not 1e-09 s \(least possible"),
        (Budget("noise", 1e-9), r"an output SNR of 90\.0 dB \(most possible: \d\d\.\d dB\)"),
    ],
)
def test_a_budget_that_nothing_meets_is_named(budget: Budget, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(table(), "noise", [budget])


SOLVING = """
import numpy as np
from zapdeploy.quantize.mixed import Budget, Option, Table, choose
from zapdeploy.quantize.recipes import BitChoice
BITS = [BitChoice(8, 8), BitChoice(4, 8), BitChoice(4, 4), BitChoice(2, 4)]
random = np.random.default_rng(5)
for _ in range(80):
    noise = np.abs(random.standard_cauchy((54, 4))) * 1e-6 * [0, 1, 3, 20]
    energy = random.uniform(1e-5, 1e-4, (54, 1)) * [1, 0.98, 0.7, 0.6]
    energy *= random.uniform(0.97, 1.03, (54, 4))
    options = [[Option(*o, 0.0) for o in zip(BITS, *row)] for row in zip(noise, energy)]
    table = Table({str(layer): tuple(found) for layer, found in enumerate(options)})
    limit = float(random.uniform(1e-6, 3e-3))
    assert choose(table, "energy_j", [Budget("noise", limit)]).noise <= limit * (1 + 1e-9)
print("solved")
"""


def test_solving_writes_nothing_and_keeps_tight_budgets() -> None:
    """HiGHS prints a line in some of these; what is printed would spoil JSON."""
    done = subprocess.run([sys.executable, "-c", SOLVING], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("solved\n", 0), done.stderr


@pytest.fixture(scope="module")
def mixer_result(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    pytest.importorskip("brevitas")
    from zapdeploy.forecasters import build_model, sample_inputs
    from zapdeploy.quantize import prepare_module
    from zapdeploy.quantize.modules.mixed_search import quantize_mixed

    network = build_model("tsmixer-c4", neurons=400, width=64)
    prepared = prepare_module(network, sample_inputs("tsmixer-c4", 16, neurons=400))
    recipe = find_recipe("int8")
    return prepared, quantize_mixed(prepared, recipe, [Budget("noise", 10**-2.7)], COSTS_OF)


def test_predicted_costs_are_what_compile_reports(mixer_result, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from zapdeploy.quantize import write_module
    from zapdeploy.quantize.modules.mixed_search import draw_front

    prepared, found = mixer_result
    write_module(prepared, found.quantized, tmp_path / "mixed.onnx")
    reported = compiled_costs(tmp_path / "mixed.onnx", "northpole-sim")
    assert found.choice.energy_j == pytest.approx(reported.energy_j, rel=1e-12)
    assert found.choice.latency_s == pytest.approx(reported.latency_s, rel=1e-12)
    pytest.importorskip("plotly")
    assert draw_front(found, tmp_path / "front.html")
    assert b"energy per frame" in (tmp_path / "front.html").read_bytes()


def test_costs_by_values_are_those_of_the_bits(mixer_result, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Most of what zeros and noise save is saved in matrix layers, the rest behind and beside."""
    from zapdeploy.quantize import write_module

    prepared, found = mixer_result
    write_module(prepared, found.quantized, tmp_path / "mixed.onnx")
    by_value = {"random": compiled_costs(tmp_path / "mixed.onnx", "northpole-sim")}
    shape = prepared.samples[0].shape
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for name, values in (("noise", noise), ("zeros", np.zeros(shape, np.float32))):
        given = {onnx.load(tmp_path / "mixed.onnx").graph.input[0].name: values}
        by_value[name] = compiled_costs(tmp_path / "mixed.onnx", "northpole-sim", given)
    total = {name: costs.energy_j for name, costs in by_value.items()}
    assert total["zeros"] < total["noise"] < total["random"]
    for name, costs in by_value.items():
        assert costs.latency_s == by_value["random"].latency_s
        saved = sum(by_value["random"].layers[n][0] - costs.layers[n][0] for n in costs.layers)
        whole = total["random"] - total[name]
        assert 0.5 * whole <= saved <= whole * (1 + 1e-9)


def test_without_plotly_the_front_is_printed_and_one_line_says_so(  # type: ignore[no-untyped-def]
    mixer_result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zapdeploy.cli.quantize import _say_mixed
    from zapdeploy.quantize.modules.mixed_search import draw_front

    _, found = mixer_result
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    assert not draw_front(found, tmp_path / "front.html")
    assert not (tmp_path / "front.html").exists()
    _say_mixed({**found.as_json(), "energy_of": "random data", "plot": None})
    printed = capsys.readouterr().out
    assert "Pareto front" in printed
    assert "no plot of it: Plotly is not installed; run: pip install" in printed


@pytest.mark.parametrize("rounding", ["gptq", "gpfq"])
def test_what_is_measured_from_a_layer_on_is_what_the_whole_network_gives(  # type: ignore[no-untyped-def]
    mixer_result, rounding: str
) -> None:
    """The oracle runs all of the network for each option, as the definition says."""
    from zapdeploy.quantize.modules import sensitivity
    from zapdeploy.quantize.modules.build import build, outputs
    from zapdeploy.quantize.modules.narrowing import WIDEST, Narrowing

    prepared, _ = mixer_result
    recipe = find_recipe("int8", rounding=rounding)
    options = (WIDEST, BitChoice(4, 4), BitChoice(2, 4))
    fitted, judged = sensitivity.split(prepared, 7)
    found = sensitivity.measure(fitted, judged, recipe, options)
    quantized = build(fitted, recipe, dict.fromkeys(prepared.layers, WIDEST))

    def noise() -> float:
        return sensitivity.noise(prepared, quantized, judged)

    def by_sample() -> np.ndarray:  # type: ignore[type-arg]
        exact = outputs(prepared.graph, judged).double()
        squares = (outputs(quantized.graph, judged).double() - exact) ** 2
        return (squares.flatten(1).sum(1) / (exact**2).sum()).numpy()

    widest = by_sample()
    assert found.widest == pytest.approx(noise(), rel=1e-9)
    narrowing = Narrowing(quantized, fitted, recipe)
    readers = sensitivity._readers(prepared, recipe, options)
    for node in narrowing.walk.order:
        narrowing.reach(node)
        name = narrowing.layers.get(node)
        for bits in options[1:] if name else ():
            with narrowing.narrowed(node, bits, readers[name][bits]):
                added = by_sample() - widest
            error = added.std(ddof=1) * np.sqrt(len(added))
            expected = max(added.sum() + error, 0)
            assert found.layers[name][bits] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.widest == pytest.approx(noise(), rel=1e-9)  # all is as it was


def test_a_narrowed_layer_is_close_to_a_network_built_with_it_so(mixer_result) -> None:  # type: ignore[no-untyped-def]
    """Built wholly, the layers behind it are rounded and corrected anew; the rest is the same."""
    from zapdeploy.quantize.modules.build import build
    from zapdeploy.quantize.modules.narrowing import WIDEST
    from zapdeploy.quantize.modules.sensitivity import measure, noise, split

    prepared, _ = mixer_result
    recipe, narrow = find_recipe("w4a8"), BitChoice(2, 4)
    fitted, judged = split(prepared)
    found = measure(fitted, judged, recipe, (WIDEST, narrow))
    for name in prepared.layers:
        bits = dict.fromkeys(prepared.layers, WIDEST) | {name: narrow}
        whole = noise(fitted, build(fitted, recipe, bits), judged)
        assert found.widest + found.layers[name][narrow] == pytest.approx(whole, rel=0.25), name


def test_noise_is_judged_on_samples_that_rounding_has_not_seen(mixer_result) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    import torch

    from zapdeploy.quantize.modules.sensitivity import split

    prepared, _ = mixer_result
    fitted, judged = split(prepared, 5)
    assert (len(fitted.samples[0]), len(judged[0])) == (11, 5)
    assert torch.equal(torch.cat([fitted.samples[0], judged[0]]), prepared.samples[0])
    one, same = split(replace(prepared, samples=tuple(v[:1] for v in prepared.samples)))
    assert torch.equal(one.samples[0], same[0])


def test_mixed_takes_less_energy_than_int8(mixer_result) -> None:  # type: ignore[no-untyped-def]
    _, found = mixer_result
    assert found.choice.energy_j < found.uniform.energy_j
    assert found.noise <= 10**-2.7
    document = found.as_json()
    assert document["snr_db"] >= 27
    assert document["energy_j"]["predicted"] == pytest.approx(document["energy_j"]["compiled"])


def test_a_network_tried_before_is_kept_when_learning_rules_out_the_rest(  # type: ignore[no-untyped-def]
    mixer_result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two budgets, what was learned may leave no choice; the measured network still does."""
    from zapdeploy.quantize.modules.mixed_search import MixedSearch

    prepared, found = mixer_result
    search = MixedSearch(prepared, find_recipe("int8"), COSTS_OF)
    budgets = [Budget("noise", 10**-2.7), Budget("energy_j", found.uniform.energy_j * 0.9999)]
    settle, calls = search._settle, []

    def once(*given):  # type: ignore[no-untyped-def]
        calls.append(given)
        if len(calls) > 1:
            raise UsageError("nothing")
        return settle(*given)

    monkeypatch.setattr(search, "_settle", once)
    again = search.quantize(budgets)
    assert len(calls) == 2
    assert again.noise <= 10**-2.7
    assert again.compiled.energy_j < found.uniform.energy_j
    with pytest.raises(UsageError, match="nothing"):
        search.quantize([Budget("energy_j", 1e-12)])
