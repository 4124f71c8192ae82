"""The table of who may do and see what: it has everything that the schema and the app have, and nothing else."""

from typing import Any

import pytest
from graphql import get_named_type, is_abstract_type, is_object_type
from starlette.routing import Route

from resolvers.reads.types import Types
from resolvers.rules import access
from resolvers.rules.access import MUTATIONS, READS, ROUTES, SCOPES, Need
from schema import schema
from tests.conftest import Cluster, Registry, connect
from tests.support.asgi import app_of
from tests.support.filled import INPUTS, mutation_of

SCHEMA = schema._schema
QUERY: Any = SCHEMA.query_type
MUTATION: Any = SCHEMA.mutation_type


def reached() -> dict[str, Any]:
    """Every object type that a query, a subscription or a payload reaches, by name."""
    found: dict[str, Any] = {}
    border = [QUERY, SCHEMA.subscription_type, *(get_named_type(field.type) for field in MUTATION.fields.values())]
    while border:
        of: Any = border.pop()
        if of.name in found:
            continue
        found[of.name] = of
        for field in of.fields.values():
            inner: Any = get_named_type(field.type)
            if is_abstract_type(inner):
                border += SCHEMA.get_possible_types(inner)
            elif is_object_type(inner):
                border.append(inner)
    return found


PAYLOADS = {get_named_type(field.type).name for field in MUTATION.fields.values()}


def leads_to_rows(of: Any) -> bool:
    """Whether a type is but a connection, perhaps with counts of all its rows, or its edge."""
    return of.fields.keys() - {"facets"} in ({"edges", "nodes", "pageInfo", "totalCount"}, {"cursor", "node"})


def test_every_field_is_in_the_table_and_nothing_else_is() -> None:
    listed = {(of, field) for of, needs in READS.items() for fields in needs.values() for field in fields.split()}
    types = {name: of for name, of in reached().items() if name not in PAYLOADS and not leads_to_rows(of)}
    assert listed == {(name, field) for name, of in types.items() for field in of.fields}


def test_a_field_is_listed_once() -> None:
    for of, needs in READS.items():
        fields = " ".join(needs.values()).split()
        assert len(fields) == len(set(fields)), of


def test_only_connections_edges_and_payloads_need_no_entry() -> None:
    for name, of in reached().items():
        if access.need_of_field(name, "no such field") is not None:
            assert name in PAYLOADS or leads_to_rows(of), name


def test_every_mutation_is_in_the_table_and_nothing_else_is() -> None:
    assert set(MUTATIONS) == set(MUTATION.fields)


def test_writing_needs_at_least_a_contributor() -> None:
    assert not set(MUTATIONS.values()) & {Need.OPEN, Need.ANYONE, Need.VIEWER}


def test_every_route_is_in_the_table_and_nothing_else_is(registry: Registry) -> None:
    routes = app_of(registry).app.routes
    assert all(type(route) is Route for route in routes)
    assert sorted(ROUTES) == sorted([*(route.path for route in routes), "/graphql"])


def test_every_mutation_is_tried_on_every_caller() -> None:
    assert set(INPUTS) == set(MUTATIONS)


BOUND = {of.name: Types(SCHEMA)[of.name].table for of in reached().values()}


async def test_rows_of_every_table_are_narrowed(database: Cluster) -> None:
    connection = await connect(database.app_url)
    found = await connection.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'project_id'"
    )
    await connection.close()
    in_projects = {row["table_name"] for row in found}
    tables = {table for table in BOUND.values() if table} | {"lineage_edges"}
    assert tables <= in_projects | set(SCOPES)
    assert set(SCOPES) <= tables


