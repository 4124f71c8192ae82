"""What the audit log tells of checkpoints, each signed by the key of its checkpoint.

Without the signature, whoever can append events could tell of checkpoints that never were.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resolvers.rules.chains import CHECKPOINTS, Event


class Telling(NamedTuple):
    """One event of the chain, by the key, number and digest that it tells."""

    seq: int
    key: str
    number: int
    digest: str
    at: str
    proof: str


class Tellings:
    """All that a log tells of checkpoints, taken while its events go by; `known` where they were among them."""

    def __init__(self) -> None:
        self.told: list[Telling] = []

    def take(self, event: Event) -> None:
        if event.chain == CHECKPOINTS and (found := telling(event.seq, _details(event.entry))):
            self.told.append(found)


def _details(entry: str) -> Any:
    try:
        return orjson.loads(entry)["details"]
    except (ValueError, KeyError, TypeError):
        return None


def telling(seq: int, details: Any) -> Telling | None:
    """What an event's details tell; None where they are not of that form."""
    try:
        found = Telling(seq, **{name: details[name] for name in Telling._fields[1:]})
    except (KeyError, TypeError):
        return None
    texts = (found.key, found.digest, found.at, found.proof)
    return found if all(isinstance(each, str) for each in texts) and isinstance(found.number, int) else None


def proof(key: Ed25519PrivateKey, number: int, digest: str) -> str:
    return b64encode(key.sign(_signed(number, digest))).decode()


def is_proven(told: Telling, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether one of the keys, the one that is named, signed what is told."""
    try:
        keys[told.key].verify(b64decode(told.proof), _signed(told.number, told.digest))
    except (KeyError, ValueError, InvalidSignature):
        return False
    return True


def _signed(number: int, digest: str) -> bytes:
    return f"audit checkpoint told\n{number}\n{digest}".encode()
