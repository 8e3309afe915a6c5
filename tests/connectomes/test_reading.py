"""Connectomes from files: every format says the same, and what makes no sense is one clear line."""

from __future__ import annotations

from pathlib import Path

import networkx
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.sparse

from zapdeploy.connectomes.options import EdgeOptions
from zapdeploy.connectomes.reading import is_connectome, open_connectome
from zapdeploy.errors import DataError, UsageError

# a excites b and c, c inhibits a; d is alone.
NEURONS = "id,x,y,z,type\na,0,0,0,one\nb,3,4,0,two\nc,0,0,1,one\nd,1,1,1,two\n"
EDGES = "pre,post,synapses,sign\na,b,2,1\nc,a,5,-1\na,c,1,1\n"
TABLE = {"pre": ["a", "c", "a"], "post": ["b", "a", "c"], "synapses": [2, 5, 1], "sign": [1, -1, 1]}


def written(folder: Path, edges: str = EDGES, neurons: str | None = NEURONS) -> str:
    (folder / "edges.csv").write_text(edges)
    if neurons is not None:
        (folder / "neurons.csv").write_text(neurons)
    return str(folder)


def in_format(folder: Path, ending: str) -> tuple[str, EdgeOptions]:
    path = folder / f"wiring{ending}"
    (folder / "table.csv").write_text(NEURONS)
    options = EdgeOptions(neuron_table=str(folder / "table.csv"))
    if ending == ".csv":
        path.write_text(EDGES)
    elif ending == ".tsv":
        path.write_text(EDGES.replace(",", "\t"))
    elif ending == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(TABLE), path)
    elif ending == ".npz":
        np.savez(path, **{name: np.array(values) for name, values in TABLE.items()})
    else:
        graph = networkx.DiGraph()
        for pre, post, synapses, sign in zip(*TABLE.values(), strict=True):
            graph.add_edge(pre, post, synapses=synapses, sign=sign)
        networkx.write_graphml(graph, path)
    return str(path), options


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".npz", ".graphml"])
def test_every_format_says_the_same(tmp_path: Path, ending: str) -> None:
    location, options = in_format(tmp_path, ending)
    assert is_connectome(location)
    found = open_connectome(location, options)
    assert found.ids.tolist() == ["a", "b", "c", "d"]
    dense = np.zeros((4, 4))
    dense[1, 0], dense[0, 2], dense[2, 0] = 2, 5, 1
    assert np.array_equal(found.matrix().toarray(), dense)
    assert found.signs.tolist() == [-1, 1, 1]  # to a, to b, to c
    assert found.types == ("one", "two")
    assert found.type_of is not None
    assert found.type_of.tolist() == [0, 1, 0, 1]
    assert found.positions is not None
    assert found.positions[1].tolist() == [3, 4, 0]
    assert found.in_degrees.tolist() == [1, 1, 1, 0]
    assert found.out_degrees.tolist() == [2, 0, 1, 0]


def test_a_folder_and_names_of_others(tmp_path: Path) -> None:
    """FlyWire's names and 64-bit identities, of which float64 would lose the last digits."""
    ids = (720575940614131061, 720575940614131062)
    edges = f"pre_root_id,post_root_id,syn_count,nt_type\n{ids[0]},{ids[1]},7,GABA\n"
    found = open_connectome(written(tmp_path, edges, f"root_id\n{ids[1]}\n{ids[0]}\n"))
    assert found.ids.tolist() == [str(ids[1]), str(ids[0])]
    assert (found.post.tolist(), found.pre.tolist(), found.signs.tolist()) == ([0], [1], [-1])


def test_what_a_neuron_releases_decides_its_signs(tmp_path: Path) -> None:
    edges = "source,target\na,b\nb,c\nc,a\n"
    table = "id,transmitter\na,ACH\nb,GABA\nc,DA\n"
    found = open_connectome(written(tmp_path, edges, table))
    assert found.signs.tolist() == [0, 1, -1]  # from c, a, b
    assert found.synapses.tolist() == [1, 1, 1]


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_scipys_own_matrix(tmp_path: Path, form: str) -> None:
    matrix = scipy.sparse.random_array((9, 9), density=0.3, rng=np.random.default_rng(0))
    matrix.setdiag(0)
    kept = scipy.sparse.csr_array(matrix.tocsr())
    kept.eliminate_zeros()
    scipy.sparse.save_npz(tmp_path / "w.npz", kept.asformat(form))
    found = open_connectome(str(tmp_path / "w.npz"))
    assert np.allclose(found.matrix().toarray(), kept.toarray())


