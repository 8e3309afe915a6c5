"""Write a connectome as a folder that `open_connectome` reads: edges.npz and neurons.csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from zapdeploy.arrays import save_arrays
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.files import atomic_write


def save_connectome(connectome: Connectome, folder: Path) -> None:
    """Edges by identity, with synapses and signs; neurons with positions and types."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = connectome.ids
    named = ids.astype(np.int64) if np.char.isdigit(ids).all() else ids
    arrays = {
        "pre": named[connectome.pre],
        "post": named[connectome.post],
        "synapses": connectome.synapses,
        "sign": connectome.signs,
    }
    save_arrays(folder / "edges.npz", arrays)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places, kinds = connectome.positions, connectome.type_of
    header = ["id"] + (["x", "y", "z"] if places is not None else [])
    writer.writerow(header + (["type"] if kinds is not None else []))
    for index, name in enumerate(ids.tolist()):
        row = [name]
        if places is not None:
            row += [f"{value:.6g}" for value in places[index].tolist()]
        writer.writerow(row + ([connectome.types[kinds[index]]] if kinds is not None else []))
    with atomic_write(folder / "neurons.csv") as file:
        file.write(text.getvalue().encode())
