"""The embedded PostgreSQL through kills, restarts, strange folders and other accounts."""

import asyncio
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from storage.binaries import bundled_bin, processes_in
from storage.embedded import EmbeddedPostgres, EmbeddedUnavailable

ROOT = Path(__file__).parent.parent
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about what root's PostgreSQL may not see")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and the death signal of Linux")

BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

SERVE = """
import sys, time
from pathlib import Path
from storage.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.owner_url, flush=True)
time.sleep(float(sys.argv[2]))
server.stop()
"""


def ask(url: str, statement: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def eventually(met: Callable[[], Any], within: float = 15.0) -> Any:
    deadline = time.monotonic() + within
    while True:
        try:
            if answer := met():
                return answer
        except BROKEN:
            pass
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.02)


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; one that its new parent has yet to reap (a zombie) does not."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return status.strip() == "" or status.startswith("Z")


def socket_folder_of(data_dir: Path) -> Path:
    return Path((data_dir / "socket-folder").read_text())


def put_row(url: str) -> None:
    ask(url, "CREATE TABLE kept AS SELECT 7 AS number")


def serve(data_dir: Path, *command: str, seconds: float = 60) -> subprocess.Popen[str]:
    """A process with an embedded PostgreSQL; its first line is the owner's URL."""
    program = [*command, sys.executable, "-c", SERVE, str(data_dir), str(seconds)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout and process.stderr
    return process.stdout.readline().strip() or pytest.fail(process.stderr.read())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped data folder with a row in it, to be copied by the tests that do not care how it was made."""
    data_dir = tmp_path_factory.mktemp("made") / "data"
    with EmbeddedPostgres(data_dir) as server:
        put_row(server.owner_url)
    return data_dir


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    subprocess.run(["cp", "-a", made, copy], check=True)
    return copy


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(data_dir) as running:
        yield running


def test_a_second_start_keeps_the_data_and_the_passwords(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    with EmbeddedPostgres(data_dir) as first:
        put_row(first.owner_url)
        password = first.app_url.split("@")[0]
    with EmbeddedPostgres(data_dir) as second:
        assert ask(second.owner_url, "SELECT number FROM kept") == 7
        assert second.app_url.split("@")[0] == password


def test_the_folder_and_the_secrets_in_it_are_private(server: EmbeddedPostgres, made: Path) -> None:
    modes = {
        made: 0o700,
        made / "database-passwords": 0o600,
        made / "postgres.log": 0o600,
        made / "postgres": 0o700,
        socket_folder_of(server.data_dir): 0o700,
    }
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes


def test_the_server_is_durable_speaks_utf8_and_lives_in_utc(server: EmbeddedPostgres) -> None:
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "password_encryption": "scram-sha-256",
        "jit": "off",
    }
    assert {name: ask(server.app_url, f"SHOW {name}") for name in expected} == expected


def test_every_login_needs_its_password(server: EmbeddedPostgres) -> None:
    role, rest = server.superuser_url.split("@")
    for wrong in (f"{role}x@{rest}", server.owner_url.replace("lineal_owner:", "lineal_app:")):
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(wrong, "SELECT 1")


def test_the_owner_owns_the_database_and_its_schema_but_is_no_superuser(server: EmbeddedPostgres) -> None:
    role = (
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles WHERE rolname = current_user"
    )
    database = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert ask(server.owner_url, role) is False
    assert ask(server.owner_url, database) == "lineal_owner"
    assert ask(server.owner_url, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'") == (
        "lineal_owner"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE other",
        "CREATE DATABASE other",
        "CREATE SCHEMA other",
        "CREATE TABLE public.other (number int)",
        "CREATE TABLE pg_catalog.other (number int)",
        "CREATE TEMPORARY TABLE other (number int)",
        "SELECT * FROM kept",
        "SET ROLE lineal_owner",
        "ALTER ROLE lineal_app SUPERUSER",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
def test_the_app_role_may_not(server: EmbeddedPostgres, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        ask(server.app_url, statement)


def test_the_app_role_reaches_no_other_database(server: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        ask(server.app_url.replace("/lineal?", "/postgres?"), "SELECT 1")


def test_a_second_server_on_the_folder_is_refused_at_once(server: EmbeddedPostgres) -> None:
    began = time.monotonic()
    with pytest.raises(EmbeddedUnavailable, match=r"Another Lineal already uses .*data: stop it, or .*--data-dir"):
        EmbeddedPostgres(server.data_dir).start()
    assert time.monotonic() - began < 1
    assert ask(server.app_url, "SELECT 1") == 1


def test_stopping_leaves_no_process_and_no_socket_folder(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    sockets, pid = socket_folder_of(data_dir), postmaster(data_dir)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    stopper.join(20)
    server.stop()
    assert not sockets.exists() and not (data_dir / "socket-folder").exists()
    assert processes_in(data_dir / "postgres") == [] or sys.platform != "linux"
    assert has_ended(pid)
    server.start()
    server.stop()


def test_stopping_does_not_wait_for_open_connections(server: EmbeddedPostgres) -> None:
    async def sleep_until_stopped() -> float:
        connection = await asyncpg.connect(server.app_url)
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await asyncio.to_thread(server.stop)
        took = time.monotonic() - began
        with pytest.raises(BROKEN):
            await sleeping
        return took

    assert asyncio.run(sleep_until_stopped()) < 10


@on_linux
def test_stopping_ends_a_server_that_is_frozen(server: EmbeddedPostgres, data_dir: Path) -> None:
    async def stop_with_a_frozen_backend() -> float:
        connection = await asyncpg.connect(server.app_url)
        frozen = [pid for pid in processes_in(data_dir / "postgres") if pid]
        assert len(frozen) > 2
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        await asyncio.to_thread(server.stop)
        took = time.monotonic() - began
        eventually(lambda: all(map(has_ended, frozen)))
        connection.terminate()
        return took

    assert asyncio.run(stop_with_a_frozen_backend()) < 11


def test_a_killed_postmaster_comes_back_with_every_acknowledged_row(
    server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    ask(server.owner_url, "CREATE TABLE acknowledged AS SELECT 1 AS number")
    killed, url = postmaster(server.data_dir), server.owner_url
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: ask(url, "SELECT number FROM acknowledged")) == 1
    assert postmaster(server.data_dir) != killed
    eventually(lambda: "PostgreSQL is back." in caplog.messages)


def test_a_postmaster_killed_again_and_again_comes_back_each_time(server: EmbeddedPostgres) -> None:
    for _ in range(3):
        killed = postmaster(server.data_dir)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: ask(server.app_url, "SELECT 1") and postmaster(server.data_dir) != killed)  # noqa: B023


def test_a_killed_backend_of_a_busy_server_is_survived(server: EmbeddedPostgres) -> None:
    async def kill_own_backend() -> None:
        connection = await asyncpg.connect(server.owner_url)
        os.kill(connection.get_server_pid(), signal.SIGKILL)
        with pytest.raises(BROKEN):
            await connection.execute("SELECT pg_sleep(5)")

    asyncio.run(kill_own_backend())
    assert eventually(lambda: ask(server.owner_url, "SELECT number FROM kept")) == 7


@on_linux
def test_killing_the_parent_takes_postgres_along_and_the_next_start_works_at_once(data_dir: Path) -> None:
    parent = serve(data_dir)
    try:
        url = first_line(parent)
        ask(url, "CREATE TABLE acknowledged AS SELECT 1 AS number")
        orphan, stale = postmaster(data_dir), socket_folder_of(data_dir)
    finally:
        end(parent)
    began = time.monotonic()
    with EmbeddedPostgres(data_dir) as server:
        assert time.monotonic() - began < 10
        assert ask(server.owner_url, "SELECT number FROM acknowledged") == 1
        assert not stale.exists()
        assert has_ended(orphan)


@on_linux
@pytest.mark.parametrize("after", [0.1, 0.25, 0.4, 0.55, 0.7, 0.9])
def test_a_first_start_that_is_killed_midway_does_not_poison_the_folder(tmp_path: Path, after: float) -> None:
    parent = serve(tmp_path / "data")
    eventually((tmp_path / "data").exists)
    time.sleep(after)
    end(parent)
    with EmbeddedPostgres(tmp_path / "data") as server:
        assert ask(server.app_url, "SELECT 1") == 1
    assert not list((tmp_path / "data").glob("postgres.new-*"))


@on_linux
def test_a_stale_pid_file_with_the_number_of_another_process_is_no_obstacle(data_dir: Path) -> None:
    account = (data_dir / "postgres").stat()
    identity: dict[str, Any] = {"user": account.st_uid, "group": account.st_gid} if os.geteuid() == 0 else {}
    other = subprocess.Popen(["sleep", "60"], **identity)
    try:
        for pid in (os.getpid(), other.pid):
            stale = data_dir / "postgres" / "postmaster.pid"
            stale.write_text(f"{pid}\n{data_dir}/postgres\n1700000000\n5432\n/tmp\n\n 1 1\nready   \n")
            os.chown(stale, account.st_uid, account.st_gid)
            with EmbeddedPostgres(data_dir) as server:
                assert ask(server.owner_url, "SELECT number FROM kept") == 7
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_data_folder_with_a_very_long_path_works(data_dir: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "ü and blanks" / ("e" * 120)
    deep.parent.mkdir(parents=True)
    data_dir.rename(deep)
    with EmbeddedPostgres(deep) as server:
        assert ask(server.owner_url, "SELECT number FROM kept") == 7
        assert len(f"{socket_folder_of(deep)}/.s.PGSQL.5432") < 100


@pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="needs Debian's PostgreSQL 15")
def test_another_installation_of_postgres_15_serves_too(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", pg_bin=DEBIAN_15) as server:
        assert ask(server.app_url, "SHOW server_version").startswith("15.")
        assert ask(server.app_url, "SELECT lower('ÄÉ')") == "äé"
    with pytest.raises(EmbeddedUnavailable, match=r"was made by PostgreSQL 15.*holds PostgreSQL 18.*LINEAL_PG_BIN"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_folder_without_programs_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedUnavailable, match=f"programs in {tmp_path} do not run.*LINEAL_PG_BIN"):
        EmbeddedPostgres(tmp_path / "data", pg_bin=tmp_path).start()


def test_missing_passwords_are_named_and_nothing_is_made_in_their_place(data_dir: Path) -> None:
    (data_dir / "database-passwords").unlink()
    with pytest.raises(EmbeddedUnavailable, match="database-passwords is missing"):
        EmbeddedPostgres(data_dir).start()
    assert not (data_dir / "database-passwords").exists()


def test_a_broken_setting_is_told_in_the_words_of_postgres(data_dir: Path) -> None:
    with (data_dir / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedUnavailable, match=r'did not start: .*FATAL: .*postgresql.conf" contains errors'):
        EmbeddedPostgres(data_dir).start()


def test_the_log_is_bounded(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.data_folder.LARGEST_LOG", 2000)
    log = server.data_dir / "postgres.log"
    for number in range(40):
        with pytest.raises(asyncpg.PostgresError):
            ask(server.app_url, f"SELECT no_such_column_{number}")
    eventually(lambda: log.with_name("postgres.log.1").exists() and log.stat().st_size < 2000)
    assert ask(server.app_url, "SELECT 1") == 1


def copied_wheel(target: Path) -> Path:
    """The programs as they lie in an environment: the package and, beside it, its libraries."""
    package = bundled_bin().parent.parent
    shutil.copytree(package / "pginstall18", target / package.name / "pginstall18")
    shutil.copytree(package.with_name(f"{package.name}.libs"), target / f"{package.name}.libs")
    return target / package.name / "pginstall18" / "bin"


@as_root
@on_linux
def test_root_may_keep_data_and_programs_where_nobody_else_can_go(tmp_path: Path) -> None:
    closed = tmp_path / "root"
    closed.mkdir(mode=0o700)
    pg_bin = copied_wheel(closed / "venv")
    with EmbeddedPostgres(closed / "data", pg_bin=pg_bin) as server:
        put_row(server.owner_url)
        assert Path(f"/proc/{postmaster(closed / 'data')}").stat().st_uid != 0
        assert (socket_folder_of(closed / "data") / "programs").is_dir()
        os.kill(postmaster(closed / "data"), signal.SIGKILL)
        eventually(lambda: ask(server.owner_url, "SELECT number FROM kept") == 7)
    with EmbeddedPostgres(closed / "data", pg_bin=pg_bin) as server:
        assert ask(server.owner_url, "SELECT number FROM kept") == 7
    assert (closed.stat().st_uid, stat.S_IMODE(closed.stat().st_mode)) == (0, 0o700)
    assert (closed / "data").stat().st_uid == 0


@as_root
@on_linux
def test_root_may_name_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAL_PG_USER", "nobody")
    with EmbeddedPostgres(tmp_path / "data"):
        assert Path(f"/proc/{postmaster(tmp_path / 'data')}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    monkeypatch.setenv("LINEAL_PG_USER", "no-such-user")
    with pytest.raises(EmbeddedUnavailable, match=r"no user no-such-user.*LINEAL_PG_USER"):
        EmbeddedPostgres(tmp_path / "other").start()
    with EmbeddedPostgres(tmp_path / "data"):  # who made the cluster keeps it
        assert (tmp_path / "data" / "postgres").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@as_root
@on_linux
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv to become an ordinary user")
def test_an_ordinary_user_starts_and_stops_and_dies(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = Path(tempfile.mkdtemp(prefix="lineal-test-"))
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    become = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    if subprocess.run([*become, sys.executable, "-c", "import asyncpg"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("needs an environment that an ordinary user can read")
    try:
        killed = serve(home / "data", *become)
        put_row(first_line(killed))
        orphan = postmaster(home / "data")
        end(killed)
        stopped = serve(home / "data", *become, seconds=0.5)
        assert ask(first_line(stopped), "SELECT number FROM kept") == 7
        assert postmaster(home / "data") != orphan
        assert (home / "data" / "postgres").stat().st_uid == nobody.pw_uid
        assert stopped.wait(20) == 0 and not (home / "data" / "socket-folder").exists()
        end(stopped)
    finally:
        shutil.rmtree(home)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", disk]).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill_the_wal(url: str) -> int:
    """Commit numbered rows, each with a megabyte of log, until the server fails; the last number acknowledged."""

    async def write() -> int:
        connection, number = await asyncpg.connect(url), 0
        with pytest.raises(BROKEN):
            while number < 500:
                await connection.execute(
                    f"INSERT INTO acknowledged VALUES ({number + 1}); "
                    "SELECT pg_logical_emit_message(true, 'fill', repeat('x', 1000000))"
                )
                number += 1
        return number

    return asyncio.run(write())


@on_linux
def test_a_full_disk_is_survived_once_there_is_space_again(
    small_disk: Path, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    subprocess.run(["cp", "-a", data_dir, small_disk / "data"], check=True)
    with EmbeddedPostgres(small_disk / "data") as server:
        inside = server.superuser_url.replace("/postgres?", "/lineal?")
        ask(inside, "CREATE TABLE acknowledged (number int)")
        free = os.statvfs(small_disk)
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 24_000_000))
        acknowledged = fill_the_wal(inside)
        eventually(lambda: "ended unexpectedly" in caplog.text)
        filler.unlink()
        assert eventually(lambda: ask(inside, "SELECT max(number) FROM acknowledged")) >= acknowledged > 0
        assert ask(inside, "SELECT count(*) = max(number) FROM acknowledged")
