"""From a made connectome to a comparison over seeds, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from zapdeploy.cli.app import run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    call = ["data", "synthesize", "--neurons", "40", "--frames", "400", "-o", str(folder)]
    assert run(call) == 0
    return folder


def test_synthesize_and_show(made: Path, tmp_path: Path, zapdeploy: Call) -> None:
    called = zapdeploy("data", "show", made / "connectome", "--json", "-o", tmp_path / "c.html")
    document = called.json
    assert document["neurons"] == 40
    assert document["edges"] == 80
    assert "data:image/png;base64" in (tmp_path / "c.html").read_text()
    again = tmp_path / "again"
    wiring = made / "connectome"
    call = ("data", "synthesize", "--connectome", wiring, "--frames", 9, "-o", again)
    assert zapdeploy(*call).status == 0
    assert (again / "recording.npy").is_file()
    assert not (again / "connectome").exists()


def test_train_and_compare_over_seeds(made: Path, tmp_path: Path, zapdeploy: Call) -> None:
    common = (
        "--data", made / "recording.npy", "--connectome", made / "connectome", "--context", 3,
        "--horizon", 2, "--steps", 4, "--batch", 4, "--seeds", 2, "--threads", 1,
    )  # fmt: skip
    wired, shuffled = tmp_path / "wired", tmp_path / "shuffled"
    document = zapdeploy("train", "wired", *common, "-o", wired, "--json").json
    assert document["wiring"]["matched"] == 40
    assert document["wiring"]["control"] == "wired"
    said = zapdeploy("train", "wired", *common, "--control", "shuffled", "-o", shuffled).out
    assert "40 of 40 recorded neurons are in the connectome" in said
    found = zapdeploy("evaluate", wired, shuffled, "--data", made / "recording.npy", "--json")
    (compared,) = found.json["seed_comparisons"]
    assert compared["seeds"] == [2, 2]
    assert compared["low"] <= compared["difference"] <= compared["high"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "wired"), "wired must have --connectome PATH, not none"),
        (("train", "linear", "--connectome", "{made}/connectome"), "must go with wired"),
        (("train", "wired", "--connectome", "nowhere"), "connectome must be there, not missing"),
        (
            ("train", "wired", "--connectome", "{made}/connectome", "--ordering", "best"),
            "--ordering must be one of metis, spectral, cuthill-mckee, none, not 'best'",
        ),
        (
            ("train", "wired", "--connectome", "{made}/connectome", "--message-steps", "9"),
            "--message-steps must be 1 to 4, not 9",
        ),
    ],
)
def test_bad_input_is_one_line(
    made: Path,
    tmp_path: Path,
    zapdeploy: Call,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    given = [a.format(made=made) for a in arguments]
    called = zapdeploy(*given, "--data", made / "recording.npy", "-o", tmp_path / "out")
    assert called.status == 2
    assert message in called.err
    assert "\n" not in called.err.strip()
    assert not (tmp_path / "out").exists()
