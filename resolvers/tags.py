from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from resolvers.errors import Conflict
from resolvers.rules.cleaning import quoted
from resolvers.transaction import Transaction
from storage.tags import TagAlias, defined_tag, delete_aliases, keep_definition, registration_rules


async def define_tag(
    tx: Transaction,
    *,
    project_id: str,
    name: str,
    description: str | None = None,
    aliases: Sequence[str] | None = None,
    deprecated: bool | None = None,
) -> dict[str, str]:
    """Define a tag, or change its definition."""
    await tx.lock_project(project_id)
    rules = await registration_rules(tx.session, project_id)
    defined = await defined_tag(tx.session, project_id, name)
    before = asdict(defined) if defined else None
    _refuse_taken(name, aliases or (), rules.deprecated, rules.aliases)

    after: dict[str, Any] = dict(before or {"description": None, "deprecated": False, "aliases": []})
    ordered = None if aliases is None else sorted(aliases)
    stated = {"description": description, "deprecated": deprecated, "aliases": ordered}
    after |= {part: value for part, value in stated.items() if value is not None}
    if after != before:
        await _keep(tx, project_id, name, after)
        await tx.record("tag.defined", project_id, project_id, chain=project_id,
                        before=before and {"name": name, **before}, after={"name": name, **after})  # fmt: skip
    return {"project_id": project_id}


def _refuse_taken(name: str, wanted: Sequence[str], defined: Container[str], aliases: Mapping[str, str]) -> None:
    """Refuse a name or alias that stands for another tag already."""
    if name in aliases:
        raise Conflict(
            f"{quoted(name)} is an alias of {quoted(aliases[name])}; remove the alias first.", field="input.name"
        )
    for alias in wanted:
        if alias == name or alias in defined:
            raise Conflict(f"{quoted(alias)} is a defined tag and cannot be an alias.", field="input.aliases")
        if aliases.get(alias, name) != name:
            raise Conflict(f"{quoted(alias)} is already an alias of {quoted(aliases[alias])}.", field="input.aliases")


async def _keep(tx: Transaction, project_id: str, name: str, after: dict[str, Any]) -> None:
    actor = tx.caller.actor
    await keep_definition(tx.session, project_id, name, after["description"], after["deprecated"], actor)
    await delete_aliases(tx.session, project_id, name)
    rows = [{"project_id": project_id, "alias": alias, "name": name, "created_by": actor} for alias in after["aliases"]]
    await tx.keep(TagAlias, *rows)
