"""Webhook secrets are encrypted with a key that is not in the database."""

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from standardwebhooks import Webhook as Verifier

from resolvers.webhooks import bound_to
from server.ops.bootstrap import prepare
from server.ops.sealed_secrets import seal_anew, seal_clear_secrets
from server.settings import Settings
from storage.engine import short_engine
from storage.sealing import Sealing, SealingUnusable, id_in, key_file, new_key
from tests.conftest import SECRETS_KEY, Cluster, Registry, connect, make_project, run_sql
from tests.support.live import LINEAL
from tests.support.receivers import MAKE, fine, happen, listen, receiving, send_due, sending

CLEAR = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOBODY = "http://127.0.0.1:9/nobody"


async def values_of(database: Cluster) -> str:
    """Every value of every table, as text."""
    connection = await connect(database.superuser_url)
    tables = await connection.fetch("SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'")
    texts = [await connection.fetchval(f"SELECT json_agg(t)::text FROM {row['name']} t") or "" for row in tables]
    await connection.close()
    return "\n".join(texts)


async def make_clear(database: Cluster, project: str, url: str) -> str:
    """A webhook as an earlier version kept it."""
    id_ = f"whk_{project[5:]}"
    await run_sql(
        database.owner_url,
        "INSERT INTO webhooks (id, project_id, url, actions, secret, active, position, created_by) SELECT"
        f" '{id_}', '{project}', '{url}', '{{version.created}}', '{CLEAR}', true, coalesce(max(position), 0), 'a@b'"
        f" FROM audit_feed WHERE project_id = '{project}'",
    )
    return id_


def settings_for(database: Cluster, folder: Path, **more: Any) -> Settings:
    return Settings(database_url=database.app_url, owner_url=database.owner_url, data_dir=folder, **more)


async def test_clear_secrets_are_encrypted_at_the_start_and_verify_as_before(
    make_database: Callable[[], Any], make_registry: Callable[..., Any], tmp_path: Path
) -> None:
    database: Cluster = await make_database()
    registry: Registry = await make_registry(database, secrets_key="", data_dir=tmp_path, webhook_private=True)
    project = await make_project(registry)
    async with receiving(fine) as receiver:
        await make_clear(database, project, receiver.url)
        assert CLEAR in await values_of(database)
        # Several processes that start together.
        await asyncio.gather(*(prepare(settings_for(database, tmp_path), serves=True) for _ in range(4)))
        found = await values_of(database)
        assert CLEAR not in found and "whsec_" not in found
        assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
        await happen(registry, project)
        async with sending(database) as sender:
            sender.sealing = Sealing("", key_file(tmp_path))
            await send_due(sender)
    headers, body = receiver.got[0]
    Verifier(CLEAR).verify(body, headers)


async def test_a_new_secret_is_nowhere_in_the_database(registry: Registry, database: Cluster, project: str) -> None:
    made = await listen(registry, project, NOBODY)
    assert made["secret"].startswith("whsec_")
    found = await values_of(database)
    assert made["secret"] not in found and made["secret"].removeprefix("whsec_") not in found


async def test_a_sealed_secret_opens_in_its_own_row_only(registry: Registry, database: Cluster, project: str) -> None:
    made = [await listen(registry, project, NOBODY) for _ in range(2)]
    ids = [each["webhook"]["id"] for each in made]
    connection = await connect(database.owner_url)
    rows = {row["id"]: row["secret"] for row in await connection.fetch("SELECT id, secret FROM webhooks")}
    sealing = Sealing(SECRETS_KEY, Path("none"))
    assert sealing.open(rows[ids[0]], bound_to(ids[0])) == made[0]["secret"]
    with pytest.raises(SealingUnusable, match="another row"):
        sealing.open(rows[ids[0]], bound_to(ids[1]))
    # Swapped, they sign nothing.
    await connection.execute("UPDATE webhooks SET secret = $2 WHERE id = $1", ids[1], rows[ids[0]])
    await connection.execute("UPDATE webhooks SET active = false WHERE id = $1", ids[0])
    await connection.close()
    await happen(registry, project)
    async with receiving(fine) as receiver, sending(database) as sender:
        await run_sql(database.owner_url, f"UPDATE webhooks SET url = '{receiver.url}' WHERE id = '{ids[1]}'")
        await send_due(sender)
        assert receiver.got == []
    listed = await registry.ask(
        "query($id: ID!) { project(id: $id) { webhooks { id deliveries(first: 1) { nodes { error } } } } }", id=project
    )
    (swapped,) = [each for each in listed["project"]["webhooks"] if each["id"] == ids[1]]
    assert "cannot be decrypted" in swapped["deliveries"]["nodes"][0]["error"]


