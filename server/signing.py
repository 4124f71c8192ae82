"""The Ed25519 key that signs what the registry promises, kept outside the database.

<data-dir>/audit-signing-key       the private key (PEM, PKCS8), readable to us only
<data-dir>/audit-public-key.pem    the public key, for whoever verifies
"""

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

from storage.data_folder import make_durably


class KeyUnusable(Exception):
    """A key file that is not what it should be."""


def signing_key(data_dir: Path) -> Ed25519PrivateKey:
    """The key of this data folder, made at the first use; its public half lies beside it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = data_dir / "audit-signing-key"
    if not file.exists():
        made = Ed25519PrivateKey.generate()
        make_durably(file, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key = _private(file)
    _show(key.public_key(), public_key_file(data_dir))
    return key


def _private(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{file} is not a private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{file} is not an Ed25519 key.")
    return key


def _show(key: Ed25519PublicKey, file: Path) -> None:
    if not file.exists():
        make_durably(file, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    elif public_key(file) != key:
        raise KeyUnusable(f"{file} does not belong to the signing key beside it.")


def public_key_file(data_dir: Path) -> Path:
    return data_dir / "audit-public-key.pem"


def public_key(file: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(file.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{file} is not a public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{file} is not an Ed25519 key.")
    return key
