"""The audit log's records of checkpoints, each signed by the key of its checkpoint.

Without the signature, anyone who can append events could record checkpoints that never existed.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resolvers.rules.chains import CHECKPOINTS, Event


class CheckpointRecord(NamedTuple):
    """One event of the chain `checkpoints`: the key, number and digest of a checkpoint that was written."""

    seq: int
    key: str
    number: int
    digest: str
    at: str
    proof: str


class CheckpointRecords:
    """All records of checkpoints in a log, collected while its events are read."""

    def __init__(self) -> None:
        self.all: list[CheckpointRecord] = []

    def add_from(self, event: Event) -> None:
        if event.chain == CHECKPOINTS and (record := record_in(event.seq, _details(event.entry))):
            self.all.append(record)


def _details(entry: str) -> Any:
    try:
        return orjson.loads(entry)["details"]
    except (ValueError, KeyError, TypeError):
        return None


def record_in(seq: int, details: Any) -> CheckpointRecord | None:
    """The record in an event's details; None if they do not have that form."""
    try:
        record = CheckpointRecord(seq, **{name: details[name] for name in CheckpointRecord._fields[1:]})
    except (KeyError, TypeError):
        return None
    texts = (record.key, record.digest, record.at, record.proof)
    return record if all(isinstance(each, str) for each in texts) and isinstance(record.number, int) else None


def proof(key: Ed25519PrivateKey, number: int, digest: str) -> str:
    return b64encode(key.sign(_signed(number, digest))).decode()


def is_proven(record: CheckpointRecord, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether the key that the record names is one of these and signed it."""
    try:
        keys[record.key].verify(b64decode(record.proof), _signed(record.number, record.digest))
    except (KeyError, ValueError, InvalidSignature):
        return False
    return True


def _signed(number: int, digest: str) -> bytes:
    return f"audit checkpoint told\n{number}\n{digest}".encode()
