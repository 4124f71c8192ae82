"""What all tests stand on: one database cluster a run, a template of the migrated schema, and a registry to ask."""

import base64
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from server.app import make_app
from server.ops import key_commands
from server.settings import Settings
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.sealing import Sealing
from storage.vocabulary import PrincipalKind

# What webhook secrets are sealed with in all tests.
SECRETS_KEY = base64.b64encode(bytes(range(32))).decode()
SEALING = Sealing(SECRETS_KEY, Path("secrets-key"))
EXTERNAL = os.environ.pop("LINEAL_DATABASE_URL", "")
for _name in [name for name in os.environ if name.startswith("LINEAL_")]:
    # The suite's own settings, not those of the shell that runs it.
    del os.environ[_name]


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL with an owner role and an app role, where databases can be made."""

    superuser_url: str
    owner_url: str
    app_url: str

    def database(self, name: str) -> "Cluster":
        def within(url: str) -> str:
            return make_url(url).set(database=name).render_as_string(hide_password=False)

        return Cluster(within(self.superuser_url), within(self.owner_url), within(self.app_url))


async def run_sql(url: str, *statements: str) -> None:
    connection = await connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


@pytest.fixture(scope="session")
def cluster_source() -> Iterator[Cluster | str]:
    if EXTERNAL:
        yield EXTERNAL
        return
    # Not pytest's own folder: it is closed to the user that PostgreSQL runs as when the suite runs as root.
    with (
        tempfile.TemporaryDirectory(prefix="lineal-test-") as folder,
        # Some twenty apps stay open until the end, each with its connections.
        EmbeddedPostgres(Path(folder), max_connections=400) as postgres,
    ):
        yield Cluster(postgres.superuser_url, postgres.owner_url, postgres.app_url)


@pytest_asyncio.fixture(scope="session")
async def cluster(cluster_source: Cluster | str) -> AsyncIterator[Cluster]:
    if isinstance(cluster_source, Cluster):
        yield cluster_source
        return
    tag, password = secrets.token_hex(4), secrets.token_hex(16)
    owner, app = f"lineal_owner_{tag}", f"lineal_app_{tag}"
    roles = [f"CREATE ROLE {role} LOGIN PASSWORD '{password}'" for role in (owner, app)]
    await run_sql(cluster_source, *roles, f"GRANT {owner} TO current_user")

    def as_role(role: str) -> str:
        return make_url(cluster_source).set(username=role, password=password).render_as_string(hide_password=False)

    yield Cluster(cluster_source, as_role(owner), as_role(app))
    await run_sql(cluster_source, *(f"DROP OWNED BY {role}" for role in (owner, app)), f"DROP ROLE {owner}, {app}")


@pytest_asyncio.fixture(scope="session")
async def template(cluster: Cluster) -> AsyncIterator[str]:
    """The name of a migrated, empty database that others are copied from."""
    name = f"lineal_template_{secrets.token_hex(4)}"
    owner = make_url(cluster.owner_url).username
    # The embedded server orders text by code point; so shall another.
    order = "LOCALE 'C.UTF-8'" if EXTERNAL else ""
    made = f"CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' {order}"
    await run_sql(cluster.superuser_url, made)
    within = cluster.database(name)
    await run_sql(within.superuser_url, f"ALTER SCHEMA public OWNER TO {owner}")
    await migrate(within.owner_url, within.app_url)
    yield name
    await run_sql(cluster.superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture(scope="session")
async def make_database(cluster: Cluster, template: str) -> AsyncIterator[Callable[[], Any]]:
    """Makes a migrated database of its own, for tests that need the whole registry or break it."""
    made = []

    async def make() -> Cluster:
        name = f"lineal_{secrets.token_hex(6)}"
        await run_sql(cluster.superuser_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        return cluster.database(name)

    yield make
    await run_sql(cluster.superuser_url, *(f"DROP DATABASE {name} WITH (FORCE)" for name in made))


@pytest_asyncio.fixture(scope="session")
async def database(make_database: Callable[[], Any]) -> Cluster:
    """The database that most tests share, each with a project of its own."""
    made: Cluster = await make_database()
    return made


async def make_key(app_url: str, email: str = "ana@example.com", **wanted: Any) -> str:
    """A person's key: of one who administers the instance, or who has a `role` in a `project`."""
    known: dict[str, Any] = {"kind": PrincipalKind.USER, "administers": "role" not in wanted}
    return await key_commands.make_key(app_url, "test", email, **(known | wanted))


@dataclass(frozen=True)
class Registry:
    """A caller of the API."""

    client: httpx.AsyncClient
    key: str

    async def send(self, query: str, **variables: Any) -> httpx.Response:
        return await self.client.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {self.key}", "Accept": "application/graphql-response+json"},
        )

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must not be refused."""
        answer = (await self.send(query, **variables)).json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def refusal(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one error of an operation that must be refused: its extensions, and its message."""
        answer = (await self.send(query, **variables)).json()
        assert len(answer.get("errors", ())) == 1, answer
        error = answer["errors"][0]
        return {**error["extensions"], "message": error["message"]}

    def with_key(self, key: str) -> "Registry":
        return replace(self, key=key)


@pytest_asyncio.fixture(scope="session")
async def make_registry() -> AsyncIterator[Callable[..., Any]]:
    """Opens an app on a database, in this process, and answers a caller with a key for all of it."""
    opened = []

    async def make(database: Cluster, **settings: Any) -> Registry:
        usual: dict[str, Any] = {"secrets_key": SECRETS_KEY, "webhooks_per_project": 1_000, "webhook_private": True}
        app = make_app(Settings(database_url=database.app_url, **(usual | settings)))
        lifespan = app.app.router.lifespan_context(app.app)  # type: ignore[attr-defined]
        await lifespan.__aenter__()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        opened.append((client, lifespan))
        return Registry(client, await make_key(database.app_url))

    yield make
    for client, lifespan in opened:
        await client.aclose()
        await lifespan.__aexit__(None, None, None)


@pytest_asyncio.fixture(scope="session")
async def registry(database: Cluster, make_registry: Callable[..., Any]) -> Registry:
    made: Registry = await make_registry(database)
    return made


@pytest_asyncio.fixture
async def project(registry: Registry) -> str:
    """A new, empty project, where one person may do everything."""
    return await make_project(registry)


async def make_project(registry: Registry, **policy: Any) -> str:
    made = await registry.ask('mutation { createProject(input: {name: "Test"}) { project { id } } }')
    id_ = str(made["createProject"]["project"]["id"])
    asked = {"projectId": id_, "allowSelfApproval": True} | policy
    await registry.ask(POLICY, input=asked)
    return id_


POLICY = "mutation($input: UpdateProjectPolicyInput!) { updateProjectPolicy(input: $input) { project { id } } }"
CONFIRM = "mutation($input: ConfirmPolicyChangeInput!) { confirmPolicyChange(input: $input) { change { status } } }"
PENDING = "query($id: ID!) { project(id: $id) { policy { pendingChanges { id field requestedBy } } } }"
