"""The Ed25519 key that signs checkpoints, stored outside the database.

<data-dir>/audit-signing-key            the private key (PEM, PKCS8), readable by the server only
<data-dir>/audit-signing-key.next       its successor, while `lineal audit rotate-key` runs
<data-dir>/audit-public-key.pem         the public key, for verification
<data-dir>/audit-public-key-<id>.pem    the earlier public keys, which verify older lines
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from storage.data_folder import make_durably, rename_durably

PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


class KeyUnusable(Exception):
    """A key file is missing or malformed, or does not match the other files."""


def key_id(key: Ed25519PublicKey) -> str:
    """The id of a key in checkpoints and messages: the start of the SHA-256 of its 32 bytes."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def signing_key(data_dir: Path) -> Ed25519PrivateKey:
    """The key of this data folder, generated on first use. Its public half is stored next to it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _finish_rotation(data_dir)
    file, public = _private_file(data_dir), public_key_file(data_dir)
    # In this order: a process that generates a key at the same time writes the private half first.
    was_used = public.exists() or _has_lines(checkpoint_file(data_dir))
    if not file.exists():
        if was_used:
            raise KeyUnusable(f"{file} is missing. Restore it, or replace it with lineal audit rotate-key --lost.")
        make_durably(file, _pem(Ed25519PrivateKey.generate()))
    key = _private(file)
    _show(key.public_key(), public)
    return key


def _has_lines(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def next_key(data_dir: Path) -> Ed25519PrivateKey:
    """The key that will replace the current one. A key left by an interrupted rotation is reused."""
    file = _next_file(data_dir)
    if not file.exists():
        make_durably(file, _pem(Ed25519PrivateKey.generate()))
    return _private(file)


def keep_public(data_dir: Path, key: Ed25519PublicKey) -> None:
    """Keep the public half of a key that is about to be replaced, so that its signatures can still be verified."""
    make_durably(data_dir / f"audit-public-key-{key_id(key)}.pem", _public_pem(key))


def install_next(data_dir: Path) -> None:
    """Make the next key the current one. If this is interrupted, the next use of the key completes it."""
    key, new = _private(_next_file(data_dir)).public_key(), data_dir / "audit-public-key.pem.next"
    new.unlink(missing_ok=True)
    make_durably(new, _public_pem(key))
    rename_durably(new, public_key_file(data_dir))
    _finish_rotation(data_dir)


def install_if_next(data_dir: Path, wanted: str) -> None:
    """Complete a rotation whose line is already in the checkpoint file, if the next key is the one that it names."""
    file = _next_file(data_dir)
    if file.exists() and key_id(_private(file).public_key()) == wanted:
        install_next(data_dir)


def _finish_rotation(data_dir: Path) -> None:
    with suppress(FileNotFoundError):  # another process finishes it as well
        if _private(_next_file(data_dir)).public_key() == public_key(public_key_file(data_dir)):
            rename_durably(_next_file(data_dir), _private_file(data_dir))


def _private_file(data_dir: Path) -> Path:
    return data_dir / "audit-signing-key"


def _next_file(data_dir: Path) -> Path:
    return data_dir / "audit-signing-key.next"


def checkpoint_file(data_dir: Path) -> Path:
    return data_dir / "audit-checkpoints.jsonl"


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{file} is not a private key in PEM format.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{file} is not an Ed25519 key.")
    return key


def _show(key: Ed25519PublicKey, file: Path) -> None:
    if not file.exists():
        make_durably(file, _public_pem(key))
    elif public_key(file) != key:
        raise KeyUnusable(
            f"{file} does not belong to the signing key next to it. Restore the signing key, or replace it with"
            " lineal audit rotate-key --lost."
        )


def public_key_file(data_dir: Path) -> Path:
    return data_dir / "audit-public-key.pem"


def public_key_files(data_dir: Path) -> list[Path]:
    """The current public key of a data folder and the earlier ones."""
    return sorted(data_dir.glob("audit-public-key*.pem"))


def public_key(file: Path) -> Ed25519PublicKey:
    return public_keys([file])[0]


def public_keys(files: Iterable[Path]) -> list[Ed25519PublicKey]:
    """All keys in the files. A file can hold several."""
    return [_public(file, pem) for file in files for pem in PEM.findall(file.read_bytes()) or [b""]]


def _public(file: Path, pem: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{file} is not a public key in PEM format.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{file} is not an Ed25519 key.")
    return key
