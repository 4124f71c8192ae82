"""The rule of the audit log's chains: whatever is altered in them is found."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.chains import (
    BEHIND,
    SOUND,
    TAMPERED,
    Event,
    Head,
    Verdict,
    Verification,
    after,
    canonical_object,
    contradiction,
    start,
    verify,
)


@dataclass(frozen=True)
class Log:
    """Events in order, their heads, and what a checkpoint has seen."""

    events: list[Event]
    heads: dict[str, Head]
    checkpointed: dict[str, Head]

    def verdict(self) -> Verdict:
        return verify(self.events, self.heads.items(), self.checkpointed)


def entry(number: int, **more: Any) -> dict[str, Any]:
    told = {"id": f"evt_{number}", "action": "version.tagged", "actor": "ana@example.com", "projectId": "proj_a"}
    return told | {"subjectId": f"ver_{number}", "notes": None, "details": {}, "requestId": "r"} | more


def moment(second: int) -> str:
    return f"2026-11-03T10:{second // 60:02}:{second % 60:02}.000000Z"


def event(chain: str, head: Head, second: int, **more: Any) -> Event:
    content = entry(second, **more)
    text, at = rfc8785.dumps(content).decode(), moment(second)
    columns = {"id": content["id"], "actor": content["actor"], "action": content["action"]}
    columns |= {"subject_id": content["subjectId"], "project_id": content["projectId"]}
    made = after(chain, head, at, text)
    return Event(chain=chain, seq=made.seq, at=at, entry=text, previous_hash=head.hash, hash=made.hash, **columns)


def log(**lengths: int) -> Log:
    """Chains of these lengths, each checkpointed at its head."""
    events: list[Event] = []
    heads: dict[str, Head] = {}
    for chain, length in lengths.items():
        head = start(chain)
        for second in range(length):
            events.append(event(chain, head, second))
            head = Head(events[-1].seq, events[-1].hash)
        heads[chain] = head
    return Log(events, heads, dict(heads))


def rewritten(events: Sequence[Event]) -> list[Event]:
    """The same events with all hashes made to fit, as somebody would who owns the database."""
    made: list[Event] = []
    heads: dict[str, Head] = {}
    for each in events:
        head = heads.get(each.chain) or start(each.chain)
        new = after(each.chain, head, each.at, each.entry)
        made.append(replace(each, seq=new.seq, previous_hash=head.hash, hash=new.hash))
        heads[each.chain] = new
    return made


def ends(events: Sequence[Event]) -> dict[str, Head]:
    return {each.chain: Head(each.seq, each.hash) for each in events}


SAMPLE = log(model_a=5, model_b=1, proj_a=3)


def tampered(events: Sequence[Event], heads: Mapping[str, Head] = SAMPLE.heads) -> tuple[str | None, int | None, str]:
    verdict = verify(events, heads.items())
    assert verdict.code == TAMPERED
    assert verdict.first
    return verdict.first.chain, verdict.first.seq, verdict.first.sentence


def altered(place: int, **changes: Any) -> list[Event]:
    return [replace(each, **changes) if at == place else each for at, each in enumerate(SAMPLE.events)]


def test_the_hash_is_that_of_five_lines() -> None:
    first = after("model_a", start("model_a"), "2026-11-03T10:00:00.000000Z", "{}")
    # printf 'model_a\n1\n2026-11-03T10:00:00.000000Z\n%s\n{}' $(printf model_a | sha256sum | cut -c-64) | sha256sum
    assert first == (1, bytes.fromhex("12129ba6fa9e7e55973cb1be6656f09d1aca91454b7c58871267710e109ccce6"))


def test_sound_chains_are_counted() -> None:
    assert SAMPLE.verdict() == Verdict(SOUND, chains=3, events=9)


def test_no_chains_at_all_are_sound() -> None:
    assert verify([], []) == Verdict(SOUND, 0, 0)


def test_several_events_may_share_a_moment() -> None:
    first = event("c", start("c"), 7)
    second = event("c", Head(1, first.hash), 7)
    assert verify([first, second]).code == SOUND


def test_entries_may_hold_more_than_the_columns() -> None:
    more = {"step": {"id": "tra_1", "from": None, "automatic": False}, "approval": {"by": "james"}}
    assert verify([event("c", start("c"), 1, **more)]).code == SOUND


def test_an_altered_entry_is_found_where_it_is() -> None:
    events = altered(2, entry=SAMPLE.events[2].entry.replace("ver_2", "ver_9"))
    assert tampered(events) == ("model_a", 3, "Event 3 of model_a does not have the hash of its content.")


def test_an_altered_hash_is_found_at_once_and_where_the_next_event_does_not_continue_it() -> None:
    verdict = verify(altered(2, hash=bytes(32)), SAMPLE.heads.items())
    assert verdict.first
    assert (verdict.first.seq, verdict.others) == (3, 1)


def test_a_broken_link_is_found() -> None:
    assert tampered(altered(3, previous_hash=bytes(32)))[1:] == (
        4,
        "Event 4 of model_a does not continue the hash of the one before it.",
    )


def test_a_gap_is_found() -> None:
    events = SAMPLE.events[:2] + SAMPLE.events[3:]
    assert tampered(events)[2] == "Event 4 of model_a comes after event 2: what was between them is missing."
    assert tampered(SAMPLE.events[1:])[:2] == ("model_a", 2)


def test_a_repeated_number_is_found() -> None:
    events = SAMPLE.events[:2] + SAMPLE.events[1:]
    assert tampered(events)[2] == "Event 2 of model_a comes after event 2."


def test_a_chain_in_two_places_is_found() -> None:
    events = [*SAMPLE.events, *SAMPLE.events[:5]]
    assert tampered(events)[2] == "Event 1 of model_a stands apart from the others of its chain."


def test_time_that_runs_backwards_is_found() -> None:
    first = event("c", start("c"), 7)
    events = [first, event("c", Head(1, first.hash), 6)]
    assert tampered(events, ends(events))[2] == "Event 2 of c is older than the one before it."


def test_time_begins_anew_in_each_chain() -> None:
    assert verify([event("a", start("a"), 9), event("b", start("b"), 1)]).code == SOUND


@pytest.mark.parametrize("at", ["", "2026-11-03T10:00:00Z", "2026-11-03 10:00:00.000000Z", "infinity"])
def test_a_time_in_another_form_is_found(at: str) -> None:
    events = rewritten(altered(8, at=at))
    assert tampered(events, ends(events))[2] == "Event 3 of proj_a has no proper time."


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("id", "id"),
        ("actor", "actor"),
        ("action", "action"),
        ("subject_id", "subjectId"),
        ("project_id", "projectId"),
    ],
)
def test_a_column_that_differs_from_the_entry_is_found(column: str, key: str) -> None:
    sentence = f"Event 2 of model_a has another {key} in its column than in its entry."
    assert tampered(altered(1, **{column: "else"})) == ("model_a", 2, sentence)
    without = {name: value for name, value in entry(1).items() if name != key}
    events = rewritten(altered(1, entry=rfc8785.dumps(without).decode()))
    assert tampered(events, ends(events))[2] == sentence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '"evt"',
        "NaN",
        '{"a":NaN}',
        '{"a":1e999}',
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a": 1}',
        '{"a":1}\n',
        '{"a":1.0}',
        '{"a":"\\u0041"}',
        '{"a":"\\ud800"}',
        f'{{"a":{2**53 + 1}}}',
        f'{{"a":{"9" * 30}}}',
        f'{{"a":{"9" * 5000}}}',
        "[" * 100_000,
    ],
)
def test_an_entry_that_is_not_canonical_is_found(text: str) -> None:
    assert canonical_object(text) is None
    events = rewritten(altered(1, entry=text))
    assert tampered(events, ends(events))[2] == "Event 2 of model_a has an entry that is not canonical JSON."


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 21).map(lambda power: 10.0**power))
def test_any_double_in_an_entry_is_canonical(number: float) -> None:
    assert canonical_object(rfc8785.dumps({"a": number}).decode()) == {"a": number}


def test_a_head_that_disagrees_with_the_last_event_is_found() -> None:
    last = SAMPLE.heads["model_a"]
    assert tampered(SAMPLE.events, SAMPLE.heads | {"model_a": Head(7, last.hash)}) == (
        "model_a",
        5,
        "The head of model_a is event 7, but its last event is 5.",
    )
    other = SAMPLE.heads | {"model_a": Head(5, bytes(32))}
    assert tampered(SAMPLE.events, other)[2] == "The head of model_a has another hash than its last event."


def test_a_head_without_events_and_events_without_a_head_are_found() -> None:
    more = SAMPLE.heads | {"model_c": Head(1, bytes(32))}
    assert tampered(SAMPLE.events, more)[2] == "The head of model_c is event 1, but the chain has no events."
    fewer = {chain: head for chain, head in SAMPLE.heads.items() if chain != "model_b"}
    assert tampered(SAMPLE.events, fewer)[2] == "model_b has events but no head."


def test_a_head_that_is_told_twice_is_found() -> None:
    verdict = verify(SAMPLE.events, [*SAMPLE.heads.items(), ("model_b", SAMPLE.heads["model_b"])])
    assert verdict.first
    assert verdict.first.sentence == "The head of model_b is kept twice."


def test_without_heads_only_the_events_are_held_against_each_other() -> None:
    assert verify(SAMPLE.events).code == SOUND
    assert verify(SAMPLE.events, []).code == TAMPERED


def test_a_chain_rewritten_from_end_to_end_is_found_by_a_checkpoint_alone() -> None:
    events = rewritten(altered(1, entry=SAMPLE.events[1].entry.replace("null", '"late thoughts"')))
    assert verify(events, ends(events).items()).code == SOUND
    verdict = verify(events, ends(events).items(), SAMPLE.checkpointed)
    assert (verdict.code, verdict.first and verdict.first.seq) == (TAMPERED, 5)


def test_a_chain_rewritten_below_an_older_checkpoint_is_found_there() -> None:
    points = {"model_a": Head(3, SAMPLE.events[2].hash)}
    events = rewritten(altered(0, entry=SAMPLE.events[0].entry.replace("null", '"late thoughts"')))
    verdict = verify(events, ends(events).items(), points)
    assert verdict.first
    assert verdict.first.sentence == (
        "Event 3 of model_a has another hash than a checkpoint has seen: the chain was rewritten."
    )


def test_a_chain_that_goes_on_after_its_checkpoint_is_sound() -> None:
    assert verify(SAMPLE.events, SAMPLE.heads.items(), {"model_a": Head(3, SAMPLE.events[2].hash)}).code == SOUND


def test_a_chain_that_was_cut_off_with_its_head_is_behind() -> None:
    events = SAMPLE.events[:3] + SAMPLE.events[5:]
    verdict = verify(events, ends(events).items(), SAMPLE.checkpointed)
    assert verdict.code == BEHIND
    assert verdict.first
    assert verdict.first.sentence == "model_a ends at event 3; a checkpoint has seen its event 5."


def test_a_chain_that_is_gone_is_behind_unless_only_a_part_is_looked_at() -> None:
    events = SAMPLE.events[:5] + SAMPLE.events[6:]
    verdict = verify(events, ends(events).items(), SAMPLE.checkpointed)
    assert verdict.code == BEHIND
    assert verdict.first
    assert verdict.first.sentence == "model_b is missing; a checkpoint has seen its event 1."
    assert verify(events, ends(events).items(), SAMPLE.checkpointed, whole=False).code == SOUND


def test_tampered_with_weighs_more_than_behind() -> None:
    events = altered(1, entry="{}")[:8]
    verdict = verify(events, ends(events).items(), SAMPLE.checkpointed)
    assert (verdict.code, verdict.first and verdict.first.seq, verdict.others) == (TAMPERED, 2, 1)


def test_events_are_not_kept() -> None:
    verification = Verification(heads=False)
    head = start("c")
    for second in range(2000):
        each = event("c", head, second)
        head = Head(each.seq, each.hash)
        verification.event(each)
    kept = [value for value in vars(verification).values() if isinstance(value, dict | set | list)]
    assert sum(len(value) for value in kept) == 1
    assert verification.verdict().events == 2000


def test_heads_that_grew_by_what_was_appended_do_not_contradict_the_known_ones() -> None:
    known = {"model_a": Head(3, SAMPLE.events[2].hash)}
    assert contradiction(known, SAMPLE.heads, {"model_a": SAMPLE.heads["model_a"]}) is None


def test_heads_that_went_back_or_do_not_follow_contradict_the_known_ones() -> None:
    known, head = {"model_a": SAMPLE.heads["model_a"]}, Head(3, SAMPLE.events[2].hash)
    gone = contradiction(known, {}, {})
    assert gone
    assert (gone.code, gone.sentence) == (
        BEHIND,
        "The head of model_a is missing; a checkpoint has seen its event 5.",
    )
    back = contradiction(known, {"model_a": head}, {})
    assert back
    assert (back.code, back.seq) == (BEHIND, 3)
    other = contradiction(known, {"model_a": Head(9, bytes(32))}, {"model_a": Head(9, bytes(31))})
    assert other
    assert (other.code, other.seq) == (TAMPERED, 5)


# ------------------------------------------------------------------------------------- whatever is altered is found

FIELDS = ["chain", "id", "at", "project_id", "actor", "action", "subject_id", "entry"]
HASHES = ["previous_hash", "hash"]
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
details = st.dictionaries(words, st.one_of(words, st.integers(-99, 99), st.floats(-10, 10), st.booleans()), max_size=3)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Chains with any names and contents, checkpointed anywhere, some not at all."""
    events: list[Event] = []
    heads: dict[str, Head] = {}
    points: dict[str, Head] = {}
    for chain in draw(st.lists(words, min_size=1, max_size=3, unique=True)):
        head, second = start(chain), 0
        for _ in range(draw(st.integers(1, 5))):
            second += draw(st.integers(0, 2))
            more = {"id": f"evt_{draw(words)}", "notes": draw(words), "details": draw(details)}
            events.append(event(chain, head, second, **more))
            head = Head(events[-1].seq, events[-1].hash)
            if draw(st.booleans()):
                points[chain] = head
        heads[chain] = head
    return Log(events, heads, points)


