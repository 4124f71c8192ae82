"""Whoever owns the database can rewrite the audit log, but not unseen: it is verified as its users verify it."""

import asyncio
import fcntl
import hashlib
import json
import secrets
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from server.audit import checkpointing
from server.audit.checkpointing import AuditContradiction, Checkpoints
from server.audit.checkpoints import Checkpoint, CheckpointsBroken, Trust, read_checkpoints
from server.audit.signing import KeyUnusable, public_key, signing_key
from server.audit.verify import report_on_database
from server.ops.demo import CHURN, DEMAND, PROJECT, fill
from server.settings import Settings
from storage import chains
from storage.engine import short_engine
from tests.conftest import Cluster, Registry, connect, make_project, run_sql
from tests.support.documents import creating_version
from tests.support.kept_logs import (
    BEHIND,
    NO_VERDICT,
    SOUND,
    TAMPERED,
    UNGUARDED,
    Kept,
    copied,
)
from tests.support.kept_logs import empty as empty  # noqa: PLC0414 - a fixture
from tests.support.kept_logs import kept as kept  # noqa: PLC0414 - a fixture
from tests.support.kept_logs import sample as sample  # noqa: PLC0414 - a fixture
from tests.support.live import LINEAL

# Makes all hashes of a chain fit again, and its head.
REWRITE = """
DO $do$
DECLARE
    event record;
    before bytea := sha256(convert_to('{chain}', 'UTF8'));
BEGIN
    FOR event IN SELECT * FROM audit_events WHERE chain = '{chain}' ORDER BY seq LOOP
        UPDATE audit_events SET previous_hash = before, hash = sha256(convert_to(concat_ws(E'\\n', chain, seq,
            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), encode(before, 'hex'), entry), 'UTF8'))
        WHERE chain = event.chain AND seq = event.seq RETURNING hash INTO before;
    END LOOP;
    UPDATE audit_chains SET seq = last.seq, hash = last.hash FROM (
        SELECT seq, hash FROM audit_events WHERE chain = '{chain}' ORDER BY seq DESC LIMIT 1) last
    WHERE chain = '{chain}';
END $do$
"""
ANOTHER_APPROVER = f"UPDATE audit_events SET entry = replace(entry, 'james', 'marta') WHERE chain = '{CHURN}'"
CUT_THREE = f"DELETE FROM audit_events WHERE chain = '{PROJECT}' AND seq > (SELECT max(seq) - 3 FROM audit_events e WHERE e.chain = '{PROJECT}')"  # noqa: E501


# -------------------------------------------------------------------------------------------------- the audit log


def test_what_was_written_is_sound_and_counted(kept: Kept) -> None:
    code, said = kept.verdicts()
    assert code == SOUND
    assert said.startswith("Sound: the audit log, ")
    assert " events in 6 chains, is as it was written. It was held against 3 checkpoints in " in said


def test_without_checkpoints_it_says_so(empty: Kept) -> None:
    code, said = empty.verify()
    assert code == NO_VERDICT
    assert f"There is no checkpoint file {empty.checkpoints}. A running server writes it when it starts" in said
    code, said = empty.chains_alone()
    assert code == SOUND
    assert "Checkpoints were not used (--without-checkpoints)" in said
    assert not list(empty.data_dir.iterdir())


NAMES = """
SELECT DISTINCT action, key FROM audit_events, jsonb_each(entry::jsonb -> 'details') AS d (side, part),
    jsonb_object_keys(CASE WHEN jsonb_typeof(part) = 'object' THEN part ELSE '{}' END) AS key
WHERE side IN ('before', 'after')
"""


async def test_events_name_what_they_changed_in_camel_case(sample: Cluster) -> None:
    connection = await connect(sample.app_url)
    named = [tuple(row) for row in await connection.fetch(NAMES)]
    await connection.close()
    assert {("version.created", "modelId"), ("project.created", "policy")} <= set(named)
    assert not [each for each in named if "_" in each[1]]


