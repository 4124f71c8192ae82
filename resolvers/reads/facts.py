"""What a version changed against its parent, from the training facts of both."""

from typing import Any

from resolvers.rules.bumps import Facts, declared, is_sufficient, required_change
from resolvers.rules.semver import Number
from storage.load import VERSION_FACTS

CHANGE_NEEDS = {
    "parent": f"(SELECT {VERSION_FACTS.format(v='p')} FROM versions p WHERE p.id = {{t}}.parent_id)",
    "child": VERSION_FACTS.format(v="{t}"),
}


def version_change(parent: dict[str, Any] | None, child: dict[str, Any]) -> dict[str, Any] | None:
    if parent is None:
        return None
    change = required_change(Facts(**parent["facts"]), Facts(**child["facts"]))
    bump = declared(Number(*parent["number"]), Number(*child["number"]), parent["model"] == child["model"])
    return {
        "requiredBump": change.required,
        "reasons": change.reasons,
        "declaredBump": bump,
        "sufficient": is_sufficient(bump, change.required),
    }
