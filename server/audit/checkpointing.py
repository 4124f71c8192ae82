"""Writes checkpoints. Several processes take turns, and each first checks that the earlier checkpoints still hold.

Each line is also recorded in the audit log, signed, after it was written. The log therefore never records a line that
is not in the file. If the file loses lines, the next line continues from the log's record and names the missing lines.
"""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncConnection

from resolvers.rules.chains import CHECKPOINTS, Finding, Head, after, contradiction
from server.audit.checkpoints import (
    Checkpoint,
    CheckpointsBroken,
    History,
    Trust,
    lines,
    signed_line,
    succession_line,
)
from server.audit.recorded_checkpoints import is_proven, proof, record_in
from server.audit.signing import (
    KeyUnusable,
    checkpoint_file,
    install_if_next,
    install_next,
    keep_public,
    key_id,
    next_key,
    public_key,
    public_key_file,
    public_key_files,
    public_keys,
    signing_key,
)
from storage import chains
from storage.checkpoints import LOST, ROTATED, WRITTEN, record, recorded, report
from storage.data_folder import keep_names

log = structlog.get_logger("lineal")
T = TypeVar("T")
Opening = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

PATIENCE, PAUSE = 60.0, 0.05  # seconds for one checkpoint at most, and between two attempts to lock the file


class AuditContradiction(Exception):
    """The database contradicts its checkpoints; nothing more is signed."""

    def __init__(self, finding: Finding):
        super().__init__(finding.sentence)
        self.finding = finding


