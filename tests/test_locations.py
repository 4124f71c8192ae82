"""Addresses of artifacts and data: none is stored with credentials, and those stored before are shown without."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.rules import limits
from resolvers.rules.locations import credential_in, without_credentials
from server.audit.verify import report_on_database
from tests.conftest import Cluster, Registry, connect, make_project, run_sql
from tests.support.documents import CREATE_VERSION
from tests.support.receivers import fine, listen, receiving, send_due, sending
from tests.support.streams import served as served  # noqa: PLC0414 - a fixture
from tests.support.streams import subscribed

HIDDEN = "hunter2"
BEARING = """https://user:S3CRET@host/model.bin
    https://S3CRET@github.com/team/model
    HTTPS://user:pa/S3CRET@host/model.bin
    https://user:S3CRET@one@host/
    sftp://user%3AS3CRET@host/model.bin
    ssh://git:S3CRET@host/model.git
    s3://AKIAEXAMPLE:S3CRET@bucket/model.bin
    git+https://S3CRET@github.com/team/model
    postgresql+psycopg://user:S3CRET@host/db
    jdbc:postgresql://host/db?user=ana&password=S3CRET
    //user:S3CRET@host/model.bin
    https://acc.blob.core.windows.net/c/b?sv=2024-01-01&sp=r&sig=S3CRET%3D
    https://acc.blob.core.windows.net/c/b?SIG=S3CRET
    https://acc.blob.core.windows.net/c/b?%73i%67=S3CRET
    https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4&X-Amz-Credential=S3CRET%2F20261126
    https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=S3CRET
    https://b.s3.amazonaws.com/k?x-amz-security-token=S3CRET
    https://b.s3.amazonaws.com/k?x%2Damz%2dsignature=S3CRET
    https://b.s3.amazonaws.com/k?AWSAccessKeyId=S3CRET&Expires=1
    https://b.s3.amazonaws.com/k?Expires=1&Signature=S3CRET
    https://storage.googleapis.com/b/k?X-Goog-Signature=S3CRET
    https://host/model.bin?access_token=S3CRET
    https://host/model.bin?token=S3CRET
    https://host/model.bin?api_key=S3CRET
    https://host/model.bin?apikey=S3CRET
    https://host/model.bin?x-api-key=S3CRET
    https://host/model.bin#access_token=S3CRET
    https://host/model.bin;token=S3CRET
    https://host/get?from=https%3A%2F%2Fuser%3AS3CRET%40host%2Fmodel.bin
    https://host/get?from=https%3A%2F%2Fhost%2Fm%3Fsig%3DS3CRET"""
WITH_CREDENTIALS = BEARING.replace("S3CRET", HIDDEN).split()
PLAIN = """s3://models/churn/1.0.0/model.ubj
    s3://data/dt=2026-11-26/part-0.parquet
    s3://data/token=hourly/part-0.parquet
    ssh://git@host/team/model.git
    abfss://container@account.dfs.core.windows.net/model
    git@github.com:team/model.git
    hdfs://namenode:8020/user/ana@host
    models:/churn@champion
    oci://registry/model@sha256:0a1b
    https://host:8080/models/ana@host
    https://[::1]:8080/ana@host
    https://host/model?versionId=3&max_tokens=512
    https://host/design?sig=
    file:///C:/models/ana@host"""
WITHOUT = PLAIN.split()


@pytest.mark.parametrize("address", WITH_CREDENTIALS)
def test_an_address_with_a_credential_is_recognized_and_the_credential_is_named_but_not_repeated(address: str) -> None:
    part = credential_in(address)
    assert part
    assert HIDDEN not in part
    shown = without_credentials(address)
    assert HIDDEN not in shown
    assert credential_in(shown) is None, "what is shown can be registered"


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_credentials_stays_as_it_is(address: str) -> None:
    assert credential_in(address) is None
    assert without_credentials(address) == address


SPECIAL = r"""://  // / ? & # ; = : @ %40 %3A %2f%2F %3d %3F %26 http https s3 sig SiG %73ig token access key - _ secret
    8080 [ ] *** a é ſ K \ """
