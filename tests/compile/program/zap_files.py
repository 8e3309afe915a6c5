"""Files of one Program, and files whose digests are right over headers that are wrong."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from zapdeploy.compile.multichip.pipeline import single
from zapdeploy.compile.multichip.pipeline_file import load_pipeline, save_pipeline
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.program.section import encode_program

START = 64  # of the first section


def save_program(program: Program, path: Path) -> Program:
    """Write a pipeline of one stage; its stage as it is in the file."""
    (stage,) = save_pipeline(single(program), path).stages
    return stage


def load_program(path: Path) -> Program:
    """The only stage of a file."""
    (stage,) = load_pipeline(path).stages
    return stage


def program_digest(program: Program) -> str:
    """What a file would have as the digest of its section."""
    return encode_program(program)[1]


def file_header(raw: bytes) -> dict[str, Any]:
    """What the header of a file says."""
    (length,) = struct.unpack("<Q", raw[48:56])
    found: dict[str, Any] = json.loads(raw[len(raw) - length :])
    return found


def section_header(raw: bytes) -> dict[str, Any]:
    """What the header of the first section says."""
    (length,) = struct.unpack("<Q", raw[START : START + 8])
    found: dict[str, Any] = json.loads(raw[START + 8 : START + 8 + length])
    return found


def section(header: bytes, arrays: bytes = b"") -> bytes:
    """A section of these parts."""
    start = struct.pack("<Q", len(header)) + header
    return start + bytes(-len(start) % 64) * bool(arrays) + arrays


def sealed(header: dict[str, Any], *sections: bytes) -> bytes:
    """A file of these sections under this header, every digest right."""
    body, described = b"", []
    for each in sections:
        digest = hashlib.sha256(each).hexdigest()
        described.append({"at": START + len(body), "length": len(each), "digest": digest})
        body += each + bytes(-len(each) % 64)
    return signed(json.dumps({**header, "sections": described}).encode(), body)


def signed(header: bytes, body: bytes) -> bytes:
    """A file of these parts under the header's digest, whatever it says."""
    digest = hashlib.sha256(header).digest()
    start = struct.pack("<8sII32sQQ", b"ZAPDEPLY", 4, 0, digest, len(header), 0)
    return start + body + header
