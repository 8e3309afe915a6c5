"""Reading recordings, good ones and bad ones."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore")

from tests.recordings import examples as recordings
from zapdeploy.errors import DataError, ZapdeployError
from zapdeploy.recordings import recording as recording_module
from zapdeploy.recordings import stores
from zapdeploy.recordings.recording import Recording, open_recording, read_neuron_list
from zapdeploy.recordings.zapbench import ZAPBENCH_URL
from zapdeploy.recordings.zapbench_extras import read_positions, read_response


def read(location: str, neurons: Any = None, **options: Any) -> Recording:
    return open_recording(location, neurons, conditions=recordings.CONDITIONS, **options)


def refusal(location: str, neurons: Any = None) -> str:
    with pytest.raises(ZapdeployError) as caught:
        read(location, neurons)
    message = caught.value.on_command_line
    assert "\n" not in message
    return message


@pytest.mark.parametrize("place", ["path", "file", "memory"])
def test_one_loader_reads_every_place(tmp_path: Path, place: str) -> None:
    location = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": recordings.memory()}
    found = read(recordings.write(location[place], recordings.traces(), recordings.stimuli()))
    np.testing.assert_array_equal(found.traces, recordings.traces())
    np.testing.assert_array_equal(found.stimuli, recordings.stimuli())
    assert found.traces.dtype == np.float32
    assert not found.is_synthetic


@pytest.mark.parametrize("neurons", [[4, 0, 3], np.array([4, 0, 3])])
def test_neurons_can_be_chosen(tmp_path: Path, neurons: Any) -> None:
    location = recordings.folder(tmp_path)
    np.testing.assert_array_equal(read(location, 3).traces, recordings.traces()[:, :3])
    found = read(location, neurons)
    np.testing.assert_array_equal(found.traces, recordings.traces()[:, [4, 0, 3]])
    assert found.columns is not None
    assert found.columns.tolist() == [4, 0, 3]


def test_windows_are_context_then_target() -> None:
    small = recordings.small()
    np.testing.assert_array_equal(small.contexts([7, 9], 4)[1], small.traces[9:13])
    np.testing.assert_array_equal(small.targets([7, 9], 4, 32)[1], small.traces[13:45])
    np.testing.assert_array_equal(small.covariates([7, 9], 4, 32)[1], small.stimuli[13:45])


def test_positions_and_response_are_read_for_the_chosen_neurons(tmp_path: Path) -> None:
    location = recordings.folder(tmp_path)
    positions = np.random.default_rng(0).random((5, 192), np.float32)
    stores.write_store(
        stores.create_store(location, "position_embedding", (5, 192), (5, 192), "zarr"), positions
    )
    shape = (recordings.FRAMES, 5)
    stores.write_store(
        stores.create_store(location, "stimulus_evoked_response", shape, (100, 5), "zarr3"),
        recordings.traces(seed=1),
    )
    columns = np.array([3, 1])
    np.testing.assert_array_equal(read_positions(location, columns), positions[columns])
    np.testing.assert_array_equal(
        read_response(location, columns), recordings.traces(seed=1)[:, columns]
    )
    assert stores.has_store(location, "traces")
    assert not stores.has_store(location, "segmentation")


def test_a_missing_chunk(tmp_path: Path) -> None:
    location = recordings.folder(tmp_path)
    (tmp_path / "traces" / "c" / "2" / "1").unlink()
    message = refusal(location)
    assert message.startswith("array must be whole, not damaged: NOT_FOUND: chunk {2, 1} stored at")
    assert message.endswith(f"({location}, traces); copy it again")


def test_a_missing_array(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)) == (
        f"recording must have a zarr array 'traces', not none ({tmp_path}); "
        "give the folder or URL that holds it"
    )


def test_damaged_metadata(tmp_path: Path) -> None:
    location = recordings.folder(tmp_path)
    (tmp_path / "traces" / "zarr.json").write_text("{")
    message = refusal(location)
    assert message.startswith("array 'traces' must be readable, not refused: ")
    assert message.endswith(f"({location}); check the path, the network and the copy")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    values = recordings.traces()
    values[300, 2] = value
    location = recordings.write(recordings.memory(), values, recordings.stimuli())
    assert refusal(location) == (
        f"traces must be finite, not {value} (frame 300, neuron 2, {location}); "
        "repair them, or have them counted as 0: --nan-as-zero"
    )
    assert read(location, nan_as_zero=True).traces[300, 2] == 0


def test_swapped_axes() -> None:
    location = recordings.write(
        recordings.memory(), recordings.traces().T.copy(), recordings.stimuli()
    )
    assert refusal(location) == (
        f"traces must be [1000 frames, neurons], not [5, 1000] ({location}); "
        "neurons come first there: transpose the array"
    )


def test_another_number_of_frames() -> None:
    location = recordings.write(recordings.memory(), recordings.traces()[:99], recordings.stimuli())
    assert refusal(location) == (
        f"traces must be [1000 frames, neurons], not [99, 5] ({location}); "
        "the conditions end at frame 1000"
    )


def test_stimuli_of_another_recording() -> None:
    location = recordings.write(recordings.memory(), recordings.traces(), recordings.stimuli()[:5])
    assert refusal(location) == (
        f"stimulus features must be [1000 frames, 26], not [5, 26] ({location}); "
        "give those of the same recording"
    )


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        (6, "neurons must be 1 to 5, not 6; the recording has no more"),
        (0, "neurons must be 1 to 5, not 0; the recording has no more"),
        (
            [0, 5, 9],
            "neuron list must hold columns 0 to 4, not 5 (2 out of range); "
            "neurons are counted from 0",
        ),
        (
            [1, 1],
            "neuron list must hold every column once, not twice; remove the repetition",
        ),
        (
            [0.5],
            "neuron list must be whole numbers in one row, not float64 of shape [1]; "
            "give one column number per line",
        ),
    ],
)
def test_neurons_that_are_not_there(tmp_path: Path, neurons: Any, message: str) -> None:
    assert refusal(recordings.folder(tmp_path), neurons) == message


def test_neuron_lists_from_files(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("3\n1\n")
    np.save(tmp_path / "list.npy", np.array([3, 1]))
    for name in ("list.txt", "list.npy"):
        assert read_neuron_list(tmp_path / name).tolist() == [3, 1]
    (tmp_path / "bad.txt").write_text("three\n")
    with pytest.raises(DataError, match="neuron list must be whole numbers, one per line, not"):
        read_neuron_list(tmp_path / "bad.txt")


def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_PROXY".upper(), raising=False)


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_proxies(monkeypatch)
    monkeypatch.setattr(stores, "_ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"http://127.0.0.1:{silent.getsockname()[1]}/volumes"
        assert refusal(location) == (
            f"host 127.0.0.1 must be reachable, not out of reach: timed out ({location}); "
            "connect to the network, give a local copy, or use: --data synthetic"
        )


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    _without_proxies(monkeypatch)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed}")
    assert "not out of reach: Connection refused (gs://somewhere/else)" in refusal(
        "gs://somewhere/else"
    )


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> socket.socket:
        raise OSError(-2, "Name or service not known")

    _without_proxies(monkeypatch)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    with pytest.raises(DataError) as caught:
        open_recording("zapbench")
    assert caught.value.on_command_line == (
        "host storage.googleapis.com must be reachable, not out of reach: Name or service not "
        "known (gs://zapbench-release/volumes/20240930); connect to the network, give a local "
        "copy, or use: --data synthetic"
    )


def test_the_public_bucket_is_read_over_https() -> None:
    assert stores.key_value_store(ZAPBENCH_URL, "traces") == {
        "driver": "http",
        "base_url": "https://storage.googleapis.com",
        "path": "/zapbench-release/volumes/20240930/traces/",
    }


def test_an_unknown_place() -> None:
    assert refusal("ftp://somewhere") == (
        "data must be synthetic, zapbench, a folder or a file://, gs://, https:// or memory:// "
        "URL, not 'ftp://somewhere'"
    )


def test_traces_in_memory_must_be_float32() -> None:
    with pytest.raises(DataError, match="traces must be float32, not float64 \\(memory\\)"):
        Recording(
            recordings.traces().astype(np.float64), recordings.stimuli(), recordings.CONDITIONS
        )


def test_without_tensorstore(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(ZapdeployError) as caught:
        recording_module.open_recording("memory://nowhere")
    assert caught.value.on_command_line == (
        "tensorstore must be installed to read recordings, not missing; "
        "run: pip install tensorstore"
    )


def test_a_web_server_is_read_like_the_public_bucket(tmp_path: Path) -> None:
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    recordings.folder(tmp_path / "volumes")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/volumes"
        found = read(url, 4)
        assert refusal(f"{url}/none").startswith("recording must have a zarr array 'traces', not")
        server.shutdown()
    np.testing.assert_array_equal(found.traces, recordings.traces()[:, :4])