PIECES = st.sampled_from(SPECIAL.split())
URIS = st.one_of(st.lists(PIECES, max_size=14).map("".join), st.sampled_from(WITH_CREDENTIALS + WITHOUT))


@settings(max_examples=15, deadline=None)
@given(st.lists(URIS, min_size=100, max_size=100))
def test_the_database_cuts_the_same_credentials_out_as_the_rule(database: Cluster, uris: list[str]) -> None:
    async def shown() -> list[str]:
        connection = await connect(database.app_url)
        try:
            rows = await connection.fetch("SELECT shown_uri(uri) FROM unnest($1::text[]) AS uri", uris)
        finally:
            await connection.close()
        return [row[0] for row in rows]

    assert asyncio.run(shown()) == [without_credentials(uri) for uri in uris]


async def start(registry: Registry) -> tuple[str, str, str]:
    """A project with a model, a data set and an experiment: their ids."""
    project = await make_project(registry)
    made = await registry.ask(
        """mutation($p: ID!) { createModel(input: {projectId: $p, name: "M"}) { model { id } }
        createDataset(input: {projectId: $p, name: "D"}) { dataset { id } } }""",
        p=project,
    )
    return project, made["createModel"]["model"]["id"], made["createDataset"]["dataset"]["id"]


DATA = "mutation($input: CreateDatasetVersionInput!) { createDatasetVersion(input: $input) { datasetVersion { id } } }"
COMPLETE = "mutation($input: CompleteExperimentInput!) { completeExperiment(input: $input) { experiment { id } } }"
EXPERIMENT = 'mutation($p: ID!) { createExperiment(input: {projectId: $p, name: "E"}) { experiment { id } } }'


