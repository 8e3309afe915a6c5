"""Small changes to files, each by a number: bytes of any file, and what a file of its kind holds.

A change of what a file holds keeps the rest right: lengths, checksums and digests are made anew, so
that the damage reaches what lies behind them.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from onnx import ModelProto

from tests.compile.program.zap_files import START, file_header, sealed, section, signed

Edit = Callable[[bytes, random.Random], bytes]

_NUMBERS = (0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"))
ODD: tuple[Any, ...] = (
    *_NUMBERS,
    *(None, True, "", "x", "-1", "\x1b[31m", "é" * 400, "../../etc/passwd", "nan"),
    *([], {}, [[]], [None], {"": None}, [0] * 300, {"a": {"b": {"c": []}}}),
)
_WORDS = (
    *("0", "-1", "1e999", "nan", "inf", "9" * 400, "1_0", "0x", '"', "[", "]", "{", "}", "=", ","),
    *("\n", "\t", "\0", "\x1b[31m", "[[[[", "true", "1979-05-27", "'", "#", "\\", "é", "\u202e"),
)


def of_bytes(content: bytes, chance: random.Random) -> bytes:
    """One place: other bytes, more, fewer, or the end of the file."""
    if not content:
        return bytes([chance.randrange(256)])
    at = chance.randrange(len(content))
    length = chance.choice((1, 1, 1, 2, 4, 8, 64))
    form = chance.choice(("set", "set", "flip", "number", "insert", "delete", "repeat", "cut"))
    if form == "cut" and chance.random() < 0.5:
        form = "flip"
    new = {
        "set": bytes(chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x20)) for _ in range(length)),
        "flip": bytes([content[at] ^ (1 << chance.randrange(8))]),
        "number": struct.pack("<q", chance.choice((-1, 2**31, 2**40, 2**63 - 1, 10**9)))[:length],
        "insert": chance.randbytes(length),
        "delete": b"",
        "repeat": content[at : at + length] * 2,
        "cut": b"",
    }[form]
    kept = {"insert": 0, "cut": len(content), "flip": 1}.get(form, length)
    return content[:at] + new + content[at + kept :]


def of_text(content: bytes, chance: random.Random) -> bytes:
    """A word, a number or a line of a text."""
    if chance.random() < 0.3:
        return of_bytes(content, chance)
    text = content.decode("utf-8", "surrogateescape")
    if chance.random() < 0.3:
        lines = text.splitlines(keepends=True) or [""]
        at = chance.randrange(len(lines))
        lines[at : at + 1] = chance.choice(([], [lines[at]] * 2, [chance.choice(lines)]))
        return "".join(lines).encode("utf-8", "surrogateescape")
    found = list(re.finditer(r"[\w.+-]+|[^\w\s]", text))
    if not found:
        return of_bytes(content, chance)
    word = chance.choice(found)
    new = chance.choice((*_WORDS, chance.choice(found)[0]))
    text = text[: word.start()] + new + text[word.end() :]
    return text.encode("utf-8", "surrogateescape")


def of_json(content: bytes, chance: random.Random) -> bytes:
    """One value of a document, or of one line of several: another, none, or one too many."""
    lines = content.splitlines() or [b"null"]
    at = chance.randrange(len(lines))
    whole = chance.random() < 0.15
    try:
        document = json.loads(lines[at] if len(lines) > 1 else content)
    except ValueError:
        try:
            document, lines, at = json.loads(content), [content], 0
        except ValueError:
            return of_text(content, chance)
    if whole:
        return of_text(content, chance)
    lines[at : at + 1] = [json.dumps(changed_value(document, chance)).encode()]
    return b"\n".join(lines) if len(lines) == 1 else b"\n".join(lines) + b"\n"


def changed_value(document: Any, chance: random.Random) -> Any:
    """The document with one of its values changed."""
    holder = {"": document}
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [holder]
    while waiting:
        here = waiting.pop()
        keys = here.keys() if isinstance(here, dict) else range(len(here))
        for key in keys:
            places.append((here, key))
            if isinstance(here[key], dict | list):
                waiting.append(here[key])
    where, key = chance.choice(places)
    form = chance.random()
    if form < 0.15 and where is not holder:
        del where[key]
    elif form < 0.25 and isinstance(where, list):
        where.insert(key, where[key])
    elif form < 0.3 and isinstance(where, dict):
        where[str(chance.choice(ODD))] = where[key]
    elif form < 0.5 and isinstance(where[key], int | float) and where[key] is not True:
        where[key] = where[key] * chance.choice((-1, 2, 10**6)) + chance.choice((-1, 0, 1))
    else:
        where[key] = chance.choice((*ODD, chance.choice(places)[0]))
        if where[key] is holder:
            where[key] = None
    try:
        json.dumps(holder)
    except ValueError:  # a value that holds itself
        return None
    return holder[""]


def of_onnx(content: bytes, chance: random.Random) -> bytes:
    """A field somewhere in the file, or bytes."""
    if chance.random() < 0.25:
        return of_bytes(content, chance)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:
        return of_bytes(content, chance)
    try:
        _change_field(model, chance)
        return model.SerializeToString()
    except ValueError:  # what protobuf itself does not take
        return of_bytes(content, chance)


def _change_field(message: Message, chance: random.Random) -> None:
    fields = message.ListFields()
    if not fields:
        return
    field, value = chance.choice(fields)
    several = not isinstance(value, Message | str | bytes | int | float)
    if several:
        _change_list(field, value, chance)
    elif isinstance(value, Message):
        if chance.random() < 0.1:
            message.ClearField(field.name)
        else:
            _change_field(value, chance)
    elif chance.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _other(value, chance))


def _change_list(field: Any, values: Any, chance: random.Random) -> None:
    at = chance.randrange(len(values))
    form = chance.random()
    if form < 0.1:
        del values[at]
    elif form < 0.2 and isinstance(values[at], Message):
        values.add().CopyFrom(chance.choice(list(values)))
    elif form < 0.3 and not isinstance(values[at], Message):
        values.append(values[at])
    elif isinstance(values[at], Message):
        _change_field(values[at], chance)
    else:
        values[at] = _other(values[at], chance)


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, str):
        return chance.choice(
            ("", "x", "a\x1b[31m", "/dev/zero", "é" * 3000, value + "_", value[:-1])
        )
    if isinstance(value, bytes):
        return of_bytes(value, chance) if value else b"x"
    if isinstance(value, float):
        return chance.choice((0.0, -1.0, 1e38, 1e-45, float("nan"), float("inf"), -value))
    small = (0, 1, 2, 3, 7, 16, -1, value + 1, value - 1, -value)
    return max(min(chance.choice((*small, *small, 2**31 - 1, -(2**31))), 2**31 - 1), -(2**31))


def of_members(edit: Edit) -> Edit:
    """What a member of an archive holds, its name, or bytes of the archive as it is."""

    def changed(content: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return of_bytes(content, chance)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        except Exception:
            return of_bytes(content, chance)
        if not members:
            return of_bytes(content, chance)
        at = chance.randrange(len(members))
        name, held = members[at]
        form = chance.random()
        if form < 0.1:
            del members[at]
        elif form < 0.15:
            members.append(members[at])
        elif form < 0.25:
            members[at] = (chance.choice(("../x", "y.npy", "é.npy", name + "x")), held)
        else:
            members[at] = (name, edit(held, chance))
        return _zipped(members, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))

    return changed


def _zipped(members: list[tuple[str, bytes]], method: int) -> bytes:
    import warnings

    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as archive:
        warnings.simplefilter("ignore")  # of the same name twice
        for name, held in members:
            archive.writestr(name, held)
    return made.getvalue()


def of_npy(content: bytes, chance: random.Random) -> bytes:
    """A word of the header, which stays as long as it was, or bytes."""
    if chance.random() < 0.4 or content[:6] != b"\x93NUMPY" or len(content) < 12:
        return of_bytes(content, chance)
    length = struct.unpack_from("<H", content, 8)[0]
    header = of_text(content[10 : 10 + length].rstrip(), chance)[: length - 1]
    return content[:10] + header.ljust(length - 1) + b"\n" + content[10 + length :]


def of_program(content: bytes, chance: random.Random) -> bytes:
    """A value of a .zap file's header or of its first section's, or bytes behind that one, under
    digests that are right."""
    if chance.random() < 0.2 or len(content) < 64:
        return of_bytes(content, chance)
    try:
        header = file_header(content)
        lies = header["sections"][0]
        held = content[lies["at"] : lies["at"] + lies["length"]]
        length = struct.unpack_from("<Q", held)[0]
        own, arrays = held[8 : 8 + length], held[8 + length + (-(8 + length)) % 64 :]
        kind = chance.random()
        if kind < 0.2:
            body = content[START : lies["at"] + lies["length"] + -lies["length"] % 64]
            return signed(json.dumps(changed_value(header, chance)).encode(), body)
        if kind < 0.9:
            own = json.dumps(changed_value(json.loads(own), chance)).encode()
        else:
            arrays = of_bytes(arrays, chance)
        return sealed(header, section(own, arrays))
    except (ValueError, LookupError, TypeError, struct.error):
        return of_bytes(content, chance)


def of_safetensors(content: bytes, chance: random.Random) -> bytes:
    """A value of the header, or bytes."""
    if chance.random() < 0.3 or len(content) < 8:
        return of_bytes(content, chance)
    length = struct.unpack_from("<Q", content)[0]
    header = of_json(content[8 : 8 + length], chance)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def damaged(content: bytes, edit: Edit, numbers: list[int]) -> bytes:
    """The file after the changes of these numbers, one after the other."""
    for number in numbers:
        content = edit(content, random.Random(number))
    return content