def test_the_command_exits_with_its_verdict(kept: Kept) -> None:
    options: list[str | Path] = ["audit", "verify", "--database-url", kept.cluster.app_url, "--data-dir", kept.data_dir]
    done = subprocess.run([LINEAL, *options], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:6]) == (SOUND, "Sound:")
    kept.tamper(ANOTHER_APPROVER)
    done = subprocess.run([LINEAL, *options], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:9]) == (TAMPERED, "Tampered ")
    file = kept.export()
    piped = subprocess.run([LINEAL, "audit", "export", *options[2:]], capture_output=True)
    assert piped.returncode == 0
    assert piped.stdout.splitlines()[1:] == file.read_bytes().splitlines()[1:]


def test_one_altered_byte_is_found(kept: Kept) -> None:
    event_12 = f"chain = '{PROJECT}' AND seq = 12"
    kept.tamper(f"UPDATE audit_events SET entry = replace(entry, 'retraining@', 'retrainjng@') WHERE {event_12}")
    code, said = kept.verdicts()
    assert code == TAMPERED
    assert f"Event 12 of {PROJECT} does not have the hash of its content." in said


def test_a_chain_that_was_rewritten_with_its_head_is_found_by_its_checkpoint_alone(kept: Kept) -> None:
    kept.tamper(ANOTHER_APPROVER, REWRITE.format(chain=CHURN))
    assert kept.chains_alone()[0] == TAMPERED, "the history of stages knows who approved"
    rename = "UPDATE audit_events SET entry = replace(entry, 'Usage data', 'No data') WHERE chain = '{0}'"
    kept.tamper("UPDATE audit_events SET entry = replace(entry, 'marta', 'james')", REWRITE.format(chain=CHURN))
    kept.tamper(rename.format(PROJECT), f"UPDATE audit_events SET at = at - interval '1 us' WHERE chain = '{PROJECT}'")
    kept.tamper(REWRITE.format(chain=PROJECT))
    assert kept.chains_alone()[0] == SOUND
    code, said = kept.verdicts()
    assert code == TAMPERED
    assert f"of {PROJECT} has another hash than a checkpoint has seen: the chain was rewritten." in said


def test_events_cut_off_with_a_rewritten_head_are_found(kept: Kept) -> None:
    kept.tamper(CUT_THREE, REWRITE.format(chain=PROJECT))
    assert kept.chains_alone()[0] == SOUND
    code, said = kept.verdicts()
    assert code == BEHIND
    assert said.startswith("Behind its checkpoints: the audit log, ")
    assert f"{PROJECT} ends at event " in said


def test_a_chain_that_is_gone_with_its_head_is_found(kept: Kept) -> None:
    kept.tamper(*(f"DELETE FROM {table} WHERE chain = '{PROJECT}'" for table in ("audit_events", "audit_chains")))
    assert kept.chains_alone()[0] == SOUND
    code, said = kept.verdicts()
    assert code == BEHIND
    assert f"{PROJECT} is missing; a checkpoint has seen its event " in said


def test_an_older_state_that_was_restored_is_found(cluster: Cluster, kept: Kept) -> None:
    with copied(cluster, kept.cluster) as before:
        kept.append(3)
        kept.checkpoint()
        code, said = replace(kept, cluster=before).verdicts()
        assert (code, f"{PROJECT} ends at event " in said) == (BEHIND, True)
        replace(kept, cluster=before).append(9)
        assert replace(kept, cluster=before).verdicts()[0] == TAMPERED, "it went on, but another way"
    assert kept.verdicts()[0] == SOUND


def test_a_stage_transition_that_its_event_tells_otherwise_is_found(kept: Kept) -> None:
    kept.tamper("UPDATE stage_transitions SET approved_by = 'marta' WHERE to_stage = 'PRODUCTION'")
    code, said = kept.verify()
    assert code == TAMPERED
    assert "is another in the history of stages than in the audit log." in said


def test_a_stage_transition_without_an_event_and_an_event_without_its_transition_are_found(kept: Kept) -> None:
    gone = f"DELETE FROM audit_events WHERE chain = '{DEMAND}'"
    kept.tamper(gone, f"DELETE FROM audit_chains WHERE chain = '{DEMAND}'")
    code, said = kept.chains_alone()
    assert (code, "is in the history of stages, but not in the audit log" in said) == (TAMPERED, True)


