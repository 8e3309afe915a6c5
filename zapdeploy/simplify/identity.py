"""What tells one network from another: a digest of its file and of its external data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from zapdeploy.simplify.graphs import all_nodes, inner_graphs


def network_digest(path: Path) -> str:
    """SHA-256, in hexadecimal, of an ONNX file and of the files in its folder that it names.

    It is that of the file alone where nothing is kept outside it. Raises OSError where one cannot
    be read.
    """
    data = path.read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return hashlib.sha256(data).hexdigest()
    return digest(hashlib.sha256(data), external_files(model, path.parent))


def digest(content: hashlib._Hash, files: Iterable[Path]) -> str:
    """The digest of a network, from the hash of its file and the files of its external data."""
    found = content.copy()
    for file in files:
        with file.open("rb") as handle:
            found.update(hashlib.file_digest(handle, "sha256").digest())
    return found.hexdigest()


def external_files(model: onnx.ModelProto, folder: Path) -> tuple[Path, ...]:
    """The files inside the folder that hold a model's tensors, sorted; those that are there."""
    files = (folder / location for location in sorted(set(_locations(model))))
    return tuple(file for file in files if _is_inside(file, folder))


def _is_inside(file: Path, folder: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _locations(model: onnx.ModelProto) -> Iterator[str]:
    """Where tensors lie that are not in the model, relative to its folder."""
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in all_nodes(model.graph):
        for graph in inner_graphs(node):
            yield from graph.initializer
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
