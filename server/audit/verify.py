"""`lineal audit verify`: the verdict on the audit log, and the sentences that report it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from resolvers.rules.chains import BEHIND, NO_VERDICT, SOUND, TAMPERED, Finding, Head, Verdict, Verification
from server.audit.checkpointing import Checkpoints
from server.audit.checkpoints import CheckpointsBroken, History, Trust
from server.audit.cross_check import disagreement
from server.audit.evidence import Evidence, read
from server.audit.exports import checkpoints_beside, event_of, keys_beside, verify_export
from server.audit.recorded_checkpoints import CheckpointRecords
from server.audit.signing import checkpoint_file, public_key_files, public_keys
from storage import chains
from storage.engine import short_engine

# The verdict warns that the last checkpoint is far behind if the oldest uncovered event is older than this many times
# the interval between checkpoints, or if more than this many events are uncovered.
LATE_INTERVALS, LATE_EVENTS = 3, 10_000


class CannotVerify(Exception):
    """A file that the verification needs does not exist."""


@dataclass(frozen=True)
class Report:
    """A verdict and the sentence that explains it."""

    code: int
    sentence: str


@dataclass(frozen=True)
class Witnesses:
    """The checkpoints and public keys that a log is verified against. `evidence` is None if none are used."""

    evidence: Evidence | None
    histories: Sequence[History] = ()
    interval: float = 300.0
    note: str = ""

    def catch_up(self) -> None:
        """Read the files further: servers may have written checkpoints, which the log records, since they were read."""
        if self.evidence is None:
            return
        for history in self.histories:
            with suppress(CheckpointsBroken, OSError), history.file.open("rb") as opened:
                history.follow(opened)
        self.evidence.catch_up(self.histories)


@dataclass
class Named:
    """The files that the caller named. The others are searched for in their default places."""

    checkpoints: Sequence[Path] = ()
    keys: Sequence[Path] = ()
    export: Path | None = None
    without: bool = False
    accept_missing: bool = False


def witnesses(data_dir: Path, named: Named, interval: float) -> Witnesses:
    """The checkpoints that were named, else those next to the export, else those in the data folder."""
    if named.without:
        return Witnesses(None)
    beside = _beside(named)
    files = named.checkpoints or ([checkpoints_beside(beside)] if beside else [checkpoint_file(data_dir)])
    keys = named.keys or ([keys_beside(beside)] if beside else public_key_files(data_dir))
    for file in files:
        if not file.exists():
            raise CannotVerify(_no_checkpoints(file, bool(named.checkpoints)))
    for key in keys or [data_dir / "audit-public-key.pem"]:
        if not key.exists():
            raise CannotVerify(f"{key} does not exist. Name the public keys with --public-key.")
    evidence, histories = read(
        files, Trust(public_keys(keys), explicit=bool(named.keys)), accept_missing=named.accept_missing
    )
    note = (
        " The public keys are those next to the export; compare their ids with those from another source."
        if beside
        else ""
    )
    return Witnesses(evidence, histories, interval, "" if named.keys else note)


def _beside(named: Named) -> Path | None:
    if named.export and not named.checkpoints and checkpoints_beside(named.export).exists():
        return named.export
    return None


def _no_checkpoints(file: Path, named: bool) -> str:
    if named:
        return f"{file} does not exist. Name the checkpoint files with --checkpoints."
    return (
        f"There is no checkpoint file {file}. A running server writes it when it starts, and after changes. If it was"
        " moved, name it with --checkpoints; to check the chains alone, use --without-checkpoints."
    )


async def report_on_database(url: str, held: Witnesses | None = None) -> Report:
    """The checkpoints must have been read before: the database must not be older than they are."""
    held = held or Witnesses(None)
    records = CheckpointRecords()
    async with short_engine(url) as engine, chains.snapshot(engine.connect()) as connection:
        verification = Verification(held.evidence.heads if held.evidence else {})
        async for row in chains.events(connection):
            event = event_of(row)
            verification.event(event)
            records.add_from(event)
        async for head in chains.heads(connection):
            verification.head(head.chain, Head(head.seq, head.hash))
        verdict = verification.verdict()
        if verdict.code != TAMPERED and (finding := await disagreement(connection)):
            verdict = _with(verdict, finding)
    held.catch_up()
    return _judged(verdict, held, records, "the audit log", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")


def report_on_export(file: Path, held: Witnesses) -> Report:
    records = CheckpointRecords()
    verdict, whole, at = verify_export(file, held.evidence.heads if held.evidence else {}, records)
    what = f"the whole audit log in {file}" if whole else f"a part of the audit log in {file}"
    if not whole and held.evidence:
        known = _count(len(held.evidence.heads), "chain")
        note = f" The checkpoints cover {known}. This export proves nothing about chains that are not in it."
        if not records.all:
            note += " The chain `checkpoints` is not in it, so missing checkpoints would not be noticed."
        held = replace(held, note=held.note + note)
    return _judged(verdict, held, records, what, at)


async def rotate(url: str, data_dir: Path, *, lost: bool) -> tuple[str, str]:
    """Replace the signing key, whether or not servers run. Returns the ids of the old and the new key."""
    async with short_engine(url) as engine:
        return await Checkpoints(data_dir).succeed(engine.connect, lost=lost)


def _judged(verdict: Verdict, held: Witnesses, records: CheckpointRecords, what: str, at: str) -> Report:
    """The verdict on the chains, unless the log's records of checkpoints contradict the files or are missing from
    them."""
    if held.evidence and (finding := held.evidence.compare_with(records.all)) and verdict.code != TAMPERED:
        verdict = _with(verdict, finding)
    counts = f"{_count(verdict.events, 'event')} in {_count(verdict.chains, 'chain')}"
    problems = list(held.evidence.problems) if held.evidence else []
    if not verdict.events:
        problems.append(f"{what[0].upper()}{what[1:]} holds no events, so there is nothing to verify.")
    against = " ".join(filter(None, [_against(held.evidence), _late(verdict, held, at)])) + held.note
    if verdict.first is None and problems:
        reasons = " ".join(problems)
        return Report(NO_VERDICT, f"No verdict: {reasons} In {what}, {counts}, nothing else is wrong. {against}")
    if verdict.first is None:
        return Report(SOUND, f"Sound: {what}, {counts}, is as it was written. {against}")
    word = {TAMPERED: "Tampered with", BEHIND: "Behind its checkpoints"}[verdict.code]
    others = f" There is more like this: {_count(verdict.others, 'finding')}." if verdict.others else ""
    also = "".join(f" {problem}" for problem in problems)
    return Report(verdict.code, f"{word}: {what}, {counts}. {verdict.first.sentence}{others}{also} {against}")


def _with(verdict: Verdict, finding: Finding) -> Verdict:
    return replace(verdict, code=finding.code, first=finding, others=verdict.others + bool(verdict.first))


def _against(evidence: Evidence | None) -> str:
    if evidence is None:
        return (
            "Checkpoints were not used (--without-checkpoints), so a log that was rewritten or cut off as a whole would"
            " not be noticed."
        )
    if not evidence.count:
        return "No checkpoint was used."
    return " ".join([_held(evidence), *evidence.notes])


def _held(evidence: Evidence) -> str:
    latest = max(evidence.series, key=lambda each: each.at)
    number = max(latest.digests, default=0)
    files = ", ".join(str(file) for series in evidence.series for file in series.files)
    keys = ", ".join(sorted({key for series in evidence.series for key in series.keys}))
    last = f"the last of {latest.at} with the digest {latest.digests.get(number)}"
    return f"It was held against {_count(evidence.count, 'checkpoint')} in {files}, {last}, signed by {keys}."


def _late(verdict: Verdict, held: Witnesses, at: str) -> str:
    """A warning if many events, or old ones, are not covered by a checkpoint."""
    if held.evidence is None or not held.evidence.count or not verdict.uncovered:
        return ""
    limit = LATE_INTERVALS * held.interval
    seconds = _seconds(verdict.uncovered_since, at)
    if seconds <= limit and verdict.uncovered <= LATE_EVENTS:
        return ""
    return (
        f"Warning: the last checkpoint is far behind. {_count(verdict.uncovered, 'event')} since"
        f" {verdict.uncovered_since} are not covered by any. Look at auditStatus and the log of the server."
    )


def _seconds(since: str, at: str) -> float:
    try:
        return (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