def test_without_a_table_neurons_are_those_of_the_edges(tmp_path: Path) -> None:
    found = open_connectome(written(tmp_path, neurons=None))
    assert found.ids.tolist() == ["a", "b", "c"]
    assert found.positions is None
    assert found.type_of is None


FAULTS = [
    ("pre,post\na,b\na,e\n", NEURONS, r"join neurons of the table, not 'e' \(row 2 .* 1 in all"),
    ("pre,post\na,b\nc,a\na,b\n", NEURONS, r"given once, not 'a' to 'b' again \(row 3"),
    ("pre,post\na,a\n", NEURONS, r"join two neurons, not 'a' with itself \(row 1"),
    ("pre,post,synapses\na,b,nan\n", NEURONS, r"synapses must be finite, not nan \(row 1"),
    ("pre,post,weight\na,b,inf\n", NEURONS, r"synapses must be finite, not inf"),
    (
        "pre,post,weight\na,b,-2\n",
        NEURONS,
        r"positive, not -2 .*give inhibition in a column 'sign'",
    ),
    ("pre,post,weight\na,b,many\n", NEURONS, r"synapses must be numbers, not .* 'many'"),
    ("from_where,post\na,b\n", NEURONS, r"the sending neuron must be in a column called pre"),
    ("pre,receives\na,b\n", NEURONS, r"the receiving neuron must be in a column called post"),
    (EDGES, "who,x\na,1\n", r"the neuron's identity must be in a column called id"),
    (EDGES, "id\na\nb\nb\nc\n", r"neurons must be named once, not 'b' 2 times"),
    (EDGES, "id,x,y,z\na,0,0,nan\nb,0,0,0\nc,0,0,0\n", r"position z must be finite, not nan"),
    (EDGES, "id\na\n", r"at least 2 neurons, not 1"),
    ("pre,post\n", NEURONS, r"connectome must have edges, not none"),
]


@pytest.mark.parametrize(("edges", "table", "message"), FAULTS)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, edges: str, table: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        open_connectome(written(tmp_path, edges, table))
    assert "\n" not in str(raised.value)


def test_tidy_puts_right_and_says_so(tmp_path: Path) -> None:
    edges = "pre,post,synapses\na,b,2\na,b,3\nb,b,1\nz,a,1\nc,d,1\n"
    found = open_connectome(written(tmp_path, edges), EdgeOptions(edges="tidy", least_synapses=2))
    assert (found.pre.tolist(), found.post.tolist(), found.synapses.tolist()) == ([0], [1], [5])
    assert found.notes == (
        "1 edges of neurons that the table lacks left out",
        "1 self loops left out",
        "1 repeated edges added to the first",
        "1 edges of fewer than 2 synapses left out",
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.graphml", b"<graphml><graph", "GraphML must be readable"),
        ("w.npz", b"PK\x03\x04 no", "must be an .npz archive|must be readable"),
        ("w.parquet", b"PAR1 no", "table must be readable"),
        ("w.h5", b"\x89HDF", "must be .csv, .parquet, .npz or .graphml, not 'w.h5'"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_connectome(str(tmp_path / name))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be there, not missing"):
        open_connectome(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match="not a folder without"):
        open_connectome(str(tmp_path))
    with pytest.raises(DataError, match="neuron table must be there"):
        open_connectome(written(tmp_path), EdgeOptions(neuron_table="none.csv"))
    with pytest.raises(UsageError, match="edges must be strict or tidy, not 'lax'"):
        EdgeOptions(edges="lax")


def test_a_recording_is_no_connectome(tmp_path: Path) -> None:
    (tmp_path / "traces.csv").write_text("time,n0,n1\n0,1,2\n1,2,3\n")
    assert not is_connectome(str(tmp_path / "traces.csv"))
    assert not is_connectome(str(tmp_path))
    assert not is_connectome("synthetic")
