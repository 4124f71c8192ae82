"""The checkpoints that a log is verified against: from one file or several, from one server's data folder or
several."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from resolvers.rules.chains import TAMPERED, Finding, Head
from server.audit.checkpoints import CheckpointsBroken, History, Succession, Trust, lines
from server.audit.recorded_checkpoints import CheckpointRecord, is_proven


@dataclass
class Series:
    """Consecutive lines by number. Each of `files` holds a part of them, or all."""

    files: list[Path] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    digests: dict[int, str] = field(default_factory=dict)
    # The numbers that the log records, which the files must hold.
    recorded: set[int] = field(default_factory=set)
    at: str = ""

    def is_continued_by(self, history: History) -> bool:
        first = min(history.digests, default=1)
        follows = history.before is not None and self.digests.get(first - 1) == history.before
        return follows or bool(self.keys & history.keys.keys())

    def add(self, history: History) -> str | None:
        """The problem, if the file has a different line than the others."""
        self.files.append(history.file)
        self.keys |= history.keys.keys()
        for number, digest in history.digests.items():
            if self.digests.setdefault(number, digest) != digest:
                return f"{history.file} and {self.files[0]} hold different checkpoints {number}, both signed."
        self.at = max(self.at, history.at)
        return None

    @property
    def missing(self) -> list[tuple[int, int]]:
        last = max(self.recorded | self.digests.keys(), default=0)
        return _ranges(number for number in range(1, last + 1) if number not in self.digests)


@dataclass
class Evidence:
    """The combined content of the files. `problems` are sentences, each a reason why there can be no verdict."""

    series: list[Series] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trust: Trust = field(default_factory=lambda: Trust([]))
    count: int = 0
    # Lost lines are reported, and do not prevent a verdict.
    accept_missing: bool = False

    def add(self, history: History, broken: CheckpointsBroken | None) -> None:
        if broken:
            self.problems.append(f"The checkpoint file is broken, which says nothing about the audit log. {broken}")
        elif not history.lines:
            torn = "Its only line is unfinished. " if history.unfinished else ""
            self.problems.append(f"There is no checkpoint in {history.file}. {torn}{UNPROVEN}")
        if history.unfinished and history.lines:
            self.notes.append(f"The last line of {history.file} is unfinished and was not used.")
        series = next((each for each in self.series if each.is_continued_by(history)), None)
        if series is None:
            self.series.append(series := Series())
        if conflict := series.add(history) or self._learn(history):
            self.problems.append(conflict)
        self.count += history.lines
        self.trust.keys |= history.keys
        for each in history.successions:
            self._succession(history.file, each)

    def _learn(self, history: History) -> str | None:
        for chain, head in history.heads.items():
            known = self.heads.get(chain)
            if known and known.seq == head.seq and known != head:
                return f"{history.file} has seen another event {head.seq} of {chain} than the other checkpoint files."
            if known is None or known.seq < head.seq:
                self.heads[chain] = head
        return None

    def _succession(self, file: Path, each: Succession) -> None:
        if each.endorsed:
            self.notes.append(f"Since checkpoint {each.line} the key {each.new} signs; the key {each.old} endorsed it.")
            return
        unsigned = (
            f"Checkpoint {each.line} of {file} replaces the key {each.old}, reported as lost, by the key {each.new}"
            f" without the old key's endorsement."
        )
        if each.new in self.trust.explicit:
            self.notes.append(f"{unsigned} You named the new key as trusted.")
        else:
            self.problems.append(f"{unsigned} If you trust the new key, name all public keys with --public-key.")

    def compare_with(self, records: Iterable[CheckpointRecord]) -> Finding | None:
        """Compare the files with the log's records of checkpoints; a finding if they contradict each other."""
        finding, unknown = None, dict[str, CheckpointRecord]()
        for each in records:
            series = next((one for one in self.series if each.key in one.keys), None)
            if series is None:
                unknown[each.key] = max(unknown.get(each.key, each), each, key=lambda one: one.number)
            elif not is_proven(each, self.trust.keys):
                finding = finding or _wrong(each, f"that the key {each.key} has not signed")
            elif series.digests.get(each.number, each.digest) != each.digest:
                finding = finding or _wrong(each, f"with another digest than in {series.files[0]}")
            else:
                series.recorded.add(each.number)
        (self.notes if self.accept_missing else self.problems).extend(map(_not_given, unknown.values()))
        for series in self.series:
            if series.missing:
                self._missing(series)
        return finding

    def _missing(self, series: Series) -> None:
        sentence = f"{lines(series.missing)} missing from {', '.join(map(str, series.files))}"
        if self.accept_missing:
            self.notes.append(
                f"{sentence}, and accepted as lost: a change before the next checkpoint would not be noticed."
            )
            return
        remedy = "Name the files that hold them with --checkpoints, or use --accept-missing if they are lost."
        self.problems.append(f"{sentence}. {remedy}")

    def catch_up(self, histories: Iterable[History]) -> None:
        """Read the lines written since a file was first read, to compare them with the log's records. Their heads are
        not used."""
        for history in histories:
            for series in self.series:
                if history.file in series.files:
                    series.digests |= history.digests
                    series.keys |= history.keys.keys()
                    self.trust.keys |= history.keys


UNPROVEN = (
    "Without checkpoints, a log that was rewritten or cut off as a whole would not be noticed. Name a file with"
    " --checkpoints, or use --without-checkpoints to check the chains alone."
)


def _wrong(each: CheckpointRecord, what: str) -> Finding:
    sentence = f"Event {each.seq} of checkpoints records a checkpoint {each.number} {what}."
    return Finding(TAMPERED, sentence, "checkpoints", each.seq)


def _not_given(each: CheckpointRecord) -> str:
    return (
        f"The audit log also records checkpoints that the key {each.key} signed, the latest number {each.number}"
        f" at {each.at}, and that are in none of the files. Name their file with --checkpoints and the key with"
        " --public-key."
    )


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def read(files: Iterable[Path], trust: Trust, *, accept_missing: bool = False) -> tuple[Evidence, list[History]]:
    """The content of checkpoint files, each as far as it can be read. Earlier parts are read first: they introduce
    later keys."""
    evidence, histories = Evidence(trust=trust, accept_missing=accept_missing), []
    for file in sorted(files, key=_first_number):
        history, broken = History(file, trust), None
        try:
            with file.open("rb") as opened:
                history.follow(opened)
        except CheckpointsBroken as error:
            broken = error
        evidence.add(history, broken)
        histories.append(history)
    return evidence, histories


def _first_number(file: Path) -> int:
    with file.open("rb") as opened, suppress(ValueError, KeyError, TypeError, RecursionError):
        return int(json.loads(opened.readline())["number"])
    return 0