async def test_an_artifact_or_data_set_version_with_a_credential_in_its_address_is_refused(registry: Registry) -> None:
    project, model, dataset = await start(registry)
    experiment = (await registry.ask(EXPERIMENT, p=project))["createExperiment"]["experiment"]["id"]
    address = f"https://host/model.bin?sig={HIDDEN}"
    version = {"projectId": project, "modelId": model, "artifact": {"uri": address}}
    asked = [
        (CREATE_VERSION, version, "input.artifact.uri"),
        (DATA, {"datasetId": dataset, "label": "q1", "uri": address}, "input.uri"),
        (COMPLETE, {"experimentId": experiment, "status": "COMPLETED", "versions": [version]},
            "input.versions[0].artifact.uri"),
    ]  # fmt: skip
    for mutation, given_, field in asked:
        response = await registry.send(mutation, input=given_)
        assert HIDDEN not in response.text
        (error,) = response.json()["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}, error
        assert error["message"].startswith(f'{field} holds a credential: the parameter "sig". ')
    kept = await registry.ask(
        "query($p: ID!, $d: ID!) { searchVersions(filter: {projectId: $p}) { totalCount }"
        " dataset(id: $d) { versions { totalCount } } auditEvents(filter: {projectId: $p}) { nodes { action } } }",
        p=project, d=dataset,
    )  # fmt: skip
    assert kept["searchVersions"]["totalCount"] == kept["dataset"]["versions"]["totalCount"] == 0
    told = {node["action"] for node in kept["auditEvents"]["nodes"]}
    assert not told & {"version.created", "datasetVersion.created", "experiment.completed"}


async def test_the_database_refuses_such_an_address_too(database: Cluster, registry: Registry) -> None:
    project, _, dataset = await start(registry)
    connection = await connect(database.app_url)
    insert = """INSERT INTO dataset_versions (id, project_id, dataset_id, label, status, features, created_by, uri)
        VALUES ('dsv_' || $1, $2, $1, 'a', 'ACTIVE', '{}', 'x', 'https://u:p@host/')"""
    with pytest.raises(Exception, match="An address with credentials in it is not stored"):
        await connection.execute(insert, dataset, project)
    await connection.close()


VIEWS = """query($m: ID!, $d: ID!, $p: ID!) {
    version(modelId: $m, version: "1.0.0") { artifact { uri } lineageUrl
        modelCard { markdown huggingFace cycloneDx }
        training: datasets { datasetVersion { uri lineageUrl } } change { reasons }
        compareTo(version: "1.0.1") { markdown requiredBump } }
    dataset(id: $d) { versions { nodes { uri } } }
    auditEvents(filter: {projectId: $p}) { nodes { id action details notes hash } } }"""


async def register_as_before(
    database: Cluster, registry: Registry, of: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Register an artifact and data with credentials in their addresses, as an earlier version allowed."""
    project, model, dataset = of
    off, on = ([f"ALTER TABLE {table} {how} TRIGGER no_credentials" for table in ("versions", "dataset_versions")]
        for how in ("DISABLE", "ENABLE"))  # fmt: skip
    await run_sql(database.owner_url, *off)
    data = {"datasetId": dataset, "label": "q1", "uri": f"s3://AKIA:{HIDDEN}@bucket/q1.parquet"}
    with monkeypatch.context() as earlier:
        earlier.setattr(limits, "hidden_credential_in", lambda uri: None, raising=False)
        made = await registry.ask(DATA, input=data)
        used = made["createDatasetVersion"]["datasetVersion"]["id"]
        artifact = {"uri": f'https://host/m?x="1&sig={HIDDEN}é&se=1'}
        new = {"projectId": project, "modelId": model, "datasetVersionId": used, "artifact": artifact}
        await registry.ask(CREATE_VERSION, input=new | {"version": "1.0.0"})
        await registry.ask(CREATE_VERSION, input=new | {"version": "1.0.1"})
    await run_sql(database.owner_url, *on)


async def test_credentials_that_were_stored_are_shown_nowhere(
    registry: Registry, database: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = project, model, dataset = await start(registry)
    await register_as_before(database, registry, of, monkeypatch)
    response = await registry.send(VIEWS, m=model, d=dataset, p=project)
    assert HIDDEN not in response.text
    seen = response.json()["data"]
    assert seen["version"]["artifact"]["uri"] == 'https://host/m?x="1&sig=***&se=1'
    assert seen["dataset"]["versions"]["nodes"][0]["uri"] == "s3://***@bucket/q1.parquet"
    assert "sig=***" in seen["version"]["modelCard"]["markdown"].replace("\\", "")
    assert seen["version"]["compareTo"]["requiredBump"] == "PATCH", "the same artifact"
    created = next(node for node in seen["auditEvents"]["nodes"] if node["action"] == "version.created")
    assert created["details"]["after"]["artifact"]["uri"] == seen["version"]["artifact"]["uri"]
    pictures = [seen["version"]["lineageUrl"], seen["version"]["training"][0]["datasetVersion"]["lineageUrl"]]
    for url in pictures:
        shown = await registry.client.get(url, headers={"Authorization": f"Bearer {registry.key}"})
        assert shown.status_code == 200
        assert HIDDEN not in shown.text
    assert (await report_on_database(database.app_url, None)).code == 0, "the log is as it was written"


async def test_credentials_that_were_stored_are_not_sent_to_webhooks_or_subscribers(
    served: Registry, registry: Registry, database: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = project, _, _ = await start(registry)
    async with receiving(fine) as receiver, sending(database) as sender:
        await listen(registry, project, receiver.url, actions=["version.created", "datasetVersion.created"])
        await register_as_before(database, registry, of, monkeypatch)
        while len(receiver.got) < 3:
            await send_due(sender)
    bodies = "".join(body.decode() for _, body in receiver.got)
    assert bodies.count("***") == 3
    assert HIDDEN not in bodies
    query = "subscription($project: ID!) { auditEvents(projectId: $project, after: 0) { action details } }"
    async with subscribed(served, query, project=project) as stream:
        heard = [await stream.answer()]
        while heard[-1]["action"] != "version.created":
            heard.append(await stream.answer())
    assert HIDDEN not in json.dumps(heard)
    assert "***" in json.dumps(heard)
