"""What `lineal audit verify` does: the verdict on the audit log, and the sentences that tell it."""

from dataclasses import dataclass, replace
from pathlib import Path

from resolvers.rules.chains import BEHIND, SOUND, TAMPERED, Finding, Head, Verdict, Verification
from server.checkpoints import CheckpointsBroken, History, checkpoint_file, read_checkpoints
from server.exports import event_of, verify_export
from server.signing import public_key, public_key_file
from server.steps import disagreement
from storage import chains
from storage.engine import short_engine


class CannotVerify(Exception):
    """What the verification was told to use is not there."""


@dataclass(frozen=True)
class Outcome:
    """A verdict, and all that is to be said about it."""

    code: int
    sentence: str


def checkpoints_for(data_dir: Path, file: Path | None, key: Path | None) -> History | None:
    """The verified checkpoints that were named, else those of the data folder; None where there are none."""
    chosen, trusted = file or checkpoint_file(data_dir), key or public_key_file(data_dir)
    if not file and not chosen.exists():
        return None
    for needed in (chosen, trusted):
        if not needed.exists():
            raise CannotVerify(f"{needed} is not there; name the files with --checkpoints and --public-key.")
    return read_checkpoints(chosen, public_key(trusted))


def broken(error: CheckpointsBroken) -> Outcome:
    return Outcome(TAMPERED, f"Tampered with: {error} The audit log itself was not looked at.")


async def database_outcome(url: str, checkpoints: History | None) -> Outcome:
    """The checkpoints must have been read before: the database may only be newer than they are."""
    async with short_engine(url) as engine, chains.snapshot(engine.connect()) as connection:
        verification = Verification(checkpoints.heads if checkpoints else {})
        async for row in chains.events(connection):
            verification.event(event_of(row))
        async for row in chains.heads(connection):
            verification.head(row.chain, Head(row.seq, row.hash))
        verdict = verification.verdict()
        if verdict.code != TAMPERED and (found := await disagreement(connection)):
            verdict = _with(verdict, found)
    return _told(verdict, checkpoints, "the audit log")


def _with(verdict: Verdict, found: Finding) -> Verdict:
    return replace(verdict, code=found.code, first=found, others=verdict.others + bool(verdict.first))


def export_outcome(file: Path, checkpoints: History | None) -> Outcome:
    verdict, whole = verify_export(file, checkpoints.heads if checkpoints else {})
    what = f"the whole audit log in {file}" if whole else f"a part of the audit log in {file}"
    return _told(verdict, checkpoints, what)


def _told(verdict: Verdict, checkpoints: History | None, what: str) -> Outcome:
    counts = f"{_count(verdict.events, 'event')} in {_count(verdict.chains, 'chain')}"
    against = _against(checkpoints)
    if verdict.first is None:
        return Outcome(SOUND, f"Sound: {what}, {counts}, is as it was written. {against}")
    word = {TAMPERED: "Tampered with", BEHIND: "Behind its checkpoints"}[verdict.code]
    others = f" There is more like this: {_count(verdict.others, 'finding')}." if verdict.others else ""
    return Outcome(verdict.code, f"{word}: {what}, {counts}. {verdict.first.sentence}{others} {against}")


def _against(checkpoints: History | None) -> str:
    if checkpoints is None:
        return "No checkpoints were used, so a log that was rewritten or cut off as a whole would not be noticed."
    if not checkpoints.number:
        return f"There is no checkpoint in {checkpoints.file} yet."
    torn = " Its last line is unfinished and was not used." if checkpoints.unfinished else ""
    count = _count(checkpoints.number, "checkpoint")
    last = f"the last of {checkpoints.at} with the digest {checkpoints.digest}"
    return f"It was held against {count} in {checkpoints.file}, {last}.{torn}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
