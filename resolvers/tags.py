from collections.abc import Sequence
from typing import Any

from resolvers.errors import Conflict
from resolvers.transaction import Transaction
from storage import load
from storage.tags import TagAlias, delete_aliases, keep_definition, tag_definition


async def define_tag(
    tx: Transaction,
    *,
    project_id: str,
    name: str,
    description: str | None = None,
    aliases: Sequence[str] | None = None,
    deprecated: bool | None = None,
) -> dict[str, str]:
    """Define a tag, or change what is stated of one."""
    await tx.lock_project(project_id)
    rules = await load.registration_rules(tx.session, project_id)
    before = await tag_definition(tx.session, project_id, name)
    _refuse_taken(name, aliases or (), rules["deprecated"], rules["aliases"])

    after: dict[str, Any] = dict(before or {"description": None, "deprecated": False, "aliases": []})
    ordered = None if aliases is None else sorted(aliases)
    stated = {"description": description, "deprecated": deprecated, "aliases": ordered}
    after |= {part: value for part, value in stated.items() if value is not None}
    if after != before:
        await _keep(tx, project_id, name, after)
        await tx.record("tag.defined", project_id, project_id, chain=project_id,
                        before=before and {"name": name, **before}, after={"name": name, **after})  # fmt: skip
    return {"project_id": project_id}


def _refuse_taken(name: str, wanted: Sequence[str], defined: Any, aliases: dict[str, str]) -> None:
    """A name stands for one tag alone."""
    if name in aliases:
        raise Conflict(f"{name!r} is an alias of {aliases[name]!r}; take it from there first.", field="input.name")
    for alias in wanted:
        if alias == name or alias in defined:
            raise Conflict(f"{alias!r} is a defined tag and cannot be an alias.", field="input.aliases")
        if aliases.get(alias, name) != name:
            raise Conflict(f"{alias!r} is an alias of {aliases[alias]!r} already.", field="input.aliases")


async def _keep(tx: Transaction, project_id: str, name: str, after: dict[str, Any]) -> None:
    actor = tx.caller.actor
    await keep_definition(tx.session, project_id, name, after["description"], after["deprecated"], actor)
    await delete_aliases(tx.session, project_id, name)
    rows = [{"project_id": project_id, "alias": alias, "name": name, "created_by": actor} for alias in after["aliases"]]
    await tx.keep(TagAlias, *rows)