def test_an_event_without_its_transition_is_found(kept: Kept) -> None:
    last = f"SELECT id FROM stage_transitions WHERE model_id = '{CHURN}' ORDER BY position DESC LIMIT 1"
    kept.tamper(f"DELETE FROM stage_transitions WHERE id = ({last})")
    code, said = kept.verify()
    assert (code, "is in the audit log, but not in the history of stages" in said) == (TAMPERED, True)


def test_a_version_that_was_set_back_in_its_history_is_found(kept: Kept) -> None:
    back = f"""UPDATE versions v SET stage = s.to_stage, stage_position = s.position FROM stage_transitions s
        WHERE s.version_id = v.id AND s.to_stage = 'STAGING' AND v.stage = 'PRODUCTION' AND v.model_id = '{CHURN}'"""
    asyncio.run(run_sql(kept.cluster.owner_url, back))
    code, said = kept.verify()
    assert (code, "is in another stage than its history ends in." in said) == (TAMPERED, True)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("UPDATE approvals SET decision = 'REJECT'", "is another among the approvals than in the audit log"),
        ("UPDATE approvals SET at = at + interval '1 day'", "is another among the approvals than in the audit log"),
        ("DELETE FROM approvals WHERE reviewer LIKE 'james%'", "is in the audit log, but not among the approvals"),
    ],
)
def test_an_altered_approval_is_found(kept: Kept, change: str, wrong: str) -> None:
    kept.tamper(change)
    code, said = kept.verify()
    assert (code, wrong in said) == (TAMPERED, True)


def test_verifying_makes_and_changes_nothing(cluster: Cluster, kept: Kept) -> None:
    before = sorted(kept.data_dir.iterdir())
    kept.verify()
    assert sorted(kept.data_dir.iterdir()) == before
    name = f"lineal_{secrets.token_hex(6)}"
    asyncio.run(run_sql(cluster.superuser_url, f"CREATE DATABASE {name}"))
    bare = replace(kept, cluster=cluster.database(name))
    bare = replace(bare, cluster=replace(bare.cluster, app_url=bare.cluster.superuser_url))
    code, said = bare.verify()
    assert (code, 'relation "audit_events" does not exist' in said) == (NO_VERDICT, True)
    asyncio.run(run_sql(cluster.superuser_url, f"DROP DATABASE {name}"))


def test_what_keeps_it_from_a_verdict_is_no_verdict(kept: Kept, tmp_path: Path) -> None:
    none = tmp_path / "none"
    nowhere = kept.lineal("verify", "--data-dir", none)
    assert nowhere[0] == NO_VERDICT
    assert f"There is no database in {none}" in nowhere[1]
    assert not none.exists()
    assert kept.lineal("verify", "--database-url", "postgresql://nobody@127.0.0.1:1/none")[0] == NO_VERDICT
    assert kept.lineal("verify", "--checkpoints", none)[0] == NO_VERDICT
    assert kept.lineal("verify", "--export", none)[0] == NO_VERDICT
    assert kept.lineal("verify", "--wrong")[0] == NO_VERDICT
    (kept.data_dir / "audit-public-key.pem").write_text("no key")
    code, said = kept.verify()
    assert (code, "is not a public key in PEM" in said) == (NO_VERDICT, True)
    (kept.data_dir / "audit-public-key.pem").unlink()
    assert "Name the public keys with --public-key" in kept.verify()[1]


async def test_the_log_is_streamed_and_never_held_as_a_whole(sample: Cluster) -> None:
    rows = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)"
    async with short_engine(sample.app_url) as engine, chains.snapshot(engine.connect()) as connection:
        tracemalloc.start()
        try:
            assert sum([len(row[0]) async for row in chains.stream(connection, rows)]) == 20_000_000
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()


# ------------------------------------------------------------------------------------------------------ the export


