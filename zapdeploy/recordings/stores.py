"""Arrays of a recording behind a path or a URL, through TensorStore. Alone imports it.

Every place is opened by the same specs: a folder, `file://`, `memory://` (inside one process),
`http(s)://`, and `gs://`, whose public buckets are read over HTTPS so that no credentials are asked
for.
"""

from __future__ import annotations

import math
import ssl
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOGLE_STORAGE = "https://storage.googleapis.com"
CHUNK = 512  # frames and neurons of one chunk of the published traces: 1 MiB of float32
# A host that falls silent is given up: before the first byte, on opening, for a part of an array.
_ANSWER_TIMEOUT_S, _OPEN_TIMEOUT_S, _READ_TIMEOUT_S = 5.0, 60.0, 600.0
LARGE_BYTES, LEAST_STORED = 2**30, 0.01  # arrays of that size must hold so many of their chunks
_METADATA = {"zarr.json", ".zarray", ".zattrs"}
_ABSENT = ("does not exist", "NOT_FOUND: Error opening", "no metadata")


def open_store(location: str, name: str, *, fill_missing: bool | None = None) -> Any:
    """The TensorStore of one array of a recording, zarr version 3 or 2, for reading.

    fill_missing: whether a chunk that is not stored is read as the fill value, as zarr has it, or
    is an error; None: the one where no chunk at all is stored, as of an array of zeros, the other
    where some are, since one that is missing among them was lost.
    """
    tensorstore = _tensorstore()
    kvstore = key_value_store(location, name)
    fill = _is_empty(kvstore) if fill_missing is None else fill_missing
    reasons = []
    for driver in ("zarr3", "zarr"):
        spec = {"driver": driver, "kvstore": kvstore, "fill_missing_data_reads": fill}
        try:
            return tensorstore.open(spec, context=_context(), open=True, read=True).result(
                timeout=_OPEN_TIMEOUT_S
            )
        except (ValueError, OSError) as error:
            reasons.append(str(error) or type(error).__name__)
    if all(any(sign in reason for sign in _ABSENT) for reason in reasons):
        raise DataError(
            f"recording must have a zarr array '{name}', not none ({location}); "
            "give the folder or URL that holds it"
        )
    reason = next(r for r in reasons if not any(sign in r for sign in _ABSENT))
    raise DataError(
        f"array '{name}' must be readable, not refused: {brief(reason)} ({location}); "
        "check the path, the network and the copy"
    )


def _is_empty(kvstore: dict[str, Any]) -> bool:
    """Whether an array on this machine has metadata and no chunk."""
    keys = _keys(kvstore)
    return bool(keys) and all(key in _METADATA for key in keys)


def _keys(kvstore: dict[str, Any]) -> list[str]:
    """What is stored of an array on this machine; nothing of one that is elsewhere."""
    if kvstore["driver"] not in ("file", "memory"):
        return []
    try:
        found = _tensorstore().KvStore.open(kvstore, context=_context()).result()
        return [key.decode() for key in found.list().result()]
    except (ValueError, OSError):
        return []


