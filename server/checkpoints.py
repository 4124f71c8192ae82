"""Signed checkpoints of the audit log: where each chain's head stood, in a file outside the database.

`<data-dir>/audit-checkpoints.jsonl`, one checkpoint a line, canonical JSON (RFC 8785): its number, the time, the
SHA-256 of the line before it, the heads that changed since then, and an Ed25519 signature over all of this. Whoever
rewrites the database cannot write such a line; whoever takes one away breaks the file. Only the last lines can be cut
off unseen, so each is also told to the log, with its number and digest.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resolvers.rules.chains import Head

KIND = "audit checkpoint"


class CheckpointsBroken(Exception):
    """The checkpoint file is not as it was written; `line` is the first that shows it."""

    def __init__(self, file: Path, line: int, what: str):
        super().__init__(f"Line {line} of {file} {what}.")
        self.line = line


@dataclass(frozen=True)
class Checkpoint:
    number: int
    at: str
    previous: str | None
    heads: Mapping[str, Head]


def checkpoint_file(data_dir: Path) -> Path:
    return data_dir / "audit-checkpoints.jsonl"


def signed_line(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    heads = {chain: {"seq": head.seq, "hash": head.hash.hex()} for chain, head in checkpoint.heads.items()}
    content: dict[str, Any] = {
        "lineal": KIND,
        "number": checkpoint.number,
        "at": checkpoint.at,
        "previous": checkpoint.previous,
        "heads": heads,
    }
    signature = b64encode(key.sign(rfc8785.dumps(content))).decode()
    return rfc8785.dumps(content | {"signature": signature}) + b"\n"


def read_line(line: bytes, key: Ed25519PublicKey) -> Checkpoint:
    """The checkpoint of a line; ValueError says what the line does or lacks."""
    try:
        content: dict[str, Any] = json.loads(line)
        written = rfc8785.dumps(content) + b"\n"
        signature = b64decode(content.pop("signature"), validate=True)
        signed = rfc8785.dumps(content)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise ValueError("is not a checkpoint") from None
    # One way to write it, so that no byte can change and the signature still fit.
    if written != line or b64encode(signature) not in line:
        raise ValueError("is not written as a checkpoint is")
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        raise ValueError("is not signed by this key") from None
    if content.get("lineal") != KIND:
        raise ValueError("is signed, but is not a checkpoint")
    heads = {chain: Head(head["seq"], bytes.fromhex(head["hash"])) for chain, head in content["heads"].items()}
    return Checkpoint(content["number"], content["at"], content["previous"], heads)


@dataclass
class History:
    """What the verified lines of a checkpoint file say together, and where the next one begins."""

    file: Path
    heads: dict[str, Head] = field(default_factory=dict)
    number: int = 0
    at: str = ""
    digest: str | None = None
    end: int = 0
    unfinished: bool = False

    def follow(self, opened: BinaryIO, key: Ed25519PublicKey) -> None:
        """Take the lines since the last one taken; a last one that a crash left half-written is not one."""
        if opened.seek(0, 2) < self.end:
            raise CheckpointsBroken(self.file, self.number, "has gone since it was read")
        opened.seek(self.end)
        self.unfinished = False
        for line in opened:
            # A power cut may leave zeros for what was not written yet.
            torn = not line.endswith(b"\n") or b"\0" in line
            if torn and opened.tell() == _size(opened):
                self.unfinished = True
                return
            self.take(line, key)

    def take(self, line: bytes, key: Ed25519PublicKey) -> Checkpoint:
        try:
            checkpoint = read_line(line, key)
            self._must_continue(checkpoint)
        except ValueError as error:
            raise CheckpointsBroken(self.file, self.number + 1, str(error)) from None
        self.heads.update(checkpoint.heads)
        self.number, self.at = checkpoint.number, checkpoint.at
        self.digest = sha256(line).hexdigest()
        self.end += len(line)
        return checkpoint

    def _must_continue(self, checkpoint: Checkpoint) -> None:
        if checkpoint.number != self.number + 1 or checkpoint.previous != self.digest:
            raise ValueError("does not continue the one before it: a line was taken away, moved or replaced")
        for chain, head in checkpoint.heads.items():
            before = self.heads.get(chain)
            if before and head.seq <= before.seq and head != before:
                raise ValueError(f"takes {chain} back from event {before.seq} to another {head.seq}")


def _size(opened: BinaryIO) -> int:
    here = opened.tell()
    size = opened.seek(0, 2)
    opened.seek(here)
    return size


def read_checkpoints(file: Path, key: Ed25519PublicKey) -> History:
    """All that a checkpoint file says; CheckpointsBroken where it is not as it was written."""
    history = History(file)
    with file.open("rb") as opened:
        history.follow(opened, key)
    return history
