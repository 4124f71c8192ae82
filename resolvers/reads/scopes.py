"""Which rows a caller may see, and which rows share their project by the database's own foreign keys."""

import re
from functools import cache

from storage.tables import metadata

LINK = re.compile(r"\{c\}\.(\w+) = \{t\}\.(\w+)(?: AND (?!.* OR ).*)?")

# The conditions that narrow rows to what a caller may see. `{row}` is the row, `{projects}` and `{me}` are the caller's
# projects and principal, `{only}` is the project that its key is bound to. Rows of any other table are in a project. A
# caller whose key is bound to a project sees only keys that are bound to it.
SCOPES = {
    "projects": "{row}.id = ANY ({projects})",
    "principals": "{row}.id = {me}",
    # In no project: only for administrators of the instance, whose rows are not narrowed.
    "checkpoint_reports": "false",
    "api_keys": "{row}.principal_id = {me} AND ({only} IS NULL OR {row}.project_id = {only})",
}
IN_PROJECT = "{row}.project_id = ANY ({projects})"


def scope_of(table: str) -> str:
    """The condition under which a caller who does not administer the instance sees a row of the table."""
    return SCOPES.get(table, IN_PROJECT)


@cache
def kept_in_project(child: str, parent: str | None, where: str) -> bool:
    """Whether a condition leads from a row to rows of its own project only. A caller who sees the row sees them too.

    This holds if both columns belong to a foreign key that includes the project, or are the project itself.
    """
    link = LINK.fullmatch(where)
    if link is None or parent is None:
        return False
    ends = (child, link[1]), (parent, link[2])
    return _refers(*ends) or _refers(*ends[::-1])


def _refers(source: tuple[str, str], target: tuple[str, str]) -> bool:
    (table, column), (referred, key) = source, target
    if column == "project_id" and (referred, key) == ("projects", "id"):
        return table in metadata.tables and not metadata.tables[table].c.project_id.nullable
    return any(
        [element.parent.name for element in constraint.elements] == ["project_id", column]
        and [element.target_fullname for element in constraint.elements]
        == [f"{referred}.project_id", f"{referred}.{key}"]
        for constraint in (metadata.tables[table].foreign_key_constraints if table in metadata.tables else ())
    )