@given(logs())
def test_what_was_appended_is_sound(made: Log) -> None:
    assert made.verdict() == Verdict(SOUND, len(made.heads), len(made.events))


def with_event(made: Log, place: int, **changes: Any) -> Log:
    events = list(made.events)
    events[place] = replace(events[place], **changes)
    return replace(made, events=events)


@given(logs(), st.data())
def test_any_altered_character_of_an_event_is_found(made: Log, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(made.events) - 1))
    field = data.draw(st.sampled_from(FIELDS))
    text: str = getattr(made.events[place], field)
    at = data.draw(st.integers(0, len(text)))
    new = text[:at] + data.draw(words) + text[at + data.draw(st.integers(0, 1)) :]
    if new != text:
        assert with_event(made, place, **{field: new}).verdict().code != SOUND


@given(logs(), st.data())
def test_any_altered_bit_of_a_hash_is_found(made: Log, data: st.DataObject) -> None:
    place, bit = data.draw(st.integers(0, len(made.events) - 1)), data.draw(st.integers(0, 255))
    field = data.draw(st.sampled_from(HASHES))
    flipped = int.from_bytes(getattr(made.events[place], field)) ^ (1 << bit)
    assert with_event(made, place, **{field: flipped.to_bytes(32)}).verdict().code == TAMPERED


