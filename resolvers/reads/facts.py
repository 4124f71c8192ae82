"""What a version changed against its parent, from the training facts of both."""

from typing import Any

from resolvers.rules.bumps import declared_change
from storage.load import VERSION_FACTS
from storage.sql import fill_sql

CHANGE_NEEDS = {
    "parent": f"(SELECT {fill_sql(VERSION_FACTS, v='p')} FROM versions p WHERE p.id = {{t}}.parent_id)",
    "child": fill_sql(VERSION_FACTS, v="{t}"),
}


def version_change(parent: dict[str, Any] | None, child: dict[str, Any]) -> dict[str, Any] | None:
    if parent is None:
        return None
    change = declared_change(parent, child)
    return {
        "requiredBump": change.required,
        "reasons": change.reasons,
        "declaredBump": change.declared,
        "sufficient": change.sufficient,
    }
