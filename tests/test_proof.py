"""Missing evidence is never good evidence: what `lineal audit verify` says about lost checkpoints and keys.

Each case is done to a registry with three checkpoints, as an operator, an accident or an attacker would do it.
"""

import asyncio
import json
import resource
import shutil
import signal
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from server.audit import checkpointing
from server.audit.checkpointing import Checkpoints, checkpoint
from server.audit.signing import KeyUnusable, key_id, public_key, signing_key
from server.ops.demo import PROJECT
from storage.engine import short_engine
from tests.conftest import Cluster, Registry, make_key, run_sql
from tests.support.kept_logs import BEHIND, NO_VERDICT, SOUND, TAMPERED, Kept, copied, empty, kept, sample
from tests.support.live import LINEAL, lineal

__all__ = ["empty", "kept", "sample"]  # fixtures

FORGED_TELLING = """SELECT audit_append('checkpoints',
        ARRAY[replace(replace(entry, '"number":3', '"number":9'), '"evt_', '"evt_f')])
    FROM audit_events WHERE chain = 'checkpoints' ORDER BY seq DESC LIMIT 1"""


def moved(kept: Kept) -> None:
    kept.checkpoints.rename(kept.data_dir / "moved.jsonl")


def emptied(kept: Kept) -> None:
    kept.checkpoints.write_bytes(b"")


def cut_off(kept: Kept) -> None:
    kept.checkpoints.write_bytes(b"".join(kept.lines()[:2]))


def doubled(kept: Kept) -> None:
    kept.checkpoints.write_bytes(b"".join([*kept.lines(), kept.lines()[2]]))


def reordered(kept: Kept) -> None:
    one, two, three = kept.lines()
    kept.checkpoints.write_bytes(one + three + two)


def torn_in_the_middle(kept: Kept) -> None:
    one, two, three = kept.lines()
    kept.checkpoints.write_bytes(one + two[:80] + b"\n" + three)


def with_carriage_returns(kept: Kept) -> None:
    kept.checkpoints.write_bytes(b"".join(kept.lines()).replace(b"\n", b"\r\n"))


def with_a_byte_order_mark(kept: Kept) -> None:
    kept.checkpoints.write_bytes(b"\xef\xbb\xbf" + b"".join(kept.lines()))


def with_a_foreign_line(kept: Kept) -> None:
    kept.checkpoints.write_bytes(b"".join(kept.lines()) + b'{"level":"info"}\n')


def a_directory(kept: Kept) -> None:
    kept.checkpoints.unlink()
    kept.checkpoints.mkdir()


def of_another_registry(kept: Kept) -> None:
    other = replace(kept, data_dir=kept.data_dir / "other")
    assert other.checkpoint()
    shutil.copy(other.checkpoints, kept.checkpoints)


def public_key_gone(kept: Kept) -> None:
    (kept.data_dir / "audit-public-key.pem").unlink()


def keys_replaced_by_hand(kept: Kept) -> None:
    for name in ("audit-signing-key", "audit-public-key.pem"):
        (kept.data_dir / name).unlink()
    moved = kept.checkpoints.rename(kept.data_dir / "aside")
    signing_key(kept.data_dir)
    moved.rename(kept.checkpoints)


def rotated_twice(kept: Kept) -> None:
    for _ in range(2):
        code, said = rotate(kept)
        assert code == 0, said
        kept.append()
        kept.checkpoint()


def key_lost(kept: Kept) -> None:
    (kept.data_dir / "audit-signing-key").unlink()
    code, said = rotate(kept, "--lost")
    assert code == 0, said
    kept.append()
    kept.checkpoint()


def continued_after_it_was_moved(kept: Kept) -> None:
    moved(kept)
    kept.append()
    assert kept.checkpoint()


def told_falsely(kept: Kept) -> None:
    asyncio.run(run_sql(kept.cluster.app_url, FORGED_TELLING))


def nothing(kept: Kept) -> None:
    """As it was."""