def test_an_export_holds_the_exact_entries_and_the_heads(kept: Kept) -> None:
    first, *lines = map(json.loads, kept.export().read_text().splitlines())
    assert (first["lineal"], first["whole"]) == ("audit export", True)
    events, heads = [line for line in lines if "id" in line], [line for line in lines if "head" in line]
    assert [line["head"] for line in heads] == sorted({line["chain"] for line in events})
    assert lines == events + heads
    assert all(rfc8785.dumps(json.loads(line["entry"])).decode() == line["entry"] for line in events)
    assert list(events[0]) == [
        "chain", "seq", "id", "at", "projectId", "actor", "action", "subjectId", "entry", "previousHash", "hash",
    ]  # fmt: skip


def test_an_export_of_a_part_is_held_against_what_it_has(kept: Kept) -> None:
    for options in (["--chain", PROJECT], ["--project", PROJECT], ["--project", PROJECT, "--chain", CHURN]):
        code, said = kept.verify_offline(kept.export(*options))
        assert (code, said[:31]) == (SOUND, "Sound: a part of the audit log ")
    part = kept.export("--chain", PROJECT)
    said = kept.verify_offline(part)[1]
    assert said.count(" in 1 chain,") == 1
    assert "about chains that are not in it." in said
    assert "missing checkpoints would not be noticed." in said
    kept.tamper(CUT_THREE, REWRITE.format(chain=PROJECT))
    assert kept.verify_offline(kept.export("--chain", PROJECT))[0] == BEHIND
    part.write_bytes(part.read_bytes().replace(b'"whole":false', b'"whole":true'))
    code, said = kept.verify_offline(part)
    assert (code, "is missing; a checkpoint has seen its event " in said) == (BEHIND, True)


def test_an_altered_export_is_found(kept: Kept) -> None:
    file = kept.export()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for place in range(len(lines)):
        file.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        assert kept.verify_offline(file)[0] == TAMPERED, lines[place]
    for place in range(len(lines[0]), len(whole), 211):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert kept.verify_offline(file)[0] == TAMPERED, whole[place - 20 : place + 20]
    more = lines[1][:-2] + b',"note":"more"}\n'
    file.write_bytes(lines[0] + more + b"".join(lines[2:]))
    assert f"Line 2 of {file} is neither an event nor a head." in kept.verify_offline(file)[1]
    file.write_bytes(whole[:-40])
    code, said = kept.verify_offline(file)
    assert (code, f"Line {len(lines)} of {file} is neither an event nor a head." in said) == (TAMPERED, True)


# ------------------------------------------------------------------------------------------------- the checkpoints


def test_a_checkpoint_holds_the_heads_that_changed_and_is_told_to_the_log(
    empty: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(checkpointing.log, "info", lambda name, **values: told.append({"event": name, **values}))
    first = empty.checkpoint()
    assert empty.checkpoint() is None
    empty.append()
    second = empty.checkpoint()
    assert first and second
    assert (len(first.heads), sorted(second.heads)) == (5, ["checkpoints", PROJECT])
    lines = empty.lines()
    content = [json.loads(line) for line in lines]
    assert [each["number"] for each in content] == [1, 2]
    digests = [hashlib.sha256(line).hexdigest() for line in lines]
    assert [each["previous"] for each in content] == [None, digests[0]]
    assert told[1] == {
        "event": "audit checkpoint",
        "number": 2,
        "chains": 2,
        "digest": digests[1],
        "signature": content[1]["signature"],
    }


def test_a_forged_checkpoint_is_found(kept: Kept, tmp_path: Path) -> None:
    forger = replace(kept, data_dir=tmp_path / "forger")
    assert forger.checkpoint()
    forged = json.loads(forger.lines()[0])
    last = json.loads(kept.lines()[2])
    kept.checkpoints.write_bytes(
        b"".join(kept.lines()[:2]) + rfc8785.dumps(last | {"signature": forged["signature"]}) + b"\n"
    )
    code, said = kept.verdicts()
    assert (code, f"Line 3 of {kept.checkpoints} was altered: the signature" in said) == (NO_VERDICT, True)
    kept.checkpoints.write_bytes(b"".join(forger.lines()))
    code, said = kept.verdicts()
    assert (code, f"Line 1 of {kept.checkpoints} is signed by the key " in said) == (NO_VERDICT, True)


def test_a_checkpoint_taken_away_moved_or_doubled_is_found(kept: Kept) -> None:
    one, two, three = kept.lines()
    for wrong, told in (
        (
            [one, three],
            f"Line 2 of {kept.checkpoints} does not continue the one before it: checkpoints 2 to 2 are gone.",
        ),
        ([one, three, two], f"Line 2 of {kept.checkpoints} does not continue the one before it"),
        ([one, one, two], f"Line 2 of {kept.checkpoints} repeats checkpoint 1: the line is there twice."),
        ([two, three], f"Checkpoint 1 is missing from {kept.checkpoints}."),
        ([one], f"Checkpoints 2 to 3 are missing from {kept.checkpoints}."),
    ):
        kept.checkpoints.write_bytes(b"".join(wrong))
        code, said = kept.verdicts()
        assert (code, told in said, "Tampered" in said) == (NO_VERDICT, True, False), said


def test_any_altered_byte_of_a_checkpoint_is_found(kept: Kept) -> None:
    key, whole = Trust([public_key(kept.data_dir / "audit-public-key.pem")]), kept.checkpoints.read_bytes()
    assert read_checkpoints(kept.checkpoints, key).number == 3
    for place in range(len(whole) - 1):
        kept.checkpoints.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointsBroken):
            read_checkpoints(kept.checkpoints, key)


