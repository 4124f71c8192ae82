"""The audit log's chains: the hash of an event, and the verification of events that claim to be a chain.

Each event's hash covers the one before it, so that an altered, missing or moved event is detected. An attacker who can
rewrite all following events can hide this from the chain, but not from a checkpoint: an earlier head, signed and stored
elsewhere.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import rfc8785

SOUND, TAMPERED, BEHIND, NO_VERDICT = 0, 1, 2, 3
# The chain of events that record checkpoints. Its last event is never covered by the checkpoint that it records.
CHECKPOINTS = "checkpoints"
# The columns that repeat a part of the entry, with that part.
REPEATED = {
    "id": "id",
    "actor": "actor",
    "action": "action",
    "subject_id": "subjectId",
    "project_id": "projectId",
}
# Whole numbers with fewer digits are exact as doubles.
EXACT_DIGITS = 16
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class Head(NamedTuple):
    """The current or an earlier end of a chain: the number and hash of its last event."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Event:
    chain: str
    seq: int
    id: str
    at: str
    project_id: str | None
    actor: str
    action: str
    subject_id: str
    entry: str
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True)
class Finding:
    """A problem and its place. `seq` is None if it concerns a chain as a whole, and `chain` if it concerns no single
    chain."""

    code: int
    sentence: str
    chain: str | None = None
    seq: int | None = None


@dataclass(frozen=True)
class Verdict:
    """SOUND, or the first finding that shows that the log is TAMPERED, else the first that shows that it is BEHIND a
    checkpoint."""

    code: int
    chains: int
    events: int
    first: Finding | None = None
    others: int = 0
    # Events that no checkpoint covers, and the time of the oldest of them.
    uncovered: int = field(default=0, compare=False)
    uncovered_since: str = field(default="", compare=False)


def start(chain: str) -> Head:
    """The head that the first event of a chain continues."""
    return Head(0, sha256(chain.encode()).digest())


def event_hash(chain: str, seq: int, at: str, previous: bytes, entry: str) -> bytes:
    return sha256("\n".join((chain, str(seq), at, previous.hex(), entry)).encode()).digest()


def after(chain: str, head: Head, at: str, entry: str) -> Head:
    """The head after the next event."""
    return Head(head.seq + 1, event_hash(chain, head.seq + 1, at, head.hash, entry))


def verify(
    events: Iterable[Event],
    heads: Iterable[tuple[str, Head]] | None = None,
    checkpointed: Mapping[str, Head] = {},
    *,
    whole: bool = True,
) -> Verdict:
    """The verdict on events ordered by chain and number, given the stored heads and those in checkpoints."""
    verification = Verification(checkpointed, whole=whole, heads=heads is not None)
    for event in events:
        verification.event(event)
    for chain, head in heads or ():
        verification.head(chain, head)
    return verification.verdict()


