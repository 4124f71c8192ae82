"""Where the compiler leaves the predicate of what a caller sees to a foreign key."""

import pytest

from resolvers.reads.bindings import Many, One
from resolvers.reads.compilation import binding_of
from resolvers.reads.paging import Connection
from resolvers.reads.scopes import kept_in_project
from resolvers.reads.types import Types
from schema import schema

TYPES = Types(schema._schema)


@pytest.mark.parametrize(
    ("child", "parent", "where"),
    [
        ("experiments", "versions", "{c}.id = {t}.experiment_id"),
        ("metrics", "versions", "{c}.version_id = {t}.id"),
        ("versions", "versions", "{c}.parent_id = {t}.id"),
        ("versions", "models", "{c}.model_id = {t}.id AND {c}.stage = 'PRODUCTION'"),
        ("projects", "models", "{c}.id = {t}.project_id"),
        ("models", "projects", "{c}.project_id = {t}.id"),
    ],
)
def test_a_key_that_holds_the_project_keeps_rows_in_it(child: str, parent: str, where: str) -> None:
    assert kept_in_project(child, parent, where)


@pytest.mark.parametrize(
    ("child", "parent", "where"),
    [
        ("versions", None, "{c}.id = {args[id]}"),
        ("versions", None, "{c}.model_id = {t}.id"),
        ("versions", "models", "{c}.model_id = {t}.id OR true"),
        ("versions", "models", "{c}.model_id = {t}.id AND true OR true"),
        ("versions", "models", "{c}.algorithm = {t}.name"),
        ("versions", "models", "{c}.model_id <> {t}.id"),
        ("versions", "models", "true AND {c}.model_id = {t}.id"),
        ("experiments", "versions", "{c}.id = {t}.parent_id"),
        ("principals", "members", "{c}.id = {t}.principal_id"),
        ("members", "principals", "{c}.principal_id = {t}.id"),
        ("projects", "api_keys", "{c}.id = {t}.project_id"),
        ("projects", "audit_events", "{c}.id = {t}.project_id"),
        ("version_cards", "versions", "{c}.version_id = {t}.id"),
    ],
)
def test_whatever_else_leads_to_rows_carries_the_predicate(child: str, parent: str | None, where: str) -> None:
    assert not kept_in_project(child, parent, where)


def test_most_fields_that_lead_on_are_kept_by_keys() -> None:
    led = {
        f"{name}.{field}": kept_in_project(TYPES[name].table and _child(name, field), TYPES[name].table, binding.where)
        for name, of in schema._schema.type_map.items()
        if hasattr(of, "fields") and hasattr(of, "interfaces") and not name.startswith("__")
        for field in of.fields
        if TYPES[name].table and isinstance(binding := binding_of(TYPES[name], field), One | Many | Connection)
    }
    assert sum(led.values()) > 20
    assert {"ApiKey.principal", "ApiKey.project", "Membership.project"} & {
        name for name, kept in led.items() if not kept
    }


def _child(name: str, field: str) -> str:
    of = TYPES[TYPES.of(TYPES[name].graphql.fields[field]).name]
    if of.table is None:
        of = TYPES[TYPES.of(of.graphql.fields["nodes"]).name]
    return str(of.table)
