"""The audit log as a file of JSON Lines, which can be verified where there is no database.

The first line says what the export holds; then one event a line, with the exact text that was hashed; then one head a
line. Hashes are in hex.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Row

from resolvers.rules.chains import TAMPERED, Event, Head, Verdict, Verification
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


async def export(url: str, write: Callable[[bytes], object], project: str | None, chain: str | None) -> tuple[int, int]:
    """Write one snapshot of the log, or of a project's chains, or of one chain; how many chains and events it holds."""

    def line(content: Mapping[str, Any]) -> None:
        write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))

    chosen = {"project": project, "chain": chain}
    counts = [0, 0]
    async with short_engine(url) as engine, chains.snapshot(engine.connect()) as connection:
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        line({"lineal": KIND, "whole": not project and not chain, "at": at, **chosen})
        async for row in chains.events(connection, **chosen):
            line(exported(event_of(row)))
            counts[1] += 1
        async for row in chains.heads(connection, **chosen):
            line({"head": row.chain, "seq": row.seq, "hash": row.hash.hex()})
            counts[0] += 1
    return counts[0], counts[1]


def event_of(row: Row[Any]) -> Event:
    columns: tuple[Any, ...] = tuple(row)  # in the order of the event's own
    return Event(*columns)


def exported(event: Event) -> dict[str, Any]:
    values = asdict(event)
    shown = {key: values[name] for key, name in KEYS.items()}
    return shown | {"previousHash": event.previous_hash.hex(), "hash": event.hash.hex()}


def verify_export(file: Path, checkpointed: Mapping[str, Head]) -> tuple[Verdict, bool]:
    """The verdict on an export, and whether it is of the whole log; one of a part may lack chains."""
    with file.open("rb") as opened:
        whole = _is_whole(opened.readline())
        verification = Verification(checkpointed, whole=bool(whole))
        if whole is None:
            verification.find(TAMPERED, f"Line 1 of {file} is not the first line of an audit export.")
        for number, line in enumerate(opened, start=2):
            try:
                _take(orjson.loads(line), verification)
            except (KeyError, TypeError, ValueError):
                verification.find(TAMPERED, f"Line {number} of {file} is neither an event nor a head.")
    return verification.verdict(), bool(whole)


def _is_whole(line: bytes) -> bool | None:
    try:
        header = orjson.loads(line)
        return bool(header["whole"]) if header["lineal"] == KIND else None
    except (KeyError, TypeError, ValueError):
        return None


def _take(content: dict[str, Any], verification: Verification) -> None:
    if content.keys() == {"head", "seq", "hash"}:
        verification.head(_text(content["head"]), Head(_number(content["seq"]), bytes.fromhex(content["hash"])))
    elif content.keys() == KEYS.keys():
        verification.event(_event({name: content[key] for key, name in KEYS.items()}))
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
