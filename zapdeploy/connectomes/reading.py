"""Connectomes from files: an edge list and a neuron table, or GraphML.

A place is a file of edges (.csv, .parquet, .npz, .graphml) or a folder with edges.* and neurons.*.
SciPy's own .npz of a sparse matrix [post, pre] is read too. Column names are those that MICrONS,
FlyWire and neuPrint write, and the plain words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import load_arrays
from zapdeploy.connectomes import tables
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.edges import RawEdges, clean
from zapdeploy.connectomes.options import EdgeOptions
from zapdeploy.errors import DataError

PRE = ("pre", "pre_id", "pre_root_id", "pre_pt_root_id", "bodyid_pre", "source", "from")
POST = ("post", "post_id", "post_root_id", "post_pt_root_id", "bodyid_post", "target", "to")
SYNAPSES = ("synapses", "syn_count", "n_synapses", "n_syn", "count", "weight", "size")
SIGN = ("sign",)
TRANSMITTER = ("transmitter", "nt_type", "neurotransmitter", "nt", "top_nt", "predictednt")
IDENTITY = ("id", "neuron", "neuron_id", "root_id", "pt_root_id", "bodyid", "name", "label")
TYPE = ("type", "cell_type", "primary_type", "cell_class", "class", "region")
AXES = (("x", "y", "z"), ("pos_x", "pos_y", "pos_z"), ("pt_x", "pt_y", "pt_z"))
# Of vertebrates. Where glutamate inhibits, as in much of the fly, give a column "sign".
EXCITES = {"ach", "acetylcholine", "glut", "glu", "glutamate", "excitatory", "exc", "e"}
INHIBITS = {"gaba", "gly", "glycine", "inhibitory", "inh", "i"}
GRAPHML, SPARSE = ".graphml", {"indices", "indptr", "format", "shape", "data"}


def is_connectome(location: str) -> bool:
    """Whether a path holds edges, by its name and header alone."""
    path = Path(location)
    if path.is_dir():
        return _beside(path, "edges") is not None
    if not path.is_file():
        return False
    if path.suffix == GRAPHML:
        return True
    try:
        if path.suffix == ".npz":
            names = {name.lower() for name in np.load(path, allow_pickle=False).files}
            return names >= SPARSE or _joins(names)
        if path.suffix in (".csv", ".tsv", ".txt"):
            with path.open(encoding="utf-8", errors="replace") as file:
                line = file.readline().strip("\ufeff\r\n")
            delimiter = max(",;\t", key=line.count)
            return _joins({part.strip(' "').lower() for part in line.split(delimiter)})
        if path.suffix == ".parquet":
            from pyarrow.parquet import read_schema

            return _joins({name.lower() for name in read_schema(path).names})
    except Exception:  # damage has no type of its own; whoever reads it says what is wrong
        return False
    return False


def open_connectome(location: str, options: EdgeOptions | None = None) -> Connectome:
    """Read a wiring diagram. Raises DataError with one line for one that makes no sense."""
    chosen = options or EdgeOptions()
    path = Path(location).expanduser()
    if not path.exists():
        raise DataError(f"connectome must be there, not missing ({location}); check the path")
    edges = _beside(path, "edges") if path.is_dir() else path
    if edges is None:
        raise DataError(
            f"connectome must be a file of edges, or a folder with edges.csv, .parquet or .npz, "
            f"not a folder without ({location})"
        )
    given = chosen.neuron_table
    table = Path(given) if given else _beside(path, "neurons") if path.is_dir() else None
    if given and table is not None and not table.is_file():
        raise DataError(f"neuron table must be there, not missing ({given}); check the path")
    if edges.suffix == GRAPHML:
        from zapdeploy.connectomes.graphml import read_graphml

        columns, own = read_graphml(edges)
    else:
        columns, own = _edge_columns(edges), None
    neurons = tables.read_columns(table) if table is not None else own
    return _assembled(columns, neurons, str(edges), str(table or edges), chosen)


def _beside(folder: Path, stem: str) -> Path | None:
    endings = (".npz", ".parquet", ".csv", ".tsv", ".txt", GRAPHML)
    return next((p for e in endings if (p := folder / f"{stem}{e}").is_file()), None)


def _joins(names: set[str]) -> bool:
    return bool(names & set(PRE)) and bool(names & set(POST))


def _edge_columns(path: Path) -> tables.Columns:
    if path.suffix not in tables.ENDINGS:
        raise DataError(
            f"connectome must be .csv, .parquet, .npz or .graphml, not '{path.name}'; convert it"
        )
    if path.suffix == ".npz":
        arrays = load_arrays(path)
        if set(arrays) >= SPARSE:
            return _from_matrix(arrays, str(path))
    return tables.read_columns(path)


def _from_matrix(arrays: dict[str, NDArray[Any]], where: str) -> tables.Columns:
    """SciPy's CSR or CSC matrix [post, pre]."""
    form = str(np.asarray(arrays["format"]).astype(np.str_))
    form = form.removeprefix("b'").removesuffix("'")
    shape, indptr, indices = arrays["shape"], arrays["indptr"], arrays["indices"]
    if form not in ("csr", "csc") or shape.size != 2 or shape[0] != shape[1]:
        raise DataError(
            f"sparse matrix must be csr or csc and square, not {form} of {shape.tolist()} ({where})"
        )
    if indptr.size != shape[0] + 1 or (np.diff(indptr) < 0).any() or indptr[-1] != indices.size:
        raise DataError(
            f"sparse matrix must have pointers that rise to its end, not others ({where})"
        )
    major = np.repeat(np.arange(shape[0]), np.diff(indptr))
    post, pre = (major, indices) if form == "csr" else (indices, major)
    return {"post": post, "pre": pre, "synapses": arrays["data"], "#": np.arange(shape[0])}


