"""Writing checkpoints: several processes in turn, each only after what was checkpointed before it still holds."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncConnection

from resolvers.rules.chains import Finding, Head, after, contradiction
from server.checkpoints import Checkpoint, CheckpointsBroken, History, checkpoint_file, signed_line
from server.signing import signing_key
from storage import chains
from storage.data_folder import keep_names

log = structlog.get_logger("lineal")
T = TypeVar("T")
Opening = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

PATIENCE, PAUSE = 60.0, 0.05  # seconds that one checkpoint may take, and between two looks at the lock


class AuditContradiction(Exception):
    """The database does not hold what was checkpointed; nothing more is signed."""

    def __init__(self, finding: Finding):
        super().__init__(finding.sentence)
        self.finding = finding


class Checkpoints:
    """The checkpoint file of a data folder, as one of the processes that write it knows it."""

    def __init__(self, data_dir: Path):
        self.data_dir, self.file = data_dir, checkpoint_file(data_dir)
        self._history = History(self.file)
        self._key: Ed25519PrivateKey | None = None

    async def write(self, opening: Opening) -> Checkpoint | None:
        """Sign the heads that changed since the last checkpoint; None when none did.

        Raises AuditContradiction, CheckpointsBroken and KeyUnusable. The heads are read from the primary, under the
        lock: read before, they might be older than what another process has written meanwhile.
        """
        async with asyncio.timeout(PATIENCE):
            if self._key is None:
                self._key = await _to_the_end(signing_key, self.data_dir)
            key = self._key
            async with self._turn() as opened:
                await _to_the_end(self._history.follow, opened, key.public_key())
                heads = await heads_that_follow(opening, self._history.heads)
                changed = {chain: head for chain, head in heads.items() if self._history.heads.get(chain) != head}
                return await _to_the_end(self._append, opened, changed, key) if changed else None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[BinaryIO]:
        with os.fdopen(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as opened:
            while not _locked(opened):  # noqa: ASYNC110 - other processes hold the lock, no event of ours tells
                await asyncio.sleep(PAUSE)
            yield opened

    def _append(self, opened: BinaryIO, heads: Mapping[str, Head], key: Ed25519PrivateKey) -> Checkpoint:
        history = self._history
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        line = signed_line(Checkpoint(history.number + 1, at, history.digest, heads), key)
        opened.seek(history.end)
        opened.truncate()  # what a crash left of a line
        opened.write(line)
        opened.flush()
        os.fsync(opened.fileno())
        keep_names(self.data_dir)
        written = history.take(line, key.public_key())
        signature = line.rpartition(b'"signature":"')[2][:-3].decode()
        log.info(
            "audit checkpoint", number=written.number, chains=len(heads), digest=history.digest, signature=signature
        )
        return written


async def checkpoint(opening: Opening, checkpoints: Checkpoints) -> None:
    """Write a checkpoint if there is something new; what keeps it from being written is logged, never raised."""
    try:
        await checkpoints.write(opening)
    except (AuditContradiction, CheckpointsBroken) as error:
        log.error("audit log contradicts its checkpoints", error=str(error))  # noqa: TRY400 - no trace: all is said
    except Exception:
        log.exception("audit checkpoint failed")


async def heads_that_follow(opening: Opening, known: Mapping[str, Head]) -> dict[str, Head]:
    """All heads of the database, each computed anew from the known one; AuditContradiction where that cannot be.

    Without this, somebody could rewrite a chain and have the next checkpoint sign it.
    """
    async with chains.snapshot(opening()) as connection:
        heads = {row.chain: Head(row.seq, row.hash) async for row in chains.stream(connection, chains.HEADS)}
        grown = {chain: head for chain, head in known.items() if chain in heads and heads[chain] != head}
        followed = dict(grown)
        async for row in chains.events_since(connection, {chain: head.seq for chain, head in grown.items()}):
            followed[row.chain] = after(row.chain, followed[row.chain], row.at, row.entry)
    if found := contradiction(known, heads, followed):
        raise AuditContradiction(found)
    return heads


def _locked(opened: BinaryIO) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _to_the_end(work: Callable[..., T], *arguments: object) -> T:
    """In a thread; who is cancelled meanwhile waits for it, because the lock must outlive the work."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