FILE, KEY = "{file}", "{key}"
CASES: dict[Callable[[Kept], None], tuple[int, str]] = {
    nothing: (SOUND, "Sound: the audit log, "),
    moved: (NO_VERDICT, f"There is no checkpoint file {FILE}."),
    emptied: (NO_VERDICT, f"No verdict: There is no checkpoint in {FILE}. Without checkpoints, a log that"),
    cut_off: (NO_VERDICT, f"Checkpoint 3 is missing from {FILE}."),
    doubled: (NO_VERDICT, f"Line 4 of {FILE} repeats checkpoint 3: the line is there twice."),
    reordered: (NO_VERDICT, f"Line 2 of {FILE} does not continue the one before it: checkpoints 2 to 2 are gone."),
    torn_in_the_middle: (NO_VERDICT, f"Line 2 of {FILE} is not a checkpoint."),
    with_carriage_returns: (NO_VERDICT, f"Line 1 of {FILE} ends with CR LF: an editor or a transfer has converted"),
    with_a_byte_order_mark: (NO_VERDICT, f"Line 1 of {FILE} begins with a byte order mark: an editor or a transfer"),
    with_a_foreign_line: (NO_VERDICT, f"Line 4 of {FILE} is not a checkpoint."),
    a_directory: (NO_VERDICT, "Is a directory"),
    of_another_registry: (NO_VERDICT, f"which is not trusted (trusted: {KEY})."),
    public_key_gone: (NO_VERDICT, "Name the public keys with --public-key."),
    keys_replaced_by_hand: (NO_VERDICT, f"is signed by the key {KEY}, which is not trusted"),
    rotated_twice: (SOUND, f"the key {KEY} endorsed it."),
    key_lost: (NO_VERDICT, f"replaces the key {KEY}, reported as lost, by the key"),
    continued_after_it_was_moved: (NO_VERDICT, f"Checkpoints 1 to 3 are missing from {FILE}."),
    told_falsely: (TAMPERED, f"records a checkpoint 9 that the key {KEY} has not signed."),
}


def rotate(kept: Kept, *options: str) -> tuple[int, str]:
    return kept.lineal("rotate-key", "--database-url", kept.cluster.app_url, "--data-dir", kept.data_dir, *options)


def verify(kept: Kept, *options: str | Path) -> tuple[int, str]:
    return kept.lineal("verify", "--database-url", kept.cluster.app_url, "--data-dir", kept.data_dir, *options)


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__)
def test_each_loss_of_evidence_has_its_exit_code_and_sentence(kept: Kept, change: Callable[[Kept], None]) -> None:
    key = key_id(public_key(kept.data_dir / "audit-public-key.pem"))
    change(kept)
    code, said = kept.verify()
    wanted, sentence = CASES[change]
    assert code == wanted, said
    assert sentence.format(file=kept.checkpoints, key=key) in said
    assert ("Sound" in said, "Tampered" in said) == (wanted == SOUND, wanted == TAMPERED), said
    # An export says the same where it lies alone.
    if change not in (a_directory, public_key_gone, moved):
        assert kept.lineal("verify", "--export", kept.export(), "--data-dir", kept.data_dir / "none")[0] == wanted


def test_a_broken_file_does_not_hide_a_changed_log(cluster: Cluster, kept: Kept) -> None:
    with copied(cluster, kept.cluster) as before:
        kept.append(3)
        kept.checkpoint()
        old = replace(kept, cluster=before)
        assert old.verify()[0] == BEHIND
        kept.checkpoints.write_bytes(b"".join([*kept.lines(), kept.lines()[3]]))
        code, said = old.verify()
        assert (code, f"{PROJECT} ends at event " in said, "repeats checkpoint 4" in said) == (BEHIND, True, True)


# ----------------------------------------------------------------------------------------------------- a gap


def test_checkpoints_continue_what_the_log_tells_after_the_file_was_moved(kept: Kept) -> None:
    moved(kept)
    made = kept.checkpoint()
    assert made
    assert (made.number, made.missing, len(made.heads)) == (4, (1, 3), 6)
    assert kept.checkpoint() is None, "an idle registry writes no further lines"
    both: list[str | Path] = ["--checkpoints", kept.checkpoints, "--checkpoints", kept.data_dir / "moved.jsonl"]
    code, said = verify(kept, *both)
    assert (code, "It was held against 4 checkpoints in " in said) == (SOUND, True), said
    code, said = verify(kept, "--accept-missing")
    assert (code, "Checkpoints 1 to 3 are missing" in said, "accepted as lost" in said) == (SOUND, True, True), said
    lines = (kept.data_dir / "moved.jsonl").read_bytes() + kept.checkpoints.read_bytes()
    kept.checkpoints.write_bytes(lines)
    assert kept.verify()[0] == SOUND, "the lines were put back"


