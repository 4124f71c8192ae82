"""Encryption of secrets at rest: AES-256-GCM with keys outside the database, in a file or a setting.

Sealed text is `v1.<key id>.<base64 of nonce and ciphertext>`. It is bound to its row and cannot be opened in another
row. There can be several keys, newest first. The newest one seals, and all of them open.
"""

import base64
import binascii
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.data_folder import keep_names, make_durably

VERSION = "v1"
KEY_BYTES, NONCE_BYTES = 32, 12
NO_KEY = "There is no file secrets-key in the data folder, and LINEAL_SECRETS_KEY is not set."
NEEDED = f"Each key must be {KEY_BYTES} bytes in base64."


class SealingUnusable(Exception):
    """A key is missing or malformed, or a sealed text does not open. The message says what to do."""


def key_id(key: bytes) -> str:
    return hashlib.sha256(b"lineal sealing key" + key).hexdigest()[:16]


def id_in(sealed: str) -> str:
    """The id of the key that sealed a text."""
    return sealed.split(".")[1] if sealed.startswith(f"{VERSION}.") else ""


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def key_file(data_dir: Path) -> Path:
    return data_dir / "secrets-key"


@dataclass
class Sealing:
    """The keys in a setting (comma-separated), or else in a file (one a line), which is read again when it changes."""

    setting: str
    file: Path
    _keys: dict[str, bytes] = field(default_factory=dict)
    _seen: object = None

    @property
    def keys(self) -> dict[str, bytes]:
        """The keys by id, newest first. Empty if there is no file. Raises SealingUnusable if a key is malformed."""
        seen = self.setting or _state(self.file)
        if seen != self._seen:
            text = self.setting or (self.file.read_text() if seen else "")
            where = "LINEAL_SECRETS_KEY" if self.setting else self.file.name
            parsed = [_parse(part, where) for part in text.replace(",", "\n").split()]
            self._keys, self._seen = {key_id(key): key for key in parsed}, seen
        return self._keys

    def seal(self, text: str, bound_to: str) -> str:
        newest = next(iter(self.keys.items()), None)
        if newest is None:
            raise SealingUnusable(NO_KEY)
        id_, key = newest
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, text.encode(), bound_to.encode())
        return f"{VERSION}.{id_}.{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, bound_to: str) -> str:
        key = self.keys.get(id_in(sealed))
        if key is None:
            raise SealingUnusable(f"The key {id_in(sealed)} is missing; add it to secrets-key or LINEAL_SECRETS_KEY.")
        try:
            raw = base64.b64decode(sealed.split(".")[2], validate=True)
            return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], bound_to.encode()).decode()
        except (InvalidTag, ValueError, IndexError) as error:
            raise SealingUnusable(f"The secret of {bound_to} was changed, or belongs to another row.") from error

    def make_key(self) -> None:
        """Create the file with a first key. If another process was faster, its file stays."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_durably(self.file, f"{new_key()}\n".encode())

    def add_key(self) -> None:
        """Add a new key before those in the file, which stay so that what they sealed can be opened."""
        if self.setting:
            raise SealingUnusable("The keys are in LINEAL_SECRETS_KEY; put a new one before them and restart.")
        if not self.file.exists():
            raise SealingUnusable(NO_KEY)
        kept = self.file.read_text()
        new = self.file.with_name(f"{self.file.name}.{secrets.token_hex(4)}")
        make_durably(new, f"{new_key()}\n{kept}".encode())
        new.replace(self.file)
        keep_names(self.file.parent)


def _state(file: Path) -> object:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _parse(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealingUnusable(f"{where} holds a key that cannot be used. {NEEDED}")
    return key