@pytest.mark.parametrize("torn", [b"{", b'{"at":"2026-11', b"\0" * 500, b"\0" * 500 + b"\n"])
def test_a_crash_in_the_middle_of_a_checkpoint_is_survived(kept: Kept, torn: bytes) -> None:
    whole = kept.checkpoints.read_bytes()
    kept.checkpoints.write_bytes(whole + torn)
    code, said = kept.verdicts()
    assert (code, f"The last line of {kept.checkpoints} is unfinished and was not used." in said) == (SOUND, True)
    assert kept.checkpoint() is None
    kept.append()
    fourth = kept.checkpoint()
    assert fourth
    assert fourth.number == 4
    assert kept.checkpoints.read_bytes().startswith(whole + b'{"at":')
    code, said = kept.verdicts()
    assert (code, "held against 4 checkpoints" in said, "unfinished" in said) == (SOUND, True, False)


def test_a_crash_at_any_byte_of_the_first_checkpoint_is_survived(empty: Kept) -> None:
    assert empty.checkpoint()
    whole = empty.checkpoints.read_bytes()
    for length in range(0, len(whole), 97):
        empty.checkpoints.write_bytes(whole[:length])
        # It is told to the audit log after it was written whole.
        empty.tamper(
            *(f"DELETE FROM {table} WHERE chain = 'checkpoints'" for table in ("audit_events", "audit_chains"))
        )
        made = empty.checkpoint()
        assert made
        assert (made.number, len(empty.lines())) == (1, 1)
    assert empty.verdicts()[0] == SOUND


def test_a_history_that_was_rewritten_or_restored_is_never_signed(cluster: Cluster, kept: Kept) -> None:
    whole = kept.checkpoints.read_bytes()
    with copied(cluster, kept.cluster) as other:
        rewritten = replace(kept, cluster=other)
        rewritten.tamper(f"UPDATE audit_events SET at = at - interval '1 us' WHERE chain = '{PROJECT}'")
        rewritten.tamper(REWRITE.format(chain=PROJECT))
        with pytest.raises(AuditContradiction, match="does not follow from its event"):
            rewritten.checkpoint()
        rewritten.append(5)
        with pytest.raises(AuditContradiction, match="does not follow from its event"):
            rewritten.checkpoint()
        rewritten.tamper(
            f"DELETE FROM audit_events WHERE chain = '{PROJECT}' AND seq > 3", REWRITE.format(chain=PROJECT)
        )
        with pytest.raises(AuditContradiction, match=f"The head of {PROJECT} is event 3; a checkpoint has seen"):
            rewritten.checkpoint()
        rewritten.tamper(
            *(f"DELETE FROM {table} WHERE chain = '{DEMAND}'" for table in ("audit_chains", "audit_events"))
        )
        with pytest.raises(AuditContradiction):
            rewritten.checkpoint()
    assert kept.checkpoints.read_bytes() == whole
    kept.append(5)
    assert kept.checkpoint()