@pytest.mark.parametrize("change", [moved, emptied, cut_off], ids=lambda change: change.__name__)
async def test_a_running_server_notices_that_its_file_lost_lines_and_reports_it(
    kept: Kept, make_registry: Callable[..., Any], change: Callable[[Kept], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(checkpointing.log, "warning", lambda name, **values: warned.append(name))
    registry = await make_registry(kept.cluster)
    checkpoints = Checkpoints(kept.data_dir)
    async with short_engine(kept.cluster.app_url) as engine:
        await checkpoint(engine.connect, checkpoints)
        assert (await status(registry))["problem"] is None
        change(kept)
        for _ in range(2):
            await checkpoint(engine.connect, checkpoints)
    assert warned == ["audit checkpoints continue after a gap"]
    told = await status(registry)
    assert f"missing from {kept.checkpoints}. Restore the lines." in told["problem"]
    # The fourth covers the key that the test made.
    assert (told["lastCheckpointNumber"], told["behindEvents"]) == (5, 0)
    assert len(kept.lines()) == (3 if change is cut_off else 1)


async def status(registry: Registry) -> dict[str, Any]:
    fields = "lastCheckpointAt lastCheckpointNumber keyId behindEvents problem problemSince"
    answer: dict[str, Any] = (await registry.ask(f"{{ auditStatus {{ {fields} }} }}"))["auditStatus"]
    return answer


def test_an_idle_registry_writes_no_checkpoint_about_its_checkpoints(kept: Kept) -> None:
    before = kept.checkpoints.read_bytes()
    for _ in range(3):
        assert kept.checkpoint() is None
    assert kept.checkpoints.read_bytes() == before


# ------------------------------------------------------------------------------------------------------ keys


def test_trusting_the_first_key_is_enough_after_two_rotations(kept: Kept, tmp_path: Path) -> None:
    first = shutil.copy(kept.data_dir / "audit-public-key.pem", tmp_path / "first.pem")
    latest = kept.data_dir / "audit-public-key.pem"
    rotated_twice(kept)
    assert len(list(kept.data_dir.glob("audit-public-key*.pem"))) == 3
    code, said = verify(kept, "--public-key", first)
    assert (code, said.count(" endorsed it.")) == (SOUND, 2), said
    code, said = verify(kept, "--public-key", latest)
    assert (code, "which is not trusted" in said or "is not signed by a trusted key" in said) == (NO_VERDICT, True)
    assert [event for event in events(kept) if event["action"] == "signingKey.rotated"]


def test_a_lost_key_is_an_event_and_needs_the_new_key_to_be_named(kept: Kept, tmp_path: Path) -> None:
    first = shutil.copy(kept.data_dir / "audit-public-key.pem", tmp_path / "first.pem")
    code, said = rotate(kept, "--lost")
    assert (code, "exists and can be used. Rotate it without --lost." in said) == (1, True)
    key_lost(kept)
    assert verify(kept, "--public-key", first)[0] == NO_VERDICT
    new = kept.data_dir / "audit-public-key.pem"
    code, said = verify(kept, "--public-key", first, "--public-key", new)
    assert (code, "You named the new key as trusted." in said) == (SOUND, True), said
    assert [event["action"] for event in events(kept)].count("signingKey.lost") == 1


def events(kept: Kept) -> list[dict[str, Any]]:
    return [json.loads(line) for line in kept.export().read_text().splitlines() if '"checkpoints"' in line][:-1]


def test_a_missing_key_is_never_replaced_in_silence(kept: Kept) -> None:
    (kept.data_dir / "audit-signing-key").unlink()
    kept.append()
    with pytest.raises(
        KeyUnusable, match=r"is missing\. Restore it, or replace it with lineal audit rotate-key --lost"
    ):
        kept.checkpoint()
    (kept.data_dir / "audit-public-key.pem").unlink()
    with pytest.raises(KeyUnusable, match="is missing"):
        kept.checkpoint()


async def test_a_running_server_signs_with_the_new_key_at_its_next_checkpoint(kept: Kept) -> None:
    checkpoints, rotating = Checkpoints(kept.data_dir), Checkpoints(kept.data_dir)
    async with short_engine(kept.cluster.app_url) as engine:
        await checkpoints.write(engine.connect)
        _, new = await rotating.succeed(engine.connect, lost=False)
        await asyncio.to_thread(kept.append)
        await checkpoints.write(engine.connect)
    assert json.loads(kept.lines()[-1])["key"] == new


@pytest.mark.parametrize("place", ["install_next", "record"])
def test_a_rotation_that_is_interrupted_is_finished_by_the_next_checkpoint(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def crash(*given: Any) -> None:
        raise InterruptedError("in the middle")

    with monkeypatch.context() as broken:
        broken.setattr(checkpointing, place, crash)
        code, said = rotate(kept)
        assert (code, "the next checkpoint completes it" in said) == (1, True)
    kept.append()
    assert kept.checkpoint()
    code, said = kept.verify()
    assert (code, "endorsed it." in said) == (SOUND, True), said


# --------------------------------------------------------------------------------- checkpoints that stop


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow: works as root too, whom no mode of a folder stops."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_checkpoints_that_stop_show_to_administrators_and_in_readyz(
    kept: Kept, make_registry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for level in ("error", "exception"):
        monkeypatch.setattr(checkpointing.log, level, lambda *told, **values: None)
    registry = await make_registry(kept.cluster)
    checkpoints = Checkpoints(kept.data_dir)
    async with short_engine(kept.cluster.app_url) as engine:
        assert (await status(registry))["behindEvents"] > 0, "the test has made a key"
        await checkpoint(engine.connect, checkpoints)
        before = await status(registry)
        assert (before["lastCheckpointNumber"], before["behindEvents"], before["problem"]) == (4, 0, None)
        assert before["keyId"] == key_id(signing_key(kept.data_dir).public_key())
        await asyncio.to_thread(kept.append, 4)
        with full_disk():
            await checkpoint(engine.connect, checkpoints)
        stopped = await status(registry)
        assert (stopped["lastCheckpointNumber"], stopped["behindEvents"]) == (4, 4)
        assert stopped["problem"].startswith("Checkpoints cannot be written: ")
        ready = await registry.client.get("/readyz")
        assert (ready.status_code, ready.json()["details"]["checkpoints"]["status"]) == (200, "failing")
        for break_it in (keys_replaced_by_hand, a_directory):
            break_it(kept)
            await checkpoint(engine.connect, checkpoints)
            assert (await status(registry))["problemSince"] == stopped["problemSince"]
    other = registry.with_key(await make_key(kept.cluster.app_url, "someone@example.com", administers=False))
    assert (await other.ask("{ auditStatus { problem } }"))["auditStatus"] is None
    kept.checkpoints.rmdir()


def test_a_checkpoint_that_could_not_be_written_is_written_later(kept: Kept) -> None:
    async def write_on_a_full_disk() -> Any:
        checkpoints = Checkpoints(kept.data_dir)
        async with short_engine(kept.cluster.app_url) as engine:
            with full_disk(), pytest.raises(OSError, match="File too large"):
                await checkpoints.write(engine.connect)
            return await checkpoints.write(engine.connect)

    kept.append()
    made = asyncio.run(write_on_a_full_disk())
    assert (made.number, made.missing) == (4, None)
    assert kept.verify()[0] == SOUND


def test_verify_warns_when_the_last_checkpoint_is_far_behind(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.append()
    assert "Warning" not in kept.verify()[1]
    monkeypatch.setenv("LINEAL_CHECKPOINT_SECONDS", "0.001")
    code, said = kept.verify()
    assert (code, "Warning: the last checkpoint is far behind. 1 event since " in said) == (SOUND, True), said
    kept.checkpoint()
    assert "Warning" not in kept.verify()[1]


# ---------------------------------------------------------------------------------------------- the export


def test_an_export_under_writes_is_never_behind_the_checkpoints_beside_it(kept: Kept) -> None:
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            kept.append(2)
            kept.checkpoint()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(6):
            export = kept.export()
            code, said = kept.lineal("verify", "--export", export, "--data-dir", kept.data_dir / "none")
            assert (code, f"{export}.checkpoints.jsonl" in said) == (SOUND, True), said
            assert "The public keys are those next to the export" in said
            assert kept.verify()[0] == SOUND, "nor is the database"
    finally:
        stop.set()
        writer.join()


def test_an_export_of_a_part_or_without_checkpoints_says_what_it_lacks(kept: Kept, tmp_path: Path) -> None:
    part = kept.export("--project", PROJECT)
    alone = kept.lineal("verify", "--export", part, "--data-dir", kept.data_dir / "none")
    assert (alone[0], alone[1][:31]) == (SOUND, "Sound: a part of the audit log ")
    options: list[str | Path] = ["--database-url", kept.cluster.app_url, "--data-dir", tmp_path / "nothing"]
    code, said = kept.lineal("export", "--output", part, *options)
    assert (code, "so none were written next to the export" in said) == (0, True)
    assert kept.lineal("verify", "--export", part, "--data-dir", kept.data_dir / "none")[0] == NO_VERDICT
    code, said = kept.lineal("export", "--output", tmp_path / "none", "--project", "proj_none", *options)
    assert (code, "The audit log has no events of --project proj_none." in said) == (1, True), said
    assert not (tmp_path / "none").exists()
    part = kept.export("--project", PROJECT)
    (tmp_path / "none").write_bytes(part.read_bytes().splitlines(keepends=True)[0])
    code, said = kept.lineal("verify", "--export", tmp_path / "none", "--data-dir", kept.data_dir)
    assert (code, "holds no events" in said) == (NO_VERDICT, True), said


# ----------------------------------------------------------------------------------------- several servers


def test_checkpoints_of_another_server_are_asked_for(kept: Kept, tmp_path: Path) -> None:
    other = replace(kept, data_dir=tmp_path / "second")
    assert other.checkpoint()
    theirs = key_id(public_key(other.data_dir / "audit-public-key.pem"))
    code, said = kept.verify()
    assert (code, f"also records checkpoints that the key {theirs} signed" in said) == (NO_VERDICT, True), said
    files = [kept.checkpoints, other.checkpoints]
    keys = [each.data_dir / "audit-public-key.pem" for each in (kept, other)]
    named: list[str | Path] = [
        option
        for pair in zip(files, keys, strict=True)
        for option in ("--checkpoints", pair[0], "--public-key", pair[1])
    ]
    assert verify(kept, *named)[0] == SOUND


async def test_a_newcomer_who_verifies_after_the_start_gets_a_verdict() -> None:
    async with lineal(size=1) as live:
        process = await asyncio.create_subprocess_exec(
            *(str(LINEAL), "audit", "verify", "--data-dir", str(live.data_dir)), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert process.returncode == SOUND, said


# ------------------------------------------------------------------------------------------- earlier releases


def test_checkpoints_of_an_earlier_release_are_continued_and_verified(kept: Kept) -> None:
    """Their lines name no key, and the audit log does not tell of them."""
    key, previous, lines = signing_key(kept.data_dir), None, b""
    for number, line in enumerate(kept.lines(), start=1):
        content = {name: value for name, value in json.loads(line).items() if name not in ("key", "signature")}
        content |= {"number": number, "previous": previous}
        content["heads"].pop("checkpoints", None)
        signature = b64encode(key.sign(rfc8785.dumps(content))).decode()
        old = rfc8785.dumps(content | {"signature": signature}) + b"\n"
        lines, previous = lines + old, sha256(old).hexdigest()
    kept.checkpoints.write_bytes(lines)
    kept.tamper(*(f"DELETE FROM {table} WHERE chain = 'checkpoints'" for table in ("audit_events", "audit_chains")))
    assert kept.verify()[0] == SOUND
    kept.append()
    made = kept.checkpoint()
    assert made
    assert (made.number, made.missing) == (4, None)
    code, said = kept.verify()
    assert (code, "It was held against 4 checkpoints" in said) == (SOUND, True), said
    assert rotate(kept)[0] == 0
    assert kept.verify()[0] == SOUND