def _assembled(
    columns: tables.Columns,
    neurons: tables.Columns | None,
    where: str,
    table: str,
    options: EdgeOptions,
) -> Connectome:
    pre = tables.need(columns, PRE, "the sending neuron", where)
    post = tables.need(columns, POST, "the receiving neuron", where)
    synapses = tables.choose(columns, SYNAPSES)
    lengths = {name: values.shape for name, values in columns.items() if name != "#"}
    if len(set(lengths.values())) > 1 or pre.ndim != 1:
        raise DataError(f"columns of edges must be equally long, not {lengths} ({where})")
    count = np.ones(pre.size) if synapses is None else tables.floats(synapses, "synapses", where)
    own = _signs(columns, pre.size, where)
    if neurons is not None:
        ids = tables.need(neurons, IDENTITY, "the neuron's identity", table)
    else:
        ids = columns["#"] if "#" in columns else np.unique(np.concatenate([pre, post]))
    post, pre, ids = tables.identities(post, pre, ids)
    _check_ids(ids, table)
    of_neuron = None if neurons is None or own is not None else _signs(neurons, ids.size, table)
    raw = RawEdges(post, pre, count, own, of_neuron)
    found = clean(raw, ids, where, options)
    types, type_of = _types(neurons, ids.size, table)
    return Connectome(
        tables.names(ids),
        *found.arrays,
        _positions(neurons, ids.size, table),
        types,
        type_of,
        where,
        found.notes,
    )


def _check_ids(ids: NDArray[Any], where: str) -> None:
    named, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"neurons must be named once, not '{named[counts.argmax()]}' {counts.max()} times "
            f"({where}); remove the repetition"
        )
    if ids.size < 2:
        raise DataError(f"connectome must have at least 2 neurons, not {ids.size} ({where})")


def _signs(columns: tables.Columns, count: int, where: str) -> NDArray[np.int8] | None:
    """1, -1 and 0 from a column of signs, else of transmitters; None without either."""
    sign = tables.choose(columns, SIGN)
    if sign is not None:
        return np.sign(tables.floats(sign, "sign", where)).astype(np.int8)
    transmitter = tables.choose(columns, TRANSMITTER)
    if transmitter is None:
        return None
    kinds, index = np.unique(np.char.lower(tables.names(transmitter)), return_inverse=True)
    of_kind = [1 if k in EXCITES else -1 if k in INHIBITS else 0 for k in kinds]
    return np.array(of_kind, np.int8)[index].reshape(count)


def _types(
    neurons: tables.Columns | None, count: int, where: str
) -> tuple[tuple[str, ...], NDArray[np.int32] | None]:
    kinds = None if neurons is None else tables.choose(neurons, TYPE)
    if kinds is None:
        return (), None
    named, index = np.unique(tables.names(kinds), return_inverse=True)
    return tuple(name or "unknown" for name in named.tolist()), index.reshape(count).astype(
        np.int32
    )


def _positions(
    neurons: tables.Columns | None, count: int, where: str
) -> NDArray[np.float64] | None:
    for axes in AXES:
        if neurons is not None and all(axis in neurons for axis in axes):
            return np.stack([tables.floats(neurons[a], f"position {a}", where) for a in axes], 1)
    return None
