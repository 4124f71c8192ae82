"""Who gets in: keys, hosts, origins, how many at once, and what a key for one project reaches."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from schema import schema
from storage.secrets import new_secret
from tests.conftest import Cluster, Registry, make_key
from tests.support.asgi import app_of, asked, call, locked_projects
from tests.support.slow import READ, SLOW

PAGE = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "authorization": None}
ANYTHING = [
    "/graphql",
    "/graphql/",
    "/nothing",
    "/metrics",
    "/docs",
    "/graphiql",
    "/healthz/more",
    "//healthz",
    "/HEALTHZ",
]

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens here

# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("path", ANYTHING)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
async def test_without_a_key_nothing_is_told(registry: Registry, path: str, method: str) -> None:
    reply = await call(registry, asked(READ), method=method, path=path, headers={"authorization": None})
    assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="lineal"')
    assert reply.error()["code"] == "UNAUTHENTICATED"
    assert reply.error()["message"] == "The request has no API key. Send the header Authorization: Bearer lnl_..."
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/favicon.ico"])
async def test_what_tells_nothing_needs_no_key(registry: Registry, path: str) -> None:
    reply = await call(registry, method="GET", path=path, headers={"authorization": None})
    assert reply.status in (200, 204, 307)


async def test_graphiql_and_its_files_need_no_key(registry: Registry) -> None:
    reply = await call(registry, method="GET", headers=PAGE)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/html")
    own = reply.body.decode().partition('src="/graphiql/')[2].partition('"')[0]
    assert (await call(registry, method="GET", path=f"/graphiql/{own}", headers=PAGE)).status == 200
    assert (await call(registry, method="GET", path="/graphiql/none/at/all", headers=PAGE)).status == 404


@pytest.mark.parametrize(
    "request_", [{"method": "GET", "query_string": b"query={__typename}"}, {"method": "POST"}], ids=["GET", "POST"]
)
async def test_a_browser_asks_no_query_without_a_key(registry: Registry, request_: dict[str, Any]) -> None:
    assert (await call(registry, asked(READ), headers=PAGE, **request_)).status == 401


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "lnl_", "Bearer lnl_1", "Bearer \xff\xfe", "Bearer null",
        f"Bearer {new_secret()}", f"Bearer {new_secret()[:-1]}", f"Basic {new_secret()}", f"Bearer {'x' * 10_000}",
    ],
)  # fmt: skip
async def test_what_is_no_key_of_ours_is_refused(registry: Registry, authorization: str) -> None:
    reply = await call(registry, asked(READ), headers={"authorization": authorization})
    assert (reply.status, reply.error()["code"]) == (401, "UNAUTHENTICATED")
    assert reply.headers["www-authenticate"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_name_of_the_scheme_is_of_any_case(registry: Registry, scheme: str) -> None:
    reply = await call(registry, asked(READ), headers={"authorization": f"{scheme} {registry.key} "})
    assert reply.status == 200


async def test_an_open_server_asks_for_no_key(database: Cluster, make_registry: Callable[..., Any]) -> None:
    registry = await make_registry(database, open=True)
    assert (await call(registry, asked(READ), headers={"authorization": None})).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/elsewhere", [(b"host", b"localhost")]),
        ("/graphql", [(b"host", b"evil.example.com")]),
        ("/graphql", [(b"host", b"localhost"), (b"origin", b"https://evil.example.com")]),
        ("/graphql", []),
    ],
)
async def test_over_websockets_there_is_the_api_alone_and_for_our_own_pages(
    registry: Registry, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
    await app_of(registry)(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


# ---------------------------------------------------------------- hosts and origins


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000"]
)
async def test_requests_to_this_machine_are_for_us(registry: Registry, host: str) -> None:
    assert (await call(registry, asked(READ), headers={"host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None, "", ":8000", "example.com", "localhost.example.com", "localhost@example.com", "::1", "[::2]:8000",
        "[", "[]", "\xff",
    ],
)  # fmt: skip
async def test_requests_to_other_hosts_are_refused(registry: Registry, host: str | None) -> None:
    # Also where no key is needed: that is how a foreign page would reach us through the browser.
    for method, path in (("POST", "/graphql"), ("GET", "/")):
        reply = await call(registry, asked(READ), method=method, path=path, headers={"host": host})
        assert (reply.status, reply.error()["code"]) == (400, "BAD_USER_INPUT")


async def test_requests_with_several_hosts_are_refused(registry: Registry) -> None:
    for host in (b"localhost", b"example.com"):
        reply = await call(registry, asked(READ), more_headers=[(b"host", host)])
        assert (reply.status, reply.error()["message"]) == (400, "The request has several Host headers. Send one.")
    reply = await call(registry, asked(READ), more_headers=[(b"x-other", b"1"), (b"x-other", b"2")])
    assert reply.status == 200


async def test_listed_hosts_are_for_us(database: Cluster, make_registry: Callable[..., Any]) -> None:
    registry = await make_registry(database, host=EVERYWHERE, allowed_hosts="Lineal.example.com, other.example.com")
    for host in ("lineal.example.com", "OTHER.example.com:443", "localhost:8000"):
        assert (await call(registry, asked(READ), headers={"host": host})).status == 200
    assert (await call(registry, asked(READ), headers={"host": "example.com"})).status == 400


async def test_an_address_open_to_all_takes_any_host(database: Cluster, make_registry: Callable[..., Any]) -> None:
    registry = await make_registry(database, host=EVERYWHERE)
    assert (await call(registry, asked(READ), headers={"host": "example.com"})).status == 200
    assert (await call(registry, asked(READ), headers={"host": None})).status == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_ask_by_any_address(registry: Registry, path: str) -> None:
    assert (await call(registry, method="GET", path=path, headers={"host": "10.1.2.3:8000"})).status == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("localhost:8000", "HTTP://LOCALHOST:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        # A proxy ended TLS before us.
        ("localhost", "https://localhost"),
    ],
)
async def test_our_own_pages_may_ask(registry: Registry, host: str, origin: str) -> None:
    reply = await call(registry, asked(READ), headers={"host": host, "origin": origin})
    assert reply.status == 200
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com", "null", "", "http://localhost:8001", "http://localhost", "localhost:8000", "http://[::1",
        "http://localhost:8000/", "http://localhost:8000@example.com", "http://localhost:8000.example.com", "\xff",
    ],
)  # fmt: skip
async def test_pages_of_other_origins_may_not_ask(registry: Registry, origin: str) -> None:
    headers: dict[str, str | None] = {"host": "localhost:8000", "origin": origin}
    for method, path in (("POST", "/graphql"), ("GET", "/"), ("OPTIONS", "/graphql")):
        reply = await call(registry, asked(READ), method=method, path=path, headers=headers)
        assert (reply.status, reply.error()["code"]) == (403, "FORBIDDEN")
        assert "access-control-allow-origin" not in reply.headers


@pytest.fixture(scope="module")
async def with_dashboard(database: Cluster, make_registry: Callable[..., Any]) -> Registry:
    made: Registry = await make_registry(
        database, allowed_origins="https://Dashboard.example.com, https://b.example.com"
    )
    return made


async def test_pages_of_listed_origins_may_ask_and_read(with_dashboard: Registry) -> None:
    origin = "https://dashboard.example.com"
    reply = await call(with_dashboard, asked(READ), headers={"origin": origin})
    assert (reply.status, reply.headers["access-control-allow-origin"], reply.headers["vary"]) == (
        200,
        origin,
        "origin",
    )
    refused = await call(with_dashboard, asked(READ), headers={"origin": origin, "authorization": None})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, origin)
    for other in ("http://dashboard.example.com", "https://example.com"):
        assert (await call(with_dashboard, asked(READ), headers={"origin": other})).status == 403


async def test_a_browser_may_ask_first_whether_a_listed_origin_may_send_a_key(with_dashboard: Registry) -> None:
    preflight = {
        "origin": "https://b.example.com",
        "authorization": None,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    reply = await call(with_dashboard, method="OPTIONS", headers=preflight)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "https://b.example.com"
    assert reply.headers["access-control-allow-headers"] == "authorization, content-type, idempotency-key"
    assert "access-control-allow-credentials" not in reply.headers


# ---------------------------------------------------------------- how many at once


async def test_more_requests_than_allowed_at_once_are_sent_away(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    registry = await make_registry(database, max_in_flight=3)
    await registry.ask(SLOW)
    async with locked_projects(database):
        working = [asyncio.create_task(call(registry, asked(SLOW))) for _ in range(3)]
        await asyncio.sleep(0.05)
        reply = await call(registry, asked(READ))
        assert (reply.status, reply.error()["code"], reply.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
        assert reply.error()["retryAfter"] == 1
        assert (await call(registry, method="GET", path="/healthz")).status == 200
    assert [reply.status for reply in await asyncio.gather(*working)] == [200, 200, 200]
    assert app_of(registry).admission.requests.taken == 0
    assert (await call(registry, asked(READ))).status == 200


# ---------------------------------------------------------------- a key for one project

MUTATION: Any = schema._schema.mutation_type
SETUP = """
mutation($p: ID!, $d: ID!, $e: ID!, $m: ID!) {
  createDataset(input: {id: $d, projectId: $p, name: "Data"}) { dataset { id } }
  createDatasetVersion(input: {datasetId: $d, label: "1"}) { datasetVersion { id } }
  createExperiment(input: {id: $e, projectId: $p, name: "Search"}) { experiment { id } }
  createModel(input: {id: $m, projectId: $p, name: "Churn"}) { model { id } }
  createVersion(input: {modelId: $m, projectId: $p, metrics: {auc: 0.9}, tags: ["champion"]}) { version { id } }
  requestTransition(input: {modelId: $m, version: "1.0.0", targetStage: STAGING}) { request { id } }
  createDeployment(input: {projectId: $p, registryVersion: {modelId: $m, version: "1.0.0"}, name: "Churn",
    environment: "staging", strategy: DIRECT}) { deployment { id } }
  createWebhook(input: {projectId: $p, url: "https://example.com/own"}) { webhook { id } }
  updateProjectPolicy(input: {projectId: $p, approvalValidDays: 31}) { project { policy { loosenedAlone { id } } } }
  createApiKey(input: {name: "own", email: "ana@example.com", kind: USER, projectId: $p}) { id }
}
"""


@dataclass(frozen=True)
class Holding:
    """One of everything, in one project."""

    project: str
    dataset: str
    dataset_version: str
    experiment: str
    model: str
    version: str
    request: str
    key: str
    deployment: str
    webhook: str
    change: str

    @property
    def ids(self) -> list[str]:
        of_versions = [self.model, self.version, self.request]
        data = [self.dataset, self.dataset_version]
        return [self.project, *data, self.experiment, *of_versions, self.key, self.deployment, self.change]


async def hold(registry: Registry, name: str) -> Holding:
    project = f"proj_{name}"
    await registry.ask(
        f'mutation {{ createProject(input: {{id: "{project}", name: "{name}"}}) {{ project {{ id }} }} }}'
    )
    ids = {"p": project, "d": f"ds_{name}", "e": f"exp_{name}", "m": f"model_{name}"}
    made = await registry.ask(SETUP, **ids)
    dataset_version = made["createDatasetVersion"]["datasetVersion"]["id"]
    request, key = made["requestTransition"]["request"]["id"], made["createApiKey"]["id"]
    version = made["createVersion"]["version"]["id"]
    deployment = made["createDeployment"]["deployment"]["id"]
    webhook = made["createWebhook"]["webhook"]["id"]
    (change,) = made["updateProjectPolicy"]["project"]["policy"]["loosenedAlone"]
    of_version = (version, request, key, deployment, webhook, change["id"])
    return Holding(project, ids["d"], dataset_version, ids["e"], ids["m"], *of_version)


@dataclass(frozen=True)
class Neighbours:
    """A caller whose key is for one project; what is in it, in another, and nowhere."""

    caller: Registry
    ours: Holding
    theirs: Holding
    nobodys: Holding


@pytest_asyncio.fixture(scope="module")
async def neighbours(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> AsyncIterator[Neighbours]:
    database = await make_database()
    registry = await make_registry(database)
    ours, theirs = await hold(registry, "ours"), await hold(registry, "theirs")
    caller = registry.with_key(await make_key(database.app_url, project=ours.project))
    prefixes = ("proj", "ds", "dsv", "exp", "model", "ver", "req", "key", "dep", "whk", "pch")
    nobodys = Holding(*(f"{prefix}_nobodys" for prefix in prefixes))
    yield Neighbours(caller, ours, theirs, nobodys)


READS = {
    "node": lambda of: [f'{{ node(id: "{id_}") {{ id __typename }} }}' for id_ in of.ids],
    "nodes": lambda of: [f"{{ nodes(ids: {json.dumps(of.ids)}) {{ id }} }}"],
    "project": lambda of: [f'{{ project(id: "{of.project}") {{ id models {{ totalCount }} }} }}'],
    "models": lambda of: [f'{{ models(projectId: "{of.project}") {{ totalCount edges {{ cursor }} }} }}'],
    "model": lambda of: [f'{{ model(id: "{of.model}") {{ id versions {{ totalCount nodes {{ id }} }} }} }}'],
    "version": lambda of: [f'{{ version(modelId: "{of.model}", version: "1.0.0") {{ id metrics {{ name }} }} }}'],
    "dataset": lambda of: [f'{{ dataset(id: "{of.dataset}") {{ id versions {{ totalCount }} }} }}'],
    "datasetVersion": lambda of: [f'{{ datasetVersion(id: "{of.dataset_version}") {{ id }} }}'],
    "experiment": lambda of: [f'{{ experiment(id: "{of.experiment}") {{ id }} }}'],
    "searchVersions": lambda of: [
        f"{{ searchVersions(filter: {{{condition}}}) {{ totalCount nodes {{ id }} edges {{ cursor }} }} }}"
        for condition in (f'projectId: "{of.project}"', f'modelId: "{of.model}"', f'experimentId: "{of.experiment}"')
    ],
}  # fmt: skip


@pytest.mark.parametrize("queries", READS.values(), ids=READS.keys())
async def test_another_project_is_read_as_if_it_were_not_there(neighbours: Neighbours, queries: Any) -> None:
    for ours, theirs, nobodys in zip(
        *map(queries, [neighbours.ours, neighbours.theirs, neighbours.nobodys]), strict=True
    ):
        seen = await neighbours.caller.ask(theirs)
        assert seen == await neighbours.caller.ask(nobodys)
        if "experimentId" not in ours:
            assert await neighbours.caller.ask(ours) != seen


async def test_lists_and_counts_hold_our_project_alone(neighbours: Neighbours) -> None:
    answer = await neighbours.caller.ask("""{
        projects { totalCount nodes { id } } models { totalCount nodes { id } }
        searchVersions { totalCount nodes { id } }
        champions: searchVersions(filter: {tags: ["champion"], metrics: [{name: "auc"}]}) { totalCount }
    }""")
    ours = neighbours.ours
    assert answer["projects"] == {"totalCount": 1, "nodes": [{"id": ours.project}]}
    assert answer["models"] == {"totalCount": 1, "nodes": [{"id": ours.model}]}
    assert answer["searchVersions"] == {"totalCount": 1, "nodes": [{"id": ours.version}]}
    assert answer["champions"] == {"totalCount": 1}


async def test_a_cursor_of_another_project_opens_nothing(neighbours: Neighbours) -> None:
    answer = await neighbours.caller.ask("{ searchVersions { pageInfo { endCursor } } }")
    cursor = answer["searchVersions"]["pageInfo"]["endCursor"]
    page = "query($c: String!) { searchVersions(after: $c) { nodes { id } pageInfo { hasNextPage } } }"
    assert (await neighbours.caller.ask(page, c=cursor))["searchVersions"]["nodes"] == []


WRITES: dict[str, tuple[str, Callable[[Holding, Holding], dict[str, Any]]]] = {
    "a model": ("createModel", lambda us, of: {"projectId": of.project, "name": "New"}),
    "a data set": ("createDataset", lambda us, of: {"projectId": of.project, "name": "New"}),
    "a data set version": ("createDatasetVersion", lambda us, of: {"datasetId": of.dataset, "label": "2"}),
    "a data set version's parents": (
        "createDatasetVersion",
        lambda us, of: {"datasetId": us.dataset, "label": "2", "parentIds": [of.dataset_version]},
    ),
    "an experiment": ("createExperiment", lambda us, of: {"projectId": of.project, "name": "New"}),
    "an experiment's data": (
        "createExperiment",
        lambda us, of: {"projectId": us.project, "name": "New", "datasetVersionId": of.dataset_version},
    ),
    "an experiment's end": ("completeExperiment", lambda us, of: {"experimentId": of.experiment, "status": "FAILED"}),
    "an experiment's versions": (
        "completeExperiment",
        lambda us, of: {
            "experimentId": us.experiment,
            "status": "COMPLETED",
            "versions": [{"projectId": us.project, "modelId": of.model}],
        },
    ),
    "a version": ("createVersion", lambda us, of: {"projectId": of.project, "modelId": of.model}),
    "a version of another's model": ("createVersion", lambda us, of: {"projectId": us.project, "modelId": of.model}),
    "a version in another project": ("createVersion", lambda us, of: {"projectId": of.project, "modelId": us.model}),
    "a version and its model": (
        "createVersion",
        lambda us, of: {"projectId": of.project, "modelId": "model_new", "createModel": True},
    ),
    "a version's parent": (
        "createVersion",
        lambda us, of: {"projectId": us.project, "modelId": us.model, "parentId": of.version},
    ),
    "a version's experiment": (
        "createVersion",
        lambda us, of: {"projectId": us.project, "modelId": us.model, "experimentId": of.experiment},
    ),
    "a version's data": (
        "createVersion",
        lambda us, of: {"projectId": us.project, "modelId": us.model, "datasetVersionId": of.dataset_version},
    ),
    "a version's further data": (
        "createVersion",
        lambda us, of: {
            "projectId": us.project,
            "modelId": us.model,
            "datasets": [{"role": "VALIDATION", "datasetVersionId": of.dataset_version}],
        },
    ),
    "a description": (
        "updateVersion",
        lambda us, of: {"modelId": of.model, "version": "1.0.0", "description": "Ours now"},
    ),
    "tags": ("addTags", lambda us, of: {"modelId": of.model, "version": "1.0.0", "tags": ["ours"]}),
    "fewer tags": ("removeTags", lambda us, of: {"modelId": of.model, "version": "1.0.0", "tags": ["champion"]}),
    "a stage": ("transitionStage", lambda us, of: {"modelId": of.model, "version": "1.0.0", "targetStage": "STAGING"}),
    "a request": (
        "requestTransition",
        lambda us, of: {"modelId": of.model, "version": "1.0.0", "targetStage": "ARCHIVED"},
    ),
    "a review": ("reviewTransition", lambda us, of: {"requestId": of.request, "decision": "APPROVE"}),
    "a request taken back": ("cancelTransition", lambda us, of: {"requestId": of.request}),
    "production": ("rollbackProduction", lambda us, of: {"modelId": of.model, "notes": "Back."}),
    "a card": (
        "updateModelCard",
        lambda us, of: {"modelId": of.model, "version": "1.0.0", "modelCard": {"limitations": "Ours"}},
    ),
    "the status of data": (
        "setDatasetVersionStatus",
        lambda us, of: {"datasetVersionId": of.dataset_version, "status": "INVALID", "reason": "Ours"},
    ),
    "a member": ("setMember", lambda us, of: {"projectId": of.project, "email": "b@example.com", "role": "ADMIN"}),
    "one member less": ("removeMember", lambda us, of: {"projectId": of.project, "email": "ana@example.com"}),
    "a policy": ("updateProjectPolicy", lambda us, of: {"projectId": of.project, "requiredApprovals": 9}),
    "a policy's change": ("confirmPolicyChange", lambda us, of: {"changeId": of.change}),
    "a tag": ("defineTag", lambda us, of: {"projectId": of.project, "name": "ours"}),
    "old versions": ("applyRetention", lambda us, of: {"projectId": of.project}),
    "a key": ("revokeApiKey", lambda us, of: {"id": of.key}),
    "a key's successor": ("rotateApiKey", lambda us, of: {"id": of.key}),
}
WRITES |= {
    f"a deployment to {action}": (
        f"{action}Deployment",
        lambda us, of: {"deploymentId": of.deployment, "reason": "Ours"},
    )
    for action in ("advance", "pause", "resume", "rollback", "retire")
}
WRITES |= {
    "a deployment": (
        "createDeployment",
        lambda us, of: {
            "projectId": of.project,
            "registryVersion": {"modelId": of.model, "version": "1.0.0"},
            "name": "Ours",
            "environment": "ours",
            "strategy": "DIRECT",
        },
    ),
    "a webhook": ("createWebhook", lambda us, of: {"projectId": of.project, "url": "https://ours.example.com"}),
    "where events go": ("updateWebhook", lambda us, of: {"webhookId": of.webhook, "active": False}),
    "a delivery": ("replayDelivery", lambda us, of: {"deliveryId": f"dlv_{of.webhook}"}),
    "deliveries": ("replayDeliveries", lambda us, of: {"webhookId": of.webhook}),
    "a secret": ("rotateWebhookSecret", lambda us, of: {"webhookId": of.webhook}),
    "health": ("reportDeploymentHealth", lambda us, of: {"deploymentId": of.deployment, "healthy": False}),
}
WRITES |= {
    "a project's name": ("updateProject", lambda us, of: {"projectId": of.project, "name": "Ours"}),
    "a model's name": ("updateModel", lambda us, of: {"modelId": of.model, "name": "Ours"}),
    "a model's end": ("updateModel", lambda us, of: {"modelId": of.model, "archived": True, "reason": "Ours"}),
    "a data set's name": ("updateDataset", lambda us, of: {"datasetId": of.dataset, "name": "Ours"}),
    "an experiment's name": ("updateExperiment", lambda us, of: {"experimentId": of.experiment, "name": "Ours"}),
    "an artifact's place": (
        "moveArtifact",
        lambda us, of: {"modelId": of.model, "version": "1.0.0", "uri": "s3://ours", "reason": "Ours"},
    ),
    "an alias": ("setAlias", lambda us, of: {"modelId": of.model, "version": "1.0.0", "alias": "ours"}),
    "one alias less": ("removeAlias", lambda us, of: {"modelId": of.model, "alias": "champion"}),
    "a webhook's end": ("deleteWebhook", lambda us, of: {"webhookId": of.webhook}),
}
OF_THE_INSTANCE = {"createProject", "createApiKey", "setAdministrator"}


@pytest.mark.parametrize(("mutation", "given"), WRITES.values(), ids=WRITES.keys())
async def test_another_project_is_written_as_if_it_were_not_there(
    neighbours: Neighbours, mutation: str, given: Callable[[Holding, Holding], dict[str, Any]]
) -> None:
    of = str(MUTATION.fields[mutation].args["input"].type).removesuffix("!")
    query = f"mutation($input: {of}!) {{ {mutation}(input: $input) {{ __typename }} }}"
    theirs, nobodys = neighbours.theirs, neighbours.nobodys
    refusal = await neighbours.caller.refusal(query, input=given(neighbours.ours, theirs))
    assert refusal["code"] == "NOT_FOUND"
    told = json.dumps(refusal)
    for their_id, nobodys_id in zip([*theirs.ids, theirs.webhook], [*nobodys.ids, nobodys.webhook], strict=True):
        told = told.replace(their_id, nobodys_id)
    assert json.loads(told) == await neighbours.caller.refusal(query, input=given(neighbours.ours, nobodys))


async def test_a_key_for_one_project_makes_no_other(neighbours: Neighbours) -> None:
    refusal = await neighbours.caller.refusal('mutation { createProject(input: {name: "New"}) { project { id } } }')
    assert refusal["code"] == "FORBIDDEN"


async def test_every_mutation_is_tried_on_another_project() -> None:
    assert set(MUTATION.fields) == {mutation for mutation, _ in WRITES.values()} | OF_THE_INSTANCE