def check_stored(store: Any, location: str, name: str) -> None:
    """Raise DataError where a large array on this machine is as good as empty: its shape would fill
    the memory with a fill value.
    """
    size = store.dtype.numpy_dtype.itemsize * math.prod(store.shape)
    shape = store.chunk_layout.write_chunk.shape
    if size < LARGE_BYTES or shape is None:
        return
    keys = _keys(key_value_store(location, name))
    stored = sum(key not in _METADATA for key in keys)
    count = math.prod(-(-n // each) for n, each in zip(store.shape, shape, strict=True))
    if keys:
        refuse_hollow(stored, count, store.shape, f"{location}{name and ', '}{name}")


def refuse_hollow(stored: int, count: int, shape: Sequence[int], where: str) -> None:
    """Raise DataError where so few of an array's chunks are stored."""
    if stored < LEAST_STORED * count:
        raise DataError(
            f"array must be stored, not {stored:,} of the {count:,} chunks that {list(shape)} has "
            f"({where}); check its metadata, or copy it again"
        )


def has_store(location: str, name: str) -> bool:
    """Whether the recording has an array of that name."""
    try:
        open_store(location, name)
    except DataError:
        return False
    return True


def read_store(store: Any, where: str) -> NDArray[Any]:
    """A whole array, or a part of one. Raises DataError when something of it is missing."""
    try:
        return np.asarray(store.read().result(timeout=_READ_TIMEOUT_S))
    except (ValueError, OSError) as error:
        raise _unreadable(where, error) from error


def chunks_of(store: Any) -> tuple[int, int] | None:
    """Shape of what is read in one piece, of an array of two axes; None where it does not say."""
    found = store.chunk_layout.read_chunk.shape
    return None if found is None or len(found) != 2 else (int(found[0]), int(found[1]))


def create_store(
    location: str,
    name: str,
    shape: Sequence[int],
    chunk: Sequence[int],
    driver: str,
    *,
    kind: str = "float32",
    axes: Sequence[str] = ("t", "f"),
) -> Any:
    """A new array, uncompressed, for writing: zarr3, or zarr (version 2; float32 alone).

    kind: of its elements, as zarr3 spells it. axes: their names, where the format has some.
    """
    metadata: dict[str, Any] = {"shape": list(shape)}
    if driver == "zarr3":
        metadata |= {
            "data_type": kind,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "fill_value": 0,
            "dimension_names": list(axes),
        }
    else:
        metadata |= {"dtype": "<f4", "chunks": list(chunk), "compressor": None}
    spec = {
        "driver": driver,
        "kvstore": key_value_store(location, name),
        "metadata": metadata,
        "create": True,
        "delete_existing": True,
    }
    try:
        return _tensorstore().open(spec, context=_context()).result()
    except (ValueError, OSError) as error:
        raise DataError(
            f"array '{name}' must be writable, not refused: {brief(str(error))} ({location})"
        ) from error


def write_store(store: Any, values: NDArray[np.float32], columns: slice | None = None) -> None:
    """Write a whole array, or some of its columns."""
    part = store if columns is None else store[:, columns]
    part.write(values).result()


def key_value_store(location: str, name: str) -> dict[str, Any]:
    """TensorStore's spec of the folder `name` under a path or URL."""
    parts = urlsplit(location)
    inside = "/".join(piece for piece in (parts.path.strip("/"), name) if piece) + "/"
    if parts.scheme == "memory":
        return {"driver": "memory", "path": f"{parts.netloc}/{inside}"}
    if parts.scheme == "gs":
        return _http(f"{GOOGLE_STORAGE}/{parts.netloc}/{inside}")
    if parts.scheme in ("http", "https"):
        return _http(f"{parts.scheme}://{parts.netloc}/{inside}")
    if parts.scheme in ("", "file"):
        path = Path(parts.path if parts.scheme else location).expanduser().resolve() / name
        return {"driver": "file", "path": f"{path}/", "file_io_sync": False}
    raise UsageError(
        f"data must be synthetic, zapbench, a folder or a file://, gs://, https:// or memory:// "
        f"URL, not '{location}'"
    )


def check_reachable(location: str) -> None:
    """Raise DataError when the host of a URL does not answer: sooner and clearer than retries.

    Whatever it answers is fine here; proxies of the environment are gone through.
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, build_opener

    parts = urlsplit(location)
    if parts.scheme not in ("gs", "http", "https"):
        return
    url = f"{GOOGLE_STORAGE}/{parts.netloc}{parts.path}" if parts.scheme == "gs" else location
    try:
        asked = Request(url, method="HEAD")
        build_opener().open(asked, timeout=_ANSWER_TIMEOUT_S).close()
    except HTTPError:
        return
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):
            return  # TensorStore has certificates of its own to judge by
        said = (isinstance(reason, OSError) and reason.strerror) or reason
        raise DataError(
            f"host {urlsplit(url).hostname} must be reachable, not out of reach: {said} "
            f"({location}); connect to the network, give a local copy, or use: --data synthetic"
        ) from None


def brief(reason: str) -> str:
    """TensorStore's message without its dump of the spec."""
    first = reason.strip().splitlines()[0].split(" [tensorstore_spec=")[0]
    return first.removesuffix(" [")


def _http(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "driver": "http",
        "base_url": f"{parts.scheme}://{parts.netloc}",
        "path": parts.path,
    }


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(
        f"array must be whole, not damaged: {brief(str(error) or type(error).__name__)} ({where}); "
        "copy it again"
    )


def tensorstore_and_context() -> tuple[Any, Any]:
    """TensorStore, and the context that the process reads in."""
    return _tensorstore(), _context()


@cache
def _context() -> Any:
    """One for the whole process, so that memory:// means the same place everywhere."""
    return _tensorstore().Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            "http_request_retries": {"max_retries": 3, "initial_delay": "200ms"},
        }
    )


def _tensorstore() -> Any:
    try:
        import tensorstore
    except ModuleNotFoundError as error:
        raise UsageError(
            "tensorstore must be installed to read recordings, not missing; "
            "run: pip install tensorstore"
        ) from error
    return tensorstore