REFERENCES = """
SELECT c.conrelid::regclass::text AS of, c.confrelid::regclass::text AS to, c.conname AS name
FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
    AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.confrelid AND a.attname = 'project_id')
    AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attname = 'project_id'
        AND a.attnum = ANY (c.conkey))
"""
# Of an event whichever it is, by what the database itself looked up; read with the project of the event.
OF_AN_EVENT = {"audit_feed_chain_seq", "audit_unfed_chain_seq", "webhook_deliveries_event_id"}
# The history of one model's versions, whose rows each refer to their model and version within the project.
OF_ONE_MODEL = {
    "versions_stage_is_in_history",
    "stage_transitions_without_gap",
    "stage_transitions_continues",
}


async def test_no_reference_leaves_its_project(database: Cluster) -> None:
    connection = await connect(database.app_url)
    found = {row["name"] for row in await connection.fetch(REFERENCES)}
    await connection.close()
    assert found == OF_ONE_MODEL | OF_AN_EVENT


ASKED_OF = {
    ("Query", "viewer"): "{ viewer { kind } }",
    ("Project", "name"): "{ projects { edges { node { name } } } }",
    ("Model", "name"): '{ node(id: "model_x") { ... on Model { name } } }',
    ("PageInfo", "endCursor"): "{ models { pageInfo { endCursor } } }",
    ("LineageGraph", "truncated"): '{ version(modelId: "x", version: "1.0.0") { lineage { truncated } } }',
    ("LineageEdge", "kind"): '{ version(modelId: "x", version: "1.0.0") { lineage { edges { kind } } } }',
    ("Experiment", "name"): '{ version(modelId: "x", version: "1.0.0") '
    "{ lineage { nodes { ... on Experiment { name } } } } }",
    ("PromotionCheck", "wouldArchive"): '{ version(modelId: "x", version: "1.0.0") '
    "{ promotion(targetStage: STAGING) { wouldArchive { id } } } }",
    ("Gate", "reason"): '{ version(modelId: "x", version: "1.0.0") '
    "{ promotion(targetStage: STAGING) { gates { reason } } } }",
    ("VersionChange", "reasons"): "{ searchVersions { nodes { change { reasons } } } }",
    ("TrainingDataSummary", "source"): "{ searchVersions { nodes { modelCard { trainingDataSummary { source } } } } }",
    ("AuditEvent", "details"): "{ auditEvents { nodes { details } } }",
}


@pytest.mark.parametrize(("of", "field"), ASKED_OF)
async def test_a_field_without_an_entry_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, of: str, field: str
) -> None:
    # A document of its own, so that no plan is kept of it.
    query = f"query Unlisted {ASKED_OF[of, field]}"
    monkeypatch.delitem(access._READS, (of, field))
    refusal = await registry.refusal(query)
    assert refusal["code"] == "FORBIDDEN"
    assert refusal["message"] == f"{of}.{field} is not in the table of who may see what, and is refused."
    monkeypatch.undo()
    assert await registry.ask(f"{query} # listed again")


async def test_a_field_without_an_entry_is_refused_in_a_payload_and_nothing_is_kept(
    registry: Registry, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "mutation Unlisted($input: CreateModelInput!) { createModel(input: $input) { model { name } } }"
    monkeypatch.delitem(access._READS, ("Model", "name"))
    refusal = await registry.refusal(query, input={"projectId": project, "name": "Churn"})
    assert refusal["code"] == "FORBIDDEN"
    monkeypatch.undo()
    count = await registry.ask("query($id: ID!) { models(projectId: $id) { totalCount } }", id=project)
    assert count["models"]["totalCount"] == 0


async def test_a_mutation_without_an_entry_is_refused_and_nothing_is_kept(
    registry: Registry, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MUTATIONS, "createModel")
    refusal = await registry.refusal(mutation_of("createModel"), input={"projectId": project, "name": "Churn"})
    assert refusal["code"] == "FORBIDDEN"
    monkeypatch.undo()
    count = await registry.ask("query($id: ID!) { models(projectId: $id) { totalCount } }", id=project)
    assert count["models"]["totalCount"] == 0
