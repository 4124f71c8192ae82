"""What a server process carries: never the way in of the role that owns the tables."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from server.ops.owner_url import without_owner_url
from storage.data_folder import OWNER, SUPERUSER, database_passwords
from tests.conftest import Cluster
from tests.support.live import OK, Live, eventually, lineal

KNOWN_TO_OWNER = "only-the-owner-knows-this"


def shown(pid: int) -> bytes:
    """What the kernel shows of how a process was started, to its user or to everybody."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return b"".join(Path(f"/proc/{pid}/{file}").read_bytes() for file in ("environ", "cmdline"))
    return b""


def carriers(live: Live, secret: str) -> list[int]:
    return [pid for pid in live.processes if secret.encode() in shown(pid)]


async def with_owner(made: Cluster) -> Cluster:
    """The same database with a password of the owner's that appears nowhere else."""
    role = make_url(made.owner_url).username
    name = f"{role}_{os.getpid()}"
    admin = await asyncpg.connect(made.superuser_url)
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{KNOWN_TO_OWNER}' IN ROLE {role}")
    await admin.close()
    url = make_url(made.owner_url).set(username=name, password=KNOWN_TO_OWNER)
    return Cluster(made.superuser_url, url.render_as_string(hide_password=False), made.app_url)


@pytest.fixture
async def owned(make_database: Callable[[], Any]) -> Any:
    made = await with_owner(await make_database())
    yield made
    admin = await asyncpg.connect(made.superuser_url)
    await admin.execute(f"DROP ROLE {make_url(made.owner_url).username}")
    await admin.close()


async def test_no_process_of_a_server_carries_the_owners_url(owned: Cluster) -> None:
    async with lineal(owned) as live:
        assert len(live.workers) == 2
        assert carriers(live, KNOWN_TO_OWNER) == []
        assert not [pid for pid in live.workers if b"LINEAL_OWNER_URL" in shown(pid)]
        assert b"LINEAL_DATABASE_URL=" in shown(live.workers[0]), "the process can be looked into"
        first = live.workers[0]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: len(live.workers) == 2 and first not in live.workers)
        assert carriers(live, KNOWN_TO_OWNER) == []
        await eventually(live.is_ready)
        for _ in range(8):
            assert (await live.send('mutation { createProject(input: {name: "A"}) { project { id } } }')).code == OK


async def test_an_owners_url_on_the_command_line_is_not_shown_either(owned: Cluster) -> None:
    without = Cluster(owned.superuser_url, "", owned.app_url)
    async with lineal(without, started=False) as live:
        await live.start("--owner-url", owned.owner_url)
        assert carriers(live, KNOWN_TO_OWNER) == []
        assert b"--owner-url" in shown(live.parent)
        await live.stop()
        await live.start()  # what is migrated already is served without the owner
        assert (await live.send("{ projects(first: 1) { totalCount } }")).code == OK


async def test_the_embedded_databases_passwords_are_not_in_the_surroundings_of_any_process() -> None:
    async with lineal() as live:
        assert live.postmasters
        passwords = database_passwords(live.data_dir / "database-passwords")
        for role in (OWNER, SUPERUSER):
            assert carriers(live, passwords[role]) == []


def test_the_option_of_the_owners_url_is_taken_out_of_the_arguments() -> None:
    given = ["lineal", "serve", "--owner-url", "postgresql://o", "--port", "0", "--owner-url=postgresql://p"]
    assert without_owner_url(given) == ["lineal", "serve", "--port", "0"]
    assert without_owner_url(["lineal", "serve", "--owner-url"]) == ["lineal", "serve"]
