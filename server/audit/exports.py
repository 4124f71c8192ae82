"""The audit log as a file of JSON Lines, which can be verified without a database.

The first line describes the export. Then follow one event a line, with the exact text that was hashed, and one head a
line. Hashes are in hex. The checkpoints that the export covers and the public keys are written next to it:
`<export>.checkpoints.jsonl` and `<export>.keys.pem`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from resolvers.rules.chains import TAMPERED, Event, Head, Verdict, Verification
from server.audit.recorded_checkpoints import CheckpointRecords
from server.audit.signing import checkpoint_file, public_key_files
from storage import chains
from storage.engine import short_engine

KIND = "audit export"
KEYS = {
    "chain": "chain",
    "seq": "seq",
    "id": "id",
    "at": "at",
    "projectId": "project_id",
    "actor": "actor",
    "action": "action",
    "subjectId": "subject_id",
    "entry": "entry",
    "previousHash": "previous_hash",
    "hash": "hash",
}


class Exported(NamedTuple):
    """How many chains and events an export holds, and its records of checkpoints."""

    chains: int
    events: int
    records: CheckpointRecords


async def export(url: str, write: Callable[[bytes], object], project: str | None, chain: str | None) -> Exported:
    """Write one snapshot of the log, of a project's chains, or of one chain. Writes nothing if there are no events."""

    def line(content: Mapping[str, Any]) -> None:
        write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))

    chosen = {"project": project, "chain": chain}
    counts, records = [0, 0], CheckpointRecords()
    async with short_engine(url) as engine, chains.snapshot(engine.connect()) as connection:
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        async for row in chains.events(connection, **chosen):
            if not counts[1]:
                line({"lineal": KIND, "whole": not project and not chain, "at": at, **chosen})
            line(exported(event := event_of(row)))
            records.add_from(event)
            counts[1] += 1
        async for head in chains.heads(connection, **chosen):
            if not counts[1]:
                break
            line({"head": head.chain, "seq": head.seq, "hash": head.hash.hex()})
            counts[0] += 1
    return Exported(counts[0], counts[1], records)


def checkpoints_beside(export: Path) -> Path:
    return export.with_name(f"{export.name}.checkpoints.jsonl")


def keys_beside(export: Path) -> Path:
    return export.with_name(f"{export.name}.keys.pem")


def last_line(file: Path) -> int:
    """The number of lines in a checkpoint file."""
    with suppress(OSError), file.open("rb") as opened:
        return sum(line.endswith(b"\n") for line in opened)
    return 0


def keep_beside(export: Path, data_dir: Path, before: int, records: CheckpointRecords) -> list[Path]:
    """Copy the checkpoints that an export covers, and the public keys. Returns the files written.

    An export covers the first `before` lines, which existed before it began, and the lines that it records. An export
    during writes is therefore never behind a checkpoint that is stored next to it.
    """
    file, keys = checkpoint_file(data_dir), public_key_files(data_dir)
    if not file.is_file() or not keys:
        return []
    recorded = {each.digest for each in records.all}
    lines = [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    covered = max([before, *(place for place, line in enumerate(lines, 1) if sha256(line).hexdigest() in recorded)])
    checkpoints_beside(export).write_bytes(b"".join(lines[:covered]))
    keys_beside(export).write_bytes(b"".join(key.read_bytes() for key in keys))
    return [checkpoints_beside(export), keys_beside(export)]


def event_of(row: chains.EventRow) -> Event:
    return Event(*row)  # both have their fields in the same order


def exported(event: Event) -> dict[str, Any]:
    values = asdict(event)
    shown = {key: values[name] for key, name in KEYS.items()}
    return shown | {"previousHash": event.previous_hash.hex(), "hash": event.hash.hex()}


def verify_export(
    file: Path, checkpointed: Mapping[str, Head], records: CheckpointRecords
) -> tuple[Verdict, bool, str]:
    """The verdict on an export, whether it covers the whole log, and its time. A partial export may lack chains."""
    with file.open("rb") as opened:
        first = opened.readline()
        whole = _is_whole(first)
        verification = Verification(checkpointed, whole=bool(whole))
        if whole is None:
            verification.find(TAMPERED, f"Line 1 of {file} is not the first line of an audit export.")
        for number, line in enumerate(opened, start=2):
            try:
                _take(orjson.loads(line), verification, records)
            except (KeyError, TypeError, ValueError):
                verification.find(TAMPERED, f"Line {number} of {file} is neither an event nor a head.")
    return verification.verdict(), bool(whole), str(orjson.loads(first).get("at")) if whole is not None else ""


def _is_whole(line: bytes) -> bool | None:
    try:
        header = orjson.loads(line)
        return bool(header["whole"]) if header["lineal"] == KIND else None
    except (KeyError, TypeError, ValueError):
        return None


def _take(content: dict[str, Any], verification: Verification, records: CheckpointRecords) -> None:
    if content.keys() == {"head", "seq", "hash"}:
        verification.head(_text(content["head"]), Head(_number(content["seq"]), bytes.fromhex(content["hash"])))
    elif content.keys() == KEYS.keys():
        verification.event(event := _event({name: content[key] for key, name in KEYS.items()}))
        records.add_from(event)
    else:
        raise KeyError


def _event(values: dict[str, Any]) -> Event:
    _number(values["seq"])
    for name in ("chain", "id", "at", "actor", "action", "subject_id", "entry"):
        _text(values[name])
    hashes = {name: bytes.fromhex(values[name]) for name in ("previous_hash", "hash")}
    return Event(**(values | hashes))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value