class Verification:
    """Processes all events, then all heads, one at a time. Keeps only the chains' ends in memory, not the events."""

    def __init__(self, checkpointed: Mapping[str, Head] = {}, *, whole: bool = True, heads: bool = True):
        self._checkpointed, self._whole, self._heads = checkpointed, whole, heads
        self._ends: dict[str, Head] = {}
        self._told: set[str] = set()
        self._chain, self._at, self._events = "", "", 0
        self._first: dict[int, Finding] = {}
        self._found = 0
        self._uncovered, self._uncovered_since = 0, ""

    def find(self, code: int, sentence: str, chain: str | None = None, seq: int | None = None) -> None:
        self._first.setdefault(code, Finding(code, sentence, chain, seq))
        self._found += 1

    def event(self, event: Event) -> None:
        if event.chain != self._chain or not self._events:
            self._begin(event)
        end = self._ends.get(event.chain) or start(event.chain)
        wrong = _link(event, end, self._at) or _content(event) or self._checkpoint(event)
        if wrong:
            self.find(TAMPERED, f"Event {event.seq} of {event.chain} {wrong}.", event.chain, event.seq)
        # The stored hash, right or wrong, so that one alteration is one finding and not one for each following event.
        self._ends[event.chain] = Head(event.seq, event.hash)
        self._at = event.at
        self._events += 1
        self._cover(event)

    def _cover(self, event: Event) -> None:
        point = self._checkpointed.get(event.chain)
        if event.chain != CHECKPOINTS and (point is None or event.seq > point.seq):
            self._uncovered += 1
            self._uncovered_since = min(self._uncovered_since or event.at, event.at)

    def _begin(self, event: Event) -> None:
        if event.chain in self._ends:
            sentence = f"Event {event.seq} of {event.chain} stands apart from the others of its chain."
            self.find(TAMPERED, sentence, event.chain, event.seq)
        self._chain, self._at = event.chain, ""

    def _checkpoint(self, event: Event) -> str | None:
        point = self._checkpointed.get(event.chain)
        if point and point.seq == event.seq and point.hash != event.hash:
            return "has another hash than a checkpoint has seen: the chain was rewritten"
        return None

    def head(self, chain: str, head: Head) -> None:
        end = self._ends.get(chain)
        if chain in self._told:
            self.find(TAMPERED, f"The head of {chain} is kept twice.", chain)
        elif end is None:
            self.find(TAMPERED, f"The head of {chain} is event {head.seq}, but the chain has no events.", chain)
        elif end.seq != head.seq:
            sentence = f"The head of {chain} is event {head.seq}, but its last event is {end.seq}."
            self.find(TAMPERED, sentence, chain, min(end.seq, head.seq))
        elif end.hash != head.hash:
            self.find(TAMPERED, f"The head of {chain} has another hash than its last event.", chain, end.seq)
        self._told.add(chain)

    def verdict(self) -> Verdict:
        """Must be called once, after the last head."""
        if self._heads:
            for chain in sorted(self._ends.keys() - self._told):
                self.find(TAMPERED, f"{chain} has events but no head.", chain)
        for chain, point in self._checkpointed.items():
            self._reaches(chain, point)
        first = self._first.get(TAMPERED) or self._first.get(BEHIND)
        code = first.code if first else SOUND
        uncovered = (self._uncovered, self._uncovered_since)
        return Verdict(code, len(self._ends), self._events, first, max(0, self._found - 1), *uncovered)

    def _reaches(self, chain: str, point: Head) -> None:
        end = self._ends.get(chain)
        if end is None and self._whole:
            self.find(BEHIND, f"{chain} is missing; a checkpoint has seen its event {point.seq}.", chain)
        elif end and end.seq < point.seq:
            sentence = f"{chain} ends at event {end.seq}; a checkpoint has seen its event {point.seq}."
            self.find(BEHIND, sentence, chain, end.seq)


def _link(event: Event, end: Head, at: str) -> str | None:
    """The problem between an event and the end of the chain before it, if any."""
    hashed = event_hash(event.chain, event.seq, event.at, event.previous_hash, event.entry)
    wrongs = {
        f"comes after event {end.seq}": event.seq <= end.seq,
        f"comes after event {end.seq}: what was between them is missing": event.seq > end.seq + 1,
        "does not continue the hash of the one before it": event.previous_hash != end.hash,
        "does not have the hash of its content": event.hash != hashed,
        "has no proper time": not MOMENT.fullmatch(event.at),
        "is older than the one before it": event.at < at,
    }
    return next((sentence for sentence, wrong in wrongs.items() if wrong), None)


def _content(event: Event) -> str | None:
    """The problem within a single event, if any."""
    entry = canonical_object(event.entry)
    if entry is None:
        return "has an entry that is not canonical JSON"
    for column, key in REPEATED.items():
        if key not in entry or getattr(event, column) != entry[key]:
            return f"has another {key} in its column than in its entry"
    return None


def canonical_object(text: str) -> dict[str, Any] | None:
    """The object that a text represents in canonical JSON (RFC 8785), or None if it is not canonical."""
    try:
        value = json.loads(text, parse_int=_whole)
        if isinstance(value, dict) and rfc8785.dumps(value) == text.encode():
            return value
    except (ValueError, RecursionError):
        pass
    return None


def _whole(digits: str) -> int | float:
    """All numbers are doubles in RFC 8785, which writes those below 1e21 without an exponent: 1e20 has 21 digits."""
    return int(digits) if len(digits) < EXACT_DIGITS else float(digits)


def contradiction(known: Mapping[str, Head], heads: Mapping[str, Head], followed: Mapping[str, Head]) -> Finding | None:
    """Why the heads cannot follow from the known ones. `followed` are the heads that the events since then lead to."""
    for chain, point in known.items():
        head = heads.get(chain)
        if head is None or head.seq < point.seq:
            seen = f"is event {head.seq}" if head else "is missing"
            sentence = f"The head of {chain} {seen}; a checkpoint has seen its event {point.seq}."
            return Finding(BEHIND, sentence, chain, head and head.seq)
        if head != followed.get(chain, point):
            sentence = f"The head of {chain} does not follow from its event {point.seq} as a checkpoint has seen it."
            return Finding(TAMPERED, sentence, chain, point.seq)
    return None