class Checkpoints:
    """The checkpoint file of a data folder, as one of its writing processes knows it."""

    def __init__(self, data_dir: Path):
        self.data_dir, self.file = data_dir, checkpoint_file(data_dir)
        self._history = History(self.file, Trust([]))
        self._inode = 0
        self._key: Ed25519PrivateKey | None = None
        # The number and digest of the last line known to have been written, and the heads up to it.
        self._last: tuple[int, str | None] = (0, None)
        self._known: dict[str, Head] = {}

    @property
    def problem(self) -> str | None:
        """A defect of the file that does not prevent further checkpoints."""
        if not self._history.missing:
            return None
        return f"{lines(self._history.missing)} missing from {self.file}. Restore the lines."

    async def write(self, opening: Opening) -> Checkpoint | None:
        """Sign the heads that changed since the last checkpoint. Returns None if none did.

        Raises AuditContradiction, CheckpointsBroken and KeyUnusable. The heads are read from the primary, under the
        lock. Heads read earlier could be older than a checkpoint that another process has written in the meantime.
        """
        async with asyncio.timeout(PATIENCE), self._turn() as opened:
            await _to_the_end(self._own, opened)
            untold = await self._hear(opening)
            heads = await heads_that_follow(opening, self._known)
            changed = {chain: head for chain, head in heads.items() if self._known.get(chain) != head}
            written = None
            # The event that records the last checkpoint does not need a checkpoint of its own.
            if changed.keys() - {CHECKPOINTS} or self._gap:
                next_ = self._next(heads if self._gap else changed)
                written = await _to_the_end(self._append, opened, signed_line(next_, self._current_key))
            if written or untold:
                await self._tell(opening)
            return written

    async def succeed(self, opening: Opening, *, lost: bool) -> tuple[str, str]:
        """Replace the signing key. Returns the ids of the old and the new key. With `lost`, the old key is not
        needed."""
        if not lost:
            await self.write(opening)
        async with asyncio.timeout(PATIENCE), self._turn() as opened:
            await _to_the_end(self._lose if lost else self._own, opened)
            await self._hear(opening)
            await heads_that_follow(opening, self._known)
            names = await _to_the_end(self._hand_over, opened, lost)
            await self._tell(opening)
            return names

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[BinaryIO]:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            with os.fdopen(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as opened:
                while not _locked(opened):  # noqa: ASYNC110 - other processes hold the lock, no event of ours tells
                    await asyncio.sleep(PAUSE)
                if not self._is_current(opened):
                    continue  # the file was moved during the wait
                yield opened
                return

    def _is_current(self, opened: BinaryIO) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(self.file.stat(), os.fstat(opened.fileno()))
        return False

    def _catch_up(self, opened: BinaryIO) -> None:
        """Read the lines of other processes. A file that was replaced is read from its beginning."""
        trust = Trust(public_keys(public_key_files(self.data_dir)))
        inode, history = os.fstat(opened.fileno()).st_ino, self._history
        if inode != self._inode or not _holds(opened, history):
            history = History(self.file, trust)
        history.trust = trust
        history.follow(opened)
        self._history, self._inode = history, inode
        self._remember(history.number, history.digest)
        self._learn(history.heads)

    def _remember(self, number: int, digest: str | None) -> None:
        """Record that a line was written. Raises CheckpointsBroken if the file has another line in its place."""
        last, expected = self._last
        for place, wanted in ((last, expected), (number, digest)):
            if place and self._history.digests.get(place, wanted) != wanted:
                what = f"is not checkpoint {place} as it was written. Restore the file that was replaced"
                raise CheckpointsBroken(self.file, place, what)
        self._last = max(self._last, (number, digest), key=lambda each: each[0])

    def _learn(self, heads: Mapping[str, Head]) -> None:
        for chain, head in heads.items():
            if chain not in self._known or self._known[chain].seq < head.seq:
                self._known[chain] = head

    @property
    def _current_key(self) -> Ed25519PrivateKey:
        assert self._key
        return self._key

    def _own(self, opened: BinaryIO) -> None:
        """Load the key, which another process may have replaced. The file's last line must be signed with it."""
        self._key = signing_key(self.data_dir)
        self._catch_up(opened)
        wanted = key_id(self._history.key) if self._history.key else None
        if wanted is None or key_id(self._key.public_key()) == wanted:
            return
        install_if_next(self.data_dir, wanted)
        self._key = signing_key(self.data_dir)
        if (mine := key_id(self._key.public_key())) != wanted:
            raise KeyUnusable(
                f"The signing key in {self.data_dir} is {mine}, but {self.file} was last signed with {wanted}. Restore"
                " that key, or replace it with lineal audit rotate-key --lost."
            )

    def _lose(self, opened: BinaryIO) -> None:
        """Accept that the key is lost. Raises KeyUnusable if the file's signing key can be used."""
        self._catch_up(opened)
        try:
            mine = key_id(signing_key(self.data_dir).public_key())
        except (KeyUnusable, OSError):
            return
        if self._history.key is None or key_id(self._history.key) == mine:
            raise KeyUnusable(f"The signing key {mine} exists and can be used. Rotate it without --lost.")

    async def _hear(self, opening: Opening) -> bool:
        """Read the audit log's record of the last checkpoint. Returns whether the file is ahead of it."""
        keys = self._history.trust.keys | self._history.keys
        async with opening() as connection:
            rows = await recorded(connection, keys)
        heard = [each for row in rows if (each := record_in(0, row)) and is_proven(each, keys)]
        for each in heard:
            self._remember(each.number, each.digest)
        return self._history.number > max((each.number for each in heard), default=0)

    @property
    def _gap(self) -> tuple[int, int] | None:
        """The lines that were written but are not in the file."""
        first, last = self._history.number + 1, self._last[0]
        return (first, last) if last >= first else None

    def _next(self, heads: Mapping[str, Head]) -> Checkpoint:
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        return Checkpoint(self._last[0] + 1, at, self._last[1], heads, self._gap)

    def _append(self, opened: BinaryIO, line: bytes) -> Checkpoint:
        history, gap = self._history, self._gap
        opened.seek(history.end)
        opened.truncate()  # a partial line left by a crash
        opened.write(line)
        opened.flush()
        os.fsync(opened.fileno())
        keep_names(self.data_dir)
        written = history.take(line)
        self._remember(history.number, history.digest)
        self._learn(written.heads)
        if gap:
            log.warning("audit checkpoints continue after a gap", file=str(self.file), missing=list(gap))
        signature = line.rpartition(b'"signature":"')[2][:-3].decode()
        number, digest = written.number, history.digest
        log.info("audit checkpoint", number=number, chains=len(written.heads), digest=digest, signature=signature)
        return written

    def _hand_over(self, opened: BinaryIO, lost: bool) -> tuple[str, str]:
        """Write the line that announces the new key, then install the key."""
        old = self._history.key or public_key(public_key_file(self.data_dir))
        keep_public(self.data_dir, old)
        new = next_key(self.data_dir)
        by = None if lost else self._current_key
        self._append(opened, succession_line(self._next({}), key_id(old), new, by))
        install_next(self.data_dir)
        self._key = new
        return key_id(old), key_id(new.public_key())

    async def _tell(self, opening: Opening) -> None:
        history, key = self._history, self._current_key
        assert history.digest
        # The total of all heads, so that the distance to a checkpoint is one subtraction.
        events = sum(head.seq for chain, head in self._known.items() if chain != CHECKPOINTS)
        shown = {"number": history.number, "digest": history.digest, "at": history.at, "events": events}
        signed = {"key": key_id(key.public_key()), "proof": proof(key, history.number, history.digest)}
        action, more, last = WRITTEN, {}, history.successions[-1] if history.successions else None
        if last and last.line == history.number:
            action, more = (ROTATED if last.endorsed else LOST), {"replaces": last.old}
        async with opening() as connection:
            await record(connection, action, shown | signed | more)


async def checkpoint(opening: Opening, checkpoints: Checkpoints) -> None:
    """Write a checkpoint if there is something new. A problem that prevents it is logged and reported."""
    try:
        await checkpoints.write(opening)
        problem = checkpoints.problem
    except (AuditContradiction, CheckpointsBroken) as error:
        problem = f"The audit log contradicts its checkpoints. {error}"
        log.error("audit log contradicts its checkpoints", error=str(error))  # noqa: TRY400 - a trace adds nothing
    except (KeyUnusable, OSError, TimeoutError) as error:
        problem = f"Checkpoints cannot be written: {error or 'the file is locked by another process'}"
        log.exception("audit checkpoint failed")
    except Exception:
        problem = "Checkpoints cannot be written; the log of the server says why."
        log.exception("audit checkpoint failed")
    try:
        async with opening() as connection:
            await report(connection, f"{socket.gethostname()}:{checkpoints.data_dir.resolve()}", problem)
    except Exception as error:  # noqa: BLE001 - usually what kept the checkpoint from being written, which was logged
        log.debug("the state of checkpoints could not be reported", error=str(error))


async def heads_that_follow(opening: Opening, known: Mapping[str, Head]) -> dict[str, Head]:
    """All heads of the database, each recomputed from the known one. Raises AuditContradiction if they do not match.

    Otherwise an attacker could rewrite a chain and have the next checkpoint sign it.
    """
    async with chains.snapshot(opening()) as connection:
        heads = {row.chain: Head(row.seq, row.hash) async for row in chains.all_heads(connection)}
        grown = {chain: head for chain, head in known.items() if chain in heads and heads[chain] != head}
        followed = dict(grown)
        async for row in chains.events_since(connection, {chain: head.seq for chain, head in grown.items()}):
            followed[row.chain] = after(row.chain, followed[row.chain], row.at, row.entry)
    if contradicts := contradiction(known, heads, followed):
        raise AuditContradiction(contradicts)
    return heads


def _holds(opened: BinaryIO, history: History) -> bool:
    """Whether a file still has, at the same position, the last line that was read from it."""
    if opened.seek(0, 2) < history.end:
        return False
    opened.seek(history.end - len(history.last))
    return opened.read(len(history.last)) == history.last


def _locked(opened: BinaryIO) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _to_the_end(work: Callable[..., T], *arguments: object) -> T:
    """Run the work in a thread. A cancelled caller still waits for it, because the lock must outlive the work."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