async def test_what_goes_wrong_with_a_checkpoint_is_logged_and_not_raised(
    empty: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for level in ("error", "exception"):
        monkeypatch.setattr(checkpointing.log, level, lambda name, **values: told.append(name))
    checkpoints = Checkpoints(tmp_path)
    async with short_engine(empty.cluster.app_url) as engine:
        await checkpointing.checkpoint(engine.connect, checkpoints)
        file = tmp_path / "audit-checkpoints.jsonl"
        whole = file.read_bytes()
        for broken in (whole * 2, b"\xef\xbb\xbf" + whole):
            file.write_bytes(broken)
            await checkpointing.checkpoint(engine.connect, checkpoints)
    async with short_engine("postgresql://nobody@127.0.0.1:1/none") as engine:
        file.write_bytes(whole)
        await checkpointing.checkpoint(engine.connect, checkpoints)
    assert told == ["audit log contradicts its checkpoints"] * 2 + ["audit checkpoint failed"]


async def test_a_checkpoint_given_up_while_it_waits_for_its_turn_leaves_nothing_behind(
    empty: Kept, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    file = tmp_path / "audit-checkpoints.jsonl"
    async with short_engine(empty.cluster.app_url) as engine:
        with file.open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(checkpoints.write(engine.connect), 0.3)
            assert file.read_bytes() == b""
        made = await checkpoints.write(engine.connect)
        assert made
        assert made.number == 1


REPEATEDLY = """
import asyncio, sys
from pathlib import Path
from server.audit.checkpointing import Checkpoints
from storage import chains
from storage.engine import short_engine
async def main(url, folder, times):
    checkpoints = Checkpoints(Path(folder))
    async with short_engine(url) as engine:
        for _ in range(int(times)):
            await checkpoints.write(engine.connect)
asyncio.run(main(*sys.argv[1:]))
"""


def test_processes_that_checkpoint_at_once_make_one_unbroken_file_with_one_key(empty: Kept) -> None:
    program: list[str | Path] = [sys.executable, "-c", REPEATEDLY, empty.cluster.app_url, empty.data_dir, "25"]
    processes = [subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(3)]
    while any(process.poll() is None for process in processes):
        empty.append(3)
    assert [(process.wait(), process.communicate()[1]) for process in processes] == [(0, b"")] * 3
    empty.append()
    assert empty.checkpoint()
    code, said = empty.verdicts()
    assert (code, f"held against {len(empty.lines())} checkpoints" in said) == (SOUND, True), said
    assert len(empty.lines()) > 3


async def test_a_checkpoint_cancelled_while_it_is_written_keeps_the_lock_until_it_is(
    empty: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, writing, go_on = Checkpoints(tmp_path), threading.Event(), threading.Event()
    write_now = checkpoints._append

    def slowly(*given: Any) -> Checkpoint:
        writing.set()
        go_on.wait(10)
        return write_now(*given)

    monkeypatch.setattr(checkpoints, "_append", slowly)
    async with short_engine(empty.cluster.app_url) as engine:
        task = asyncio.create_task(checkpoints.write(engine.connect))
        await asyncio.to_thread(writing.wait, 10)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.05)
        with checkpoints.file.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await Checkpoints(tmp_path).write(engine.connect) is None, "the first one wrote its line whole"


# --------------------------------------------------------------------------------------------------------- the key


def test_the_signing_key_is_private_and_made_once(tmp_path: Path) -> None:
    made: list[Any] = []
    starts = threading.Barrier(8)

    def make() -> None:
        starts.wait()
        made.append(signing_key(tmp_path / "data").private_bytes_raw())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    file = tmp_path / "data" / "audit-signing-key"
    assert file.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert file.stat().st_mode & 0o777 == 0o600
    shown = file.with_name("audit-public-key.pem")
    assert public_key(shown) == signing_key(tmp_path / "data").public_key()
    assert sorted(each.name for each in file.parent.iterdir()) == [shown.name, file.name]
    shown.unlink()
    assert public_key(shown) if signing_key(tmp_path / "data") else None


def test_a_key_that_is_none_or_another_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path / "one")
    signing_key(tmp_path / "two")
    public, private = tmp_path / "one" / "audit-public-key.pem", tmp_path / "one" / "audit-signing-key"
    public.write_bytes((tmp_path / "two" / "audit-public-key.pem").read_bytes())
    with pytest.raises(KeyUnusable, match="does not belong to the signing key next to it"):
        signing_key(tmp_path / "one")
    private.write_text("")
    with pytest.raises(KeyUnusable, match="is not a private key in PEM"):
        signing_key(tmp_path / "one")


# ---------------------------------------------------------------- as everybody may ask


@pytest.mark.parametrize(
    ("change", "first_wrong"),
    [
        ("UPDATE audit_events SET entry = entry || ' ' WHERE chain = '{chain}' AND seq = 5", 5),
        ("UPDATE audit_events SET at = at + interval '1 second' WHERE chain = '{chain}' AND seq = 2", 2),
        ("DELETE FROM audit_events WHERE chain = '{chain}' AND seq = 3", 4),
        ("DELETE FROM audit_events WHERE chain = '{chain}' AND seq > 6", 7),
        ("UPDATE audit_chains SET hash = sha256('x') WHERE chain = '{chain}'", None),
    ],
)
async def test_the_api_tells_where_a_chain_was_altered(
    make_database: Callable[[], Any], make_registry: Callable[..., Any], change: str, first_wrong: int | None
) -> None:
    cluster = await make_database()
    await fill(Settings(database_url=cluster.app_url))
    registry = await make_registry(cluster)
    asked = f'{{ auditIntegrity(chain: "{CHURN}") {{ events sound firstWrong }} }}'
    before = (await registry.ask(asked))["auditIntegrity"]
    assert (before["sound"], before["firstWrong"]) == (True, None)
    guarded = ["SET session_replication_role = replica", *UNGUARDED]
    await run_sql(cluster.superuser_url, *guarded, change.format(chain=CHURN))
    found = (await registry.ask(asked))["auditIntegrity"]
    assert (found["sound"], found["firstWrong"]) == (False, first_wrong or before["events"] + 1)
    assert (await registry.ask('{ auditIntegrity(chain: "model_none") { sound } }'))["auditIntegrity"] is None


async def test_large_numbers_are_written_as_given_and_leave_the_log_sound(
    make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    cluster = await make_database()
    registry = await make_registry(cluster)
    project = await make_project(registry)
    asked = creating_version('id parameters metric(name: "loss") artifact { sizeBytes }')
    facts = {"parameters": {"seed": 2**64 - 1}, "metrics": {"loss": 1e20}}
    artifact = {"uri": "s3://models/large", "sizeBytes": 2**63 - 1}
    of = {"projectId": project, "modelId": "model_large", "createModel": True, "artifact": artifact}
    version = (await registry.ask(asked, input=of | facts))["createVersion"]["version"]
    kept = (version["parameters"], version["metric"], version["artifact"]["sizeBytes"])
    assert kept == ({"seed": 2**64 - 1}, 1e20, 2**63 - 1)
    log = await registry.ask(
        "query($id: ID!) { auditEvents(filter: {subjectId: $id}) { nodes { details } } }", id=version["id"]
    )
    told = log["auditEvents"]["nodes"][0]["details"]["after"]
    assert (told["parameters"], told["metrics"]) == ({"seed": str(2**64 - 1)}, {"loss": 1e20})
    assert (await report_on_database(cluster.app_url)).code == SOUND


async def test_to_ask_whether_chains_are_sound_costs_more_than_other_objects(registry: Registry, project: str) -> None:
    def asked(times: int) -> str:
        field = f'auditIntegrity(chain: "{project}") {{ sound }}'
        return f"{{ {' '.join(f'a{number}: {field}' for number in range(times))} }}"

    answer = (await registry.send(asked(2))).json()
    assert answer["extensions"]["cost"]["requested"] == 2_000
    assert (await registry.refusal(asked(21)))["code"] == "QUERY_TOO_COMPLEX"
