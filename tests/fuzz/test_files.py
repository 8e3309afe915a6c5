"""A short run of the damaged files, and what longer ones found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz import damage, files
from tests.fuzz.files import KINDS, NotRefusedError, attempt, chosen, damaged_file

SLOW = ("recording nwb", "recording mat", "recording parquet", "pt", "forecaster")


@pytest.mark.parametrize("name", [name for name in KINDS if name not in SLOW])
def test_damage_is_one_line(name: str) -> None:
    for seed in range(4):
        attempt(name, [1000 + seed], seed)


def test_the_damage_follows_from_its_numbers() -> None:
    content = bytes(range(200))
    for kind in KINDS.values():
        assert damage.damaged(content, kind.edit, [5]) == damage.damaged(content, kind.edit, [5])
    assert chosen(5) == chosen(5)
    assert chosen(9, ["zap"])[0] == "zap"


def test_what_files_hold_is_damaged_under_right_digests(tmp_path: Path) -> None:
    """Most changed .zap files are refused for what they say, not for their digest."""
    path = files.whole(files.program)
    content = path.read_bytes()
    refused = []
    for number in range(30):
        damaged = tmp_path / "d.zap"
        damaged.write_bytes(damage.of_program(content, random.Random(number)))
        quiet, printed = files._quiet()
        with quiet:
            files.run_cli(["simulate", str(damaged), "--level", "bound"])
        refused.append(printed.getvalue())
    assert sum("is damaged" in line for line in refused) < 15
    assert sum("has an incomplete header" in line for line in refused) > 3


def test_an_internal_error_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that fails for any damage: found, and one change of three is enough."""
    sound = files.whole(files.target).read_bytes()

    def wrong(call: list[str], out: Path) -> str:
        return "" if Path(call[-1]).read_bytes() == sound else "zapdeploy: internal error"

    monkeypatch.setattr(files, "fault_of", wrong)
    with pytest.raises(NotRefusedError) as error:
        attempt("toml", [3, 4, 5], 0)
    finding = files.shrunk("toml", [3, 4, 5], 0, error.value)
    assert finding.shrunk.startswith("toml --edits ")
    assert finding.shrunk.count(",") == 0


# Seeds of longer runs that ended in an internal error, hung, or left something over: the kind, and
# the smallest changes.
FOUND = (
    ("zap", 6001001, "262588"),
    ("zap", 6002189, "463463"),
    ("float onnx", 6000727, "372542,615814"),
    ("zap", 59, "977944"),
    ("zap", 3328, "511326"),
    ("zap", 1824, "430268"),
    ("zap", 3984, "823032"),
    ("zap", 1003306, "770901"),
    ("zap", 2000192, "764756"),
    ("zap", 2001196, "409615"),
    ("zap", 2001626, "566606"),
    ("zap", 2003163, "480907"),
    ("zap", 2004365, "196494"),
    ("settings", 2000403, "7455"),
    ("zap", 1003548, "274844"),
    ("onnx", 707, "974801"),
    ("float onnx", 1003174, "427005"),
    ("float onnx", 6132, "517839"),
    ("recording npy", 116, "757212"),
    ("recording suite2p", 236, "519370"),
    ("recording npz", 264, "572567,543014"),
    ("recording hdf5", 1085, "925919,853666"),
    ("recording mat", 1223, "537967,601594"),
    ("conditions", 4232, "754443,927790"),
    ("conditions", 6315, "272027,144114"),
    ("settings", 156, "932128"),
    ("settings", 1350, "17971,239911"),
    ("rows", 4164, "760869"),
    ("rows", 5961, "109796"),
    ("details", 2211, "691604"),
    ("details", 3414, "64427"),
    ("details", 5403, "987921"),
    ("forecaster", 209, "24495"),
    ("forecaster", 2088, "767636"),
    ("forecaster", 3657, "326614,311254"),
)


@pytest.mark.parametrize(("name", "seed", "edits"), FOUND)
def test_found(name: str, seed: int, edits: str) -> None:
    attempt(name, [int(edit) for edit in edits.split(",")], seed)


def test_a_damaged_file_can_be_made_again() -> None:
    with damaged_file("toml", [1]) as (path, out):
        assert path.read_bytes() != files.whole(files.target).read_bytes()
        assert not list(out.iterdir())
