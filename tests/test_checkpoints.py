"""The lines of a checkpoint file: only what this key signed, in its order, written in the one way there is."""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resolvers.rules.chains import Head
from server.audit.checkpoints import (
    Checkpoint,
    CheckpointsBroken,
    History,
    Trust,
    read_checkpoints,
    read_line,
    signed_line,
)

KEY = Ed25519PrivateKey.generate()
AT = "2026-11-03T10:00:00.000000Z"


def line(number: int = 1, previous: bytes | None = None, key: Ed25519PrivateKey = KEY, **seqs: int) -> bytes:
    heads = {chain: Head(seq, bytes([seq]) * 32) for chain, seq in seqs.items()}
    return signed_line(Checkpoint(number, AT, sha256(previous).hexdigest() if previous else None, heads), key)


def signed(**content: Any) -> bytes:
    signature = b64encode(KEY.sign(rfc8785.dumps(content))).decode()
    return rfc8785.dumps(content | {"signature": signature}) + b"\n"


def history(tmp_path: Path, *lines: bytes) -> History:
    file = tmp_path / "checkpoints.jsonl"
    file.write_bytes(b"".join(lines))
    return read_checkpoints(file, Trust([KEY.public_key()]))


def refused(tmp_path: Path, *lines: bytes) -> str:
    with pytest.raises(CheckpointsBroken) as broken:
        history(tmp_path, *lines)
    assert broken.value.line == len(lines)
    return str(broken.value)


def test_the_heads_of_all_lines_add_up(tmp_path: Path) -> None:
    first = line(a=1, b=7)
    second = line(2, first, a=3)
    read = history(tmp_path, first, second)
    assert read.heads == {"a": Head(3, b"\3" * 32), "b": Head(7, b"\7" * 32)}
    assert (read.number, read.at, read.end, read.unfinished) == (2, AT, len(first + second), False)
    assert read.digest == sha256(second).hexdigest()


def test_no_lines_say_nothing(tmp_path: Path) -> None:
    assert history(tmp_path).heads == {}


def test_a_line_that_names_another_one_before_it_is_refused(tmp_path: Path) -> None:
    first, other = line(a=1), line(a=2)
    assert "another checkpoint 1 was signed" in refused(tmp_path, first, line(2, other, a=3))
    assert "checkpoints 2 to 2 are gone" in refused(tmp_path, first, line(3, first, a=3))
    assert "does not continue the one before it" in refused(tmp_path, line(1, other, a=3))


def test_a_head_that_goes_backwards_or_changes_is_refused(tmp_path: Path) -> None:
    first = line(a=5)
    assert "takes a back from event 5 to another 3" in refused(tmp_path, first, line(2, first, a=3))
    changed = signed_line(Checkpoint(2, AT, sha256(first).hexdigest(), {"a": Head(5, bytes(32))}), KEY)
    assert "takes a back from event 5 to another 5" in refused(tmp_path, first, changed)


def test_the_signature_of_another_key_is_refused(tmp_path: Path) -> None:
    assert "which is not trusted" in refused(tmp_path, line(a=1, key=Ed25519PrivateKey.generate()))


def test_something_else_that_this_key_signed_is_no_checkpoint(tmp_path: Path) -> None:
    assert "is not a checkpoint" in refused(tmp_path, signed(lineal="model card", number=1))


def test_another_way_to_write_the_same_line_is_refused(tmp_path: Path) -> None:
    content = json.loads(line(a=1))
    for other in (json.dumps(content).encode() + b"\n", line(a=1)[:-1] + b" \n"):
        assert "is not written as a checkpoint is" in refused(tmp_path, other)
    # The last character of 64 bytes in base64 has four bits to spare.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text: str = content["signature"]
    content["signature"] = text[:85] + alphabet[alphabet.index(text[85]) + 1] + "=="
    assert "is not written as a checkpoint is" in refused(tmp_path, rfc8785.dumps(content) + b"\n")


@pytest.mark.parametrize(
    "other", [b"", b"{}", b"[]", b"1", b'""', b"null", b"\xff", b'{"signature":1}', b"[" * 100_000]
)
def test_what_is_no_checkpoint_is_refused(other: bytes) -> None:
    with pytest.raises(ValueError, match="is not a checkpoint"):
        read_line(other + b"\n")


def test_a_history_is_followed_where_it_was_left(tmp_path: Path) -> None:
    first = line(a=1)
    read = history(tmp_path, first)
    with read.file.open("r+b") as opened:
        opened.seek(read.end)
        opened.write(line(2, first, a=2))
        read.follow(opened)
        assert (read.number, read.heads["a"].seq) == (2, 2)
