"""Signed checkpoints of the audit log: the heads of all chains, in a file outside the database.

`<data-dir>/audit-checkpoints.jsonl`, one line each, canonical JSON (RFC 8785): its number, the time, the SHA-256 of the
line before it, the heads that changed since then, the id of the key, and an Ed25519 signature over all of this. An
attacker who rewrites the database cannot write such a line, and removing a line breaks the file. There are two more
kinds of lines:

- one with `missing`: lines that were gone when it was written, because the file was moved, emptied or truncated. It
  holds all heads and continues the last line that the audit log records;
- a key succession: the public key that signs from there on, endorsed by the previous key. If there is no endorsement,
  the previous key was lost.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resolvers.rules.chains import Head
from server.audit.signing import key_id

KIND, SUCCESSION = "audit checkpoint", "audit key succession"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CONVERTED = "an editor or a transfer has converted the file. Use the file as the server wrote it"


class CheckpointsBroken(Exception):
    """The checkpoint file cannot be used from `line` on. The log itself may be intact."""

    def __init__(self, file: Path, line: int, what: str):
        super().__init__(f"Line {line} of {file} {what}.")
        self.line = line


@dataclass(frozen=True)
class Checkpoint:
    number: int
    at: str
    previous: str | None
    heads: Mapping[str, Head]
    # The first and last of the lines that were missing when this one was written.
    missing: tuple[int, int] | None = None

    @property
    def content(self) -> dict[str, Any]:
        gap = {"missing": list(self.missing)} if self.missing else {}
        return {"number": self.number, "at": self.at, "previous": self.previous} | gap


@dataclass(frozen=True)
class Succession:
    """A change of keys, by their ids. `endorsed` is true if the old key signed the new one."""

    line: int
    old: str
    new: str
    endorsed: bool


class Trust:
    """The public keys whose signatures count, by id. `explicit` is true if the caller named them one by one."""

    def __init__(self, keys: Iterable[Ed25519PublicKey], *, explicit: bool = False):
        self.keys = {key_id(key): key for key in keys}
        self.explicit = frozenset(self.keys) if explicit else frozenset()

    def __str__(self) -> str:
        return ", ".join(self.keys) or "none"


def signed_line(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    heads = {chain: {"seq": head.seq, "hash": head.hash.hex()} for chain, head in checkpoint.heads.items()}
    return _signed({"lineal": KIND, "heads": heads, "key": key_id(key.public_key())} | checkpoint.content, key)


def succession_line(checkpoint: Checkpoint, old: str, new: Ed25519PrivateKey, by: Ed25519PrivateKey | None) -> bytes:
    """The line that replaces the key with the id `old` by `new`. `by` is the old key, or None if it was lost."""
    public = new.public_key()
    shown = {"key": key_id(public), "publicKey": b64encode(public.public_bytes_raw()).decode(), "replaces": old}
    content = {"lineal": SUCCESSION} | shown | checkpoint.content
    endorsement = b64encode(by.sign(rfc8785.dumps(content))).decode() if by else None
    return _signed(content | {"endorsement": endorsement}, new)


def _signed(content: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    signature = b64encode(key.sign(rfc8785.dumps(content))).decode()
    return rfc8785.dumps(content | {"signature": signature}) + b"\n"


def read_line(line: bytes) -> tuple[dict[str, Any], bytes]:
    """The content of a line and its signature, not verified. Raises ValueError with a predicate of the line."""
    if line.startswith(BYTE_ORDER_MARK):
        raise ValueError(f"begins with a byte order mark: {CONVERTED}")
    if line.endswith(b"\r\n"):
        raise ValueError(f"ends with CR LF: {CONVERTED}")
    try:
        content: dict[str, Any] = json.loads(line)
        written = rfc8785.dumps(content) + b"\n"
        signature = b64decode(content.pop("signature"), validate=True)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise ValueError("is not a checkpoint") from None
    # Only the canonical form is accepted, so that no byte can change without invalidating the signature.
    if written != line or b64encode(signature) not in line:
        raise ValueError("is not written as a checkpoint is")
    return content, signature


def is_signed(key: Ed25519PublicKey, signature: bytes, content: Mapping[str, Any]) -> bool:
    try:
        key.verify(signature, rfc8785.dumps(content))
    except InvalidSignature:
        return False
    return True


@dataclass
class History:
    """The state that the verified lines of a checkpoint file add up to, and the offset of the next line."""

    file: Path
    trust: Trust
    heads: dict[str, Head] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    number: int = 0
    at: str = ""
    end: int = 0
    unfinished: bool = False
    key: Ed25519PublicKey | None = None
    keys: dict[str, Ed25519PublicKey] = field(default_factory=dict)
    last: bytes = b""
    missing: list[tuple[int, int]] = field(default_factory=list)
    successions: list[Succession] = field(default_factory=list)
    lines: int = 0
    before: str | None = None  # the digest that its first line continues

    @property
    def digest(self) -> str | None:
        return self.digests.get(self.number)

    def follow(self, opened: BinaryIO) -> None:
        """Process the lines after the last processed one. An incomplete last line, left by a crash, is ignored."""
        opened.seek(self.end)
        self.unfinished = False
        for line in opened:
            # A power cut can leave zeros in place of unwritten bytes.
            torn = not line.endswith(b"\n") or b"\0" in line
            if torn and opened.tell() == _size(opened):
                self.unfinished = True
                return
            self.take(line)

    def take(self, line: bytes) -> Checkpoint:
        try:
            checkpoint = self._checked(line)
        except ValueError as error:
            raise CheckpointsBroken(self.file, self.lines + 1, str(error)) from None
        if not self.lines:
            self.before = checkpoint.previous
        self.heads.update(checkpoint.heads)
        self.number, self.at, self.last = checkpoint.number, checkpoint.at, line
        self.digests[self.number] = sha256(line).hexdigest()
        self.end += len(line)
        self.lines += 1
        return checkpoint

    def _checked(self, line: bytes) -> Checkpoint:
        content, signature = read_line(line)
        if sha256(line).hexdigest() in self.digests.values():
            raise ValueError(f"repeats checkpoint {content['number']}: the line is there twice")
        if content.get("lineal") not in (KIND, SUCCESSION):
            raise ValueError("is not a checkpoint")
        signer = self._successor(content) if content["lineal"] == SUCCESSION else self._signer(content, signature)
        if not is_signed(signer, signature, content):
            raise ValueError(f"was altered: the signature of the key {key_id(signer)} does not match")
        checkpoint = _checkpoint(content)
        gap = self._must_continue(checkpoint)
        self._accept(content, signer, gap)
        return checkpoint

    def _accept(self, content: Mapping[str, Any], signer: Ed25519PublicKey, gap: tuple[int, int] | None) -> None:
        if gap:
            self.missing.append(gap)
        if content["lineal"] == SUCCESSION:
            endorsed = content["endorsement"] is not None
            self.successions.append(Succession(content["number"], content["replaces"], key_id(signer), endorsed))
        self.key = signer
        self.keys[key_id(signer)] = signer

    def _signer(self, content: Mapping[str, Any], signature: bytes) -> Ed25519PublicKey:
        """The key that must have signed a line. Lines written by earlier releases do not name it."""
        named, current = content.get("key"), key_id(self.key) if self.key else None
        if named is None:
            candidates = [self.key] if self.key else list(self.trust.keys.values())
            for key in candidates:
                if is_signed(key, signature, content):
                    return key
            raise ValueError(
                f"is not signed by a trusted key ({current or self.trust}): the line was altered, the signing key was"
                " replaced without lineal audit rotate-key, or the file belongs to another registry"
            )
        if self.key and named == current:
            return self.key
        if self.key and not content.get("missing"):
            raise ValueError(f"is signed by the key {named}, but no line says that it succeeds the key {current}")
        return self._trusted(named)

    def _trusted(self, named: str) -> Ed25519PublicKey:
        if named not in self.trust.keys:
            raise ValueError(
                f"is signed by the key {named}, which is not trusted (trusted: {self.trust}). Name its public key with"
                " --public-key; if no one has it, the file may belong to another registry"
            )
        return self.trust.keys[named]

    def _successor(self, content: Mapping[str, Any]) -> Ed25519PublicKey:
        """The new key of a succession, endorsed by the previous key unless the line says that that key was lost."""
        plain = {name: value for name, value in content.items() if name != "endorsement"}
        try:
            new = Ed25519PublicKey.from_public_bytes(b64decode(content["publicKey"], validate=True))
            old, endorsement = content["replaces"], content["endorsement"]
        except (KeyError, ValueError, TypeError):
            raise ValueError("is not a key succession") from None
        if key_id(new) != content.get("key"):
            raise ValueError("names another key than it holds")
        if endorsement is None:
            return new
        current = self.key if self.key and key_id(self.key) == old else self._trusted(old)
        if not is_signed(current, b64decode(endorsement), plain):
            raise ValueError(f"was altered: the endorsement of the key {old} does not match")
        self.keys.setdefault(old, current)
        return new

    def _must_continue(self, checkpoint: Checkpoint) -> tuple[int, int] | None:
        """The lines missing before a line, if the line names them or the file is a later part of a file."""
        number = checkpoint.number
        if number <= self.number:
            raise ValueError(f"is checkpoint {number} after checkpoint {self.number}: lines were moved or inserted")
        if number == self.number + 1 and checkpoint.previous == self.digest:
            self._heads_must_grow(checkpoint)
            return None
        if number > self.number + 1 and (checkpoint.missing or not self.lines):
            self._heads_must_grow(checkpoint)
            return self.number + 1, number - 1
        if number == self.number + 1:
            raise ValueError(f"does not continue the one before it: another checkpoint {self.number} was signed")
        raise ValueError(f"does not continue the one before it: checkpoints {self.number + 1} to {number - 1} are gone")

    def _heads_must_grow(self, checkpoint: Checkpoint) -> None:
        for chain, head in checkpoint.heads.items():
            before = self.heads.get(chain)
            if before and head.seq <= before.seq and head != before:
                raise ValueError(f"takes {chain} back from event {before.seq} to another {head.seq}")


def _checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    heads = {chain: Head(head["seq"], bytes.fromhex(head["hash"])) for chain, head in content.get("heads", {}).items()}
    missing = content.get("missing")
    return Checkpoint(content["number"], content["at"], content["previous"], heads, tuple(missing) if missing else None)


def _size(opened: BinaryIO) -> int:
    here = opened.tell()
    size = opened.seek(0, 2)
    opened.seek(here)
    return size


def read_checkpoints(file: Path, trust: Trust) -> History:
    """The history in a checkpoint file. Raises CheckpointsBroken if the file was altered."""
    history = History(file, trust)
    with file.open("rb") as opened:
        history.follow(opened)
    return history


def lines(missing: Iterable[tuple[int, int]]) -> str:
    """The subject and verb of a sentence about ranges of checkpoints."""
    named = [str(first) if first == last else f"{first} to {last}" for first, last in missing]
    if named and named[0].isdigit() and len(named) == 1:
        return f"Checkpoint {named[0]} is"
    return f"Checkpoints {', '.join(named)} are"