@given(logs(), st.data())
def test_any_other_number_of_an_event_is_found(made: Log, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(made.events) - 1))
    seq = data.draw(st.integers(-5, 9).filter(lambda seq: seq != made.events[place].seq))
    assert with_event(made, place, seq=seq).verdict().code == TAMPERED


def by_chain(event: Event) -> str:
    return event.chain


@given(logs(), st.data())
def test_any_event_that_is_missing_doubled_or_moved_is_found(made: Log, data: st.DataObject) -> None:
    events = list(made.events)
    taken = events.pop(data.draw(st.integers(0, len(events) - 1)))
    assert replace(made, events=events).verdict().code != SOUND
    events.insert(data.draw(st.integers(0, len(events))), taken)
    # Chains may come in any order, each in one piece and in its own order.
    pieces = [chain for chain, _ in groupby(events, key=by_chain)]
    same = len(pieces) == len(made.heads) and sorted(events, key=by_chain) == sorted(made.events, key=by_chain)
    assert (replace(made, events=events).verdict().code == SOUND) == same
    events.insert(data.draw(st.integers(0, len(events))), taken)
    assert replace(made, events=events).verdict().code == TAMPERED


@given(logs(), st.data())
def test_any_altered_head_is_found(made: Log, data: st.DataObject) -> None:
    chain = data.draw(st.sampled_from(sorted(made.heads)))
    head = made.heads[chain]
    others = st.builds(Head, st.integers(0, 9), st.sampled_from([head.hash, bytes(32)])).filter(lambda o: o != head)
    assert replace(made, heads=made.heads | {chain: data.draw(others)}).verdict().code == TAMPERED
    rest = {name: each for name, each in made.heads.items() if name != chain}
    assert replace(made, heads=rest).verdict().code == TAMPERED


@given(logs(), st.data())
def test_any_chain_rewritten_or_cut_off_below_its_checkpoint_is_found(made: Log, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(made.events) - 1))
    chain, seq = made.events[place].chain, made.events[place].seq
    below = chain in made.checkpointed and seq <= made.checkpointed[chain].seq
    content = json.loads(made.events[place].entry) | {"notes": "rewritten afterwards"}
    events = rewritten(with_event(made, place, entry=rfc8785.dumps(content).decode()).events)
    verdict = verify(events, ends(events).items(), made.checkpointed)
    assert verdict.code == (TAMPERED if below else SOUND)
    events = [each for each in made.events if each.chain != chain or each.seq < seq]
    verdict = verify(events, ends(events).items(), made.checkpointed)
    assert verdict.code == (BEHIND if below else SOUND)
