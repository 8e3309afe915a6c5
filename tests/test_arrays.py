"""Archives that are damaged, or not what they say, are one line."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zapdeploy.arrays import ONLY, load_arrays
from zapdeploy.errors import DataError


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def npy(array: np.ndarray) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue() + content


def test_reads_both_forms(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    np.savez(tmp_path / "a.npz", x=array)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(load_arrays(tmp_path / "a.npz", ["x"])["x"], array)
    assert np.array_equal(load_arrays(tmp_path / "a.npy")[ONLY], array)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header((10**9, 10**9)), "must have the 4,000,000,000,000,000,000 bytes of its shape"),
        (header((4,), b"1234"), "must have the 16 bytes of its shape [4], not"),
        (b"\x93NUMPY\x09\x00", "must be an .npz archive of numbers"),
        (b"no array", "must be an .npz archive of numbers"),
        (npy(np.array(["a", None], object)), "must hold numbers, not Python objects"),
    ],
)
def test_lying_members(tmp_path: Path, content: bytes, reason: str) -> None:
    path = archive(tmp_path / "a.npz", {"x.npy": content})
    with pytest.raises(DataError) as error:
        load_arrays(path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)


def test_unwanted_names_are_refused_unread(tmp_path: Path) -> None:
    """The unwanted array's own contradiction is never met."""
    members = {"x.npy": npy(np.zeros(3)), "huge.npy": header((10**9, 10**9))}
    with pytest.raises(DataError, match="inputs must be 'x', not 'huge'; leave it out"):
        load_arrays(archive(tmp_path / "a.npz", members), ["x"])


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_flipped_bits_are_found_or_harmless(tmp_path: Path, position: int) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(50, dtype=np.int32))
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] ^= 0x10
    path.write_bytes(raw)
    with contextlib.suppress(DataError):
        load_arrays(path)