async def test_without_the_key_nothing_is_sent_and_readyz_says_so(
    make_database: Callable[[], Any], make_registry: Callable[..., Any], tmp_path: Path
) -> None:
    database: Cluster = await make_database()
    registry: Registry = await make_registry(database, data_dir=tmp_path, webhook_private=True)
    assert "webhooks" not in (await registry.client.get("/readyz")).json()["details"]
    project = await make_project(registry)
    other: Registry = (await make_registry(database, secrets_key="", data_dir=tmp_path)).with_key(registry.key)
    async with receiving(fine) as receiver:
        await listen(registry, project, receiver.url, actions=["version.created"])
        await happen(registry, project)
        async with sending(database) as sender:
            sender.sealing = Sealing("", key_file(tmp_path))
            await send_due(sender)
            assert receiver.got == []
            # Another server's start makes no key of its own beside one that is in use.
            await prepare(settings_for(database, tmp_path), serves=True)
            assert not key_file(tmp_path).exists()
            said = (await other.client.get("/readyz")).json()
            assert said["status"] == "ready" and "does not have the key" in said["details"]["webhooks"]
            refusal = await other.refusal(MAKE, input={"projectId": project, "url": "https://example.com"})
            assert (refusal["code"], "no usable key" in refusal["message"]) == ("UNAVAILABLE", True)
            # With another key, what was sealed with the first still waits.
            sender.sealing = Sealing(new_key(), Path("none"))
            await send_due(sender)
            assert receiver.got == []
            key_file(tmp_path).write_text(f"{SECRETS_KEY}\n")
            sender.sealing = Sealing("", key_file(tmp_path))
            await send_due(sender)
            assert len(receiver.got) == 1
    assert "webhooks" not in (await other.client.get("/readyz")).json()["details"]
    key_file(tmp_path).write_text("nonsense\n")
    said = (await other.client.get("/readyz")).json()
    assert "secrets-key holds a key that cannot be used" in said["details"]["webhooks"]


async def test_secrets_are_encrypted_anew_with_a_new_key_by_a_command(
    make_database: Callable[[], Any], make_registry: Callable[..., Any], tmp_path: Path
) -> None:
    database: Cluster = await make_database()
    settings = settings_for(database, tmp_path)
    await prepare(settings)
    assert not key_file(tmp_path).exists()
    await prepare(settings, serves=True)
    registry: Registry = await make_registry(database, secrets_key="", data_dir=tmp_path, webhook_private=True)
    project = await make_project(registry)
    made = await listen(registry, project, NOBODY)
    file = key_file(tmp_path)
    (old,) = file.read_text().split()
    options = ["--database-url", database.app_url, "--owner-url", database.owner_url, "--data-dir", str(tmp_path)]
    code, said = await command("rotate-key", *options)
    assert (code, "secrets of 1 webhooks" in said) == (0, True), said
    new, kept = file.read_text().split()
    assert kept == old != new and stat.S_IMODE(file.stat().st_mode) == 0o600
    # The old key is no longer needed, and a server that runs has noticed.
    file.write_text(f"{new}\n")
    assert Sealing("", file).open(await secret_in(database, project), bound_to(made["webhook"]["id"])) == made["secret"]
    second = await listen(registry, project, NOBODY)
    assert second["secret"] != made["secret"]
    code, said = await command("reencrypt", *options)
    assert (code, "secrets of 0 webhooks" in said) == (0, True), said
    file.unlink()
    code, said = await command("reencrypt", *options)
    assert code == 1 and "LINEAL_SECRETS_KEY" in said


async def command(*arguments: str) -> tuple[int | None, str]:
    """The exit code of `lineal secrets`, and what it said."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(LINEAL, "secrets", *arguments, stdout=pipe, stderr=pipe)
    said = b"".join(await process.communicate()).decode()
    return process.returncode, said


async def secret_in(database: Cluster, project: str) -> str:
    connection = await connect(database.owner_url)
    found: str = await connection.fetchval("SELECT secret FROM webhooks WHERE project_id = $1", project)
    await connection.close()
    return found


async def test_a_secret_in_its_overlap_is_encrypted_anew_too(
    registry: Registry, database: Cluster, project: str
) -> None:
    made = await listen(registry, project, NOBODY)
    rotate = "mutation($input: RotateWebhookSecretInput!) { rotateWebhookSecret(input: $input) { secret } }"
    await registry.ask(rotate, input={"webhookId": made["webhook"]["id"]})
    keys = new_key(), SECRETS_KEY
    sealing = Sealing(",".join(keys), Path("none"))
    async with short_engine(database.app_url) as engine, AsyncSession(engine) as session, session.begin():
        assert await seal_anew(session, sealing) >= 1
        assert await seal_clear_secrets(session, sealing) == 0
        row = await session.connection()
        found = (await row.exec_driver_sql(
            f"SELECT secret, previous_secret FROM webhooks WHERE project_id = '{project}'")).one()  # fmt: skip
        assert {id_in(each) for each in found} == {next(iter(sealing.keys))}
        assert sealing.open(found.previous_secret, bound_to(made["webhook"]["id"])) == made["secret"]
        await session.rollback()
