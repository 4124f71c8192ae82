"""A filled database with its checkpoints, and the commands that verify it."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import rfc8785
from click.testing import CliRunner

from server.audit.checkpointing import Checkpoints
from server.audit.checkpoints import Checkpoint
from server.ops import cli
from server.ops import options as settings_options
from server.ops.demo import PROJECT, fill
from server.settings import Settings
from storage.engine import short_engine
from tests.conftest import Cluster, connect, run_sql

SOUND, TAMPERED, BEHIND, NO_VERDICT = 0, 1, 2, 3


async def append(url: str, chain: str, *entries: dict[str, Any]) -> None:
    """The only way that these tests add events."""
    connection = await connect(url)
    try:
        for entry in entries:
            await connection.execute("SELECT audit_append($1, $2)", chain, [rfc8785.dumps(entry).decode()])
    finally:
        await connection.close()


def entry(action: str = "version.tagged", subject: str = "ver_1", **more: Any) -> dict[str, Any]:
    told = {"id": f"evt_{secrets.token_hex(8)}", "action": action, "actor": "ana@example.com", "subjectId": subject}
    return told | {"projectId": PROJECT, "notes": None, "details": {}, "requestId": "test"} | more


UNGUARDED = [
    f"ALTER TABLE {table} DISABLE TRIGGER {trigger}"
    for table, trigger in {
        "audit_events": "append_only",
        "audit_chains": "never_deleted",
        "stage_transitions": "append_only",
        "approvals": "append_only",
    }.items()
]


@dataclass(frozen=True)
class Kept:
    """A filled database, the data folder beside it, and the command that users run."""

    cluster: Cluster
    data_dir: Path

    def lineal(self, *arguments: str | Path) -> tuple[int, str]:
        given = ["audit", *map(str, arguments)]
        result = CliRunner().invoke(cli.main, given)
        return result.exit_code, result.output

    def verify(self, data_dir: Path | None = None) -> tuple[int, str]:
        return self.lineal("verify", "--database-url", self.cluster.app_url, "--data-dir", data_dir or self.data_dir)

    @property
    def where(self) -> tuple[str | Path, ...]:
        return "--database-url", self.cluster.app_url, "--data-dir", self.data_dir

    def chains_alone(self) -> tuple[int, str]:
        return self.lineal("verify", "--database-url", self.cluster.app_url, "--without-checkpoints")

    def export(self, *options: str) -> Path:
        file = self.data_dir / f"export-{secrets.token_hex(4)}.jsonl"
        code, said = self.lineal("export", *self.where, "--output", file, *options)
        assert code == 0, said
        return file

    def verify_offline(self, export: Path) -> tuple[int, str]:
        """With nothing but the export, the checkpoints and the public key."""
        trusted = ("--checkpoints", self.checkpoints, "--public-key", self.data_dir / "audit-public-key.pem")
        return self.lineal("verify", "--export", export, *trusted, "--data-dir", self.data_dir / "none")

    def verdicts(self) -> tuple[int, str]:
        """From the database and from an export of it, which must come out the same."""
        online, offline = self.verify(), self.verify_offline(self.export())
        assert online[0] == offline[0], (online, offline)
        return online

    @property
    def checkpoints(self) -> Path:
        return self.data_dir / "audit-checkpoints.jsonl"

    def lines(self) -> list[bytes]:
        return self.checkpoints.read_bytes().splitlines(keepends=True)

    def checkpoint(self) -> Checkpoint | None:
        return asyncio.run(write(self.data_dir, self.cluster.app_url))

    def append(self, count: int = 1, chain: str = PROJECT) -> None:
        asyncio.run(append(self.cluster.app_url, chain, *(entry() for _ in range(count))))

    def tamper(self, *statements: str) -> None:
        asyncio.run(
            run_sql(self.cluster.superuser_url, "SET session_replication_role = replica", *UNGUARDED, *statements)
        )


async def write(data_dir: Path, url: str) -> Checkpoint | None:
    async with short_engine(url) as engine:
        return await Checkpoints(data_dir).write(engine.connect)


@pytest_asyncio.fixture(scope="module")
async def sample(make_database: Callable[[], Any]) -> Cluster:
    made: Cluster = await make_database()
    await fill(Settings(database_url=made.app_url))
    return made


@contextmanager
def copied(cluster: Cluster, source: Cluster) -> Iterator[Cluster]:
    name = f"lineal_{secrets.token_hex(6)}"
    original = source.app_url.partition("?")[0].rpartition("/")[2]
    asyncio.run(run_sql(cluster.superuser_url, f"CREATE DATABASE {name} TEMPLATE {original}"))
    yield cluster.database(name)
    asyncio.run(run_sql(cluster.superuser_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty(cluster: Cluster, sample: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """No checkpoints yet."""
    monkeypatch.setattr(settings_options, "configure_logs", lambda *given: None)
    with copied(cluster, sample) as database:
        yield Kept(database, tmp_path)


@pytest.fixture
def kept(empty: Kept) -> Kept:
    """Three checkpoints, each with something new."""
    assert empty.checkpoint()
    for _ in range(2):
        empty.append(2)
        assert empty.checkpoint()
    return empty
