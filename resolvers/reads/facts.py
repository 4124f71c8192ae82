"""What changed from a version's parent, by the training facts of both."""

from typing import Any

from resolvers.rules.bumps import NumberedFacts, declared_change
from storage.sql import fill_sql
from storage.versions import VERSION_FACTS

CHANGE_INPUTS = {
    "parent": f"(SELECT {fill_sql(VERSION_FACTS, v='p')} FROM versions p WHERE p.id = {{t}}.parent_id)",
    "child": fill_sql(VERSION_FACTS, v="{t}"),
}


def version_change(parent: NumberedFacts | None, child: NumberedFacts) -> dict[str, Any] | None:
    if parent is None:
        return None
    change = declared_change(parent, child)
    return {
        "requiredBump": change.required,
        "reasons": change.reasons,
        "declaredBump": change.declared,
        "sufficient": change.sufficient,
    }
