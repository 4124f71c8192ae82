"""The roles that fields and routes declare: each has one, and they are those that tests/support/needs.py states."""

from typing import Any, ClassVar

import pytest
import strawberry
from graphql import get_named_type, is_abstract_type, is_object_type
from starlette.routing import Route

from resolvers.reads.declarations import Undeclared, gather_needs
from resolvers.reads.scopes import IN_PROJECT, SCOPES, scope_of
from resolvers.reads.types import Types
from resolvers.rules.access import Need
from schema import schema
from schema.fields import column
from server.http.kinds import PATHS
from tests.conftest import Cluster, Registry, connect
from tests.support.asgi import app_of
from tests.support.filled import INPUTS
from tests.support.needs import MUTATIONS
from tests.support.needs import TYPES as TYPE_NEEDS

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


NEEDS = gather_needs(SCHEMA)


def test_every_field_needs_what_is_stated_for_its_type() -> None:
    leading = {name for name, of in reached().items() if name in PAYLOADS or leads_to_rows(of)}
    stated = {name: Need.ANYONE if name in leading else TYPE_NEEDS[name] for name in reached()}
    assert not TYPE_NEEDS.keys() & leading
    assert {(of, need) for (of, _), need in NEEDS.items() if of != "Mutation"} == set(stated.items())
    assert NEEDS.keys() == {
        (name, field) for name, of in [*reached().items(), ("Mutation", MUTATION)] for field in of.fields
    }


def test_every_mutation_needs_what_is_stated_for_it() -> None:
    assert {field: need for (of, field), need in NEEDS.items() if of == "Mutation"} == MUTATIONS


def test_rows_are_narrowed_to_those_who_have_the_need_of_their_type() -> None:
    for name, need in TYPE_NEEDS.items():
        if table := Types(SCHEMA)[name].table:
            scope = {Need.OWNER: "{me}", Need.INSTANCE: "false", Need.VIEWER: "{projects}"}[need]
            assert scope in scope_of(table), name
    assert "{projects}" in IN_PROJECT


@strawberry.type
class Bare:
    id: strawberry.ID = column("Its id.")


@strawberry.type
class Owned:
    needs: ClassVar = Need.OWNER

    id: strawberry.ID = column("Its id.")
    shown: str = column("For members.", needs=Need.VIEWER)


@strawberry.type
class Wrote:
    owned: Owned | None = column("What it wrote.")


@strawberry.type
class Asked:
    needs: ClassVar = Need.ANYONE

    owned: Owned | None = column("One.", needs=Need.ANYONE)


@strawberry.type
class Writes:
    write: Wrote | None = column("Write.", needs=Need.ADMIN)


def gathered(query: type, mutation: type | None = None) -> dict[tuple[str, str], Need]:
    return gather_needs(strawberry.Schema(query=query, mutation=mutation)._schema)


def test_a_type_declares_a_need_for_its_fields_and_a_field_overrides_it() -> None:
    assert gathered(Asked, Writes) == {
        ("Asked", "owned"): Need.ANYONE,
        ("Owned", "id"): Need.OWNER,
        ("Owned", "shown"): Need.VIEWER,
        ("Writes", "write"): Need.ADMIN,
        ("Wrote", "owned"): Need.ANYONE,
    }


def test_a_schema_with_a_field_that_declares_no_role_is_not_built() -> None:
    @strawberry.type
    class AsksBare:
        bare: Bare = column("One.", needs=Need.ANYONE)

    with pytest.raises(Undeclared, match=r"^Bare\.id declares no role"):
        gathered(AsksBare)


@pytest.mark.parametrize("root", ["query", "mutation"])
def test_a_root_field_declares_its_own_role(root: str) -> None:
    @strawberry.type
    class Root:
        needs: ClassVar = Need.ANYONE

        owned: Owned | None = column("One.")

    roots = {"query": Asked, "mutation": Writes} | {root: Root}
    with pytest.raises(Undeclared, match=r"^Root\.owned declares no role"):
        gathered(**roots)


def test_writing_needs_at_least_a_contributor() -> None:
    assert not set(MUTATIONS.values()) & {Need.OPEN, Need.ANYONE, Need.VIEWER}


def test_every_route_is_in_the_table_and_nothing_else_is(registry: Registry) -> None:
    routes = app_of(registry).app.routes
    assert all(type(route) is Route for route in routes)
    assert sorted(PATHS) == sorted([*(route.path for route in routes), "/graphql"])


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


@pytest.fixture
def needs(registry: Registry) -> Any:
    """What the server gathered, from which a test may take a field."""
    return app_of(registry).endpoint.operations.documents.types.needs


@pytest.mark.parametrize(("of", "field"), ASKED_OF)
async def test_a_field_without_a_role_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, needs: Any, of: str, field: str
) -> None:
    # A document of its own, so that no plan is kept of it.
    query = f"query Unlisted {ASKED_OF[of, field]}"
    monkeypatch.delitem(needs, (of, field))
    refusal = await registry.refusal(query)
    assert refusal["code"] == "FORBIDDEN"
    assert refusal["message"] == f"{of}.{field} declares no role, so it is refused."
    monkeypatch.undo()
    assert await registry.ask(f"{query} # listed again")


@pytest.mark.parametrize(("of", "field"), [("Model", "name"), ("Mutation", "createModel")])
async def test_a_mutation_that_writes_or_returns_what_has_no_role_is_refused_and_nothing_is_kept(
    registry: Registry, project: str, monkeypatch: pytest.MonkeyPatch, needs: Any, of: str, field: str
) -> None:
    query = f"mutation Without{of}($input: CreateModelInput!) {{ createModel(input: $input) {{ model {{ name }} }} }}"
    monkeypatch.delitem(needs, (of, field))
    refusal = await registry.refusal(query, input={"projectId": project, "name": "Churn"})
    assert (refusal["code"], refusal["message"]) == ("FORBIDDEN", f"{of}.{field} declares no role, so it is refused.")
    monkeypatch.undo()
    count = await registry.ask("query($id: ID!) { models(projectId: $id) { totalCount } }", id=project)
    assert count["models"]["totalCount"] == 0
