from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import links
from schema.fields import TEXT, column, expression, one, optional, required
from storage.tags import TagDefinition as TagRow


@strawberry.type(description="A tag in a project's vocabulary.")
class TagDefinition:
    table: ClassVar = TagRow
    needs: ClassVar = Need.VIEWER

    name: str = column("The tag's name.")
    description: str | None = column("What the tag means.", weight=TEXT)
    aliases: list[str] = expression(
        "Other spellings of the tag. They are replaced by its name.",
        "(SELECT coalesce(json_agg(a.alias ORDER BY a.alias), '[]'::json) FROM tag_aliases a"
        " WHERE a.project_id = {t}.project_id AND a.name = {t}.name)",
    )
    deprecated: bool = column("Whether the tag should no longer be used.")


@strawberry.input(description="A tag to define or redefine. Fields that are omitted stay unchanged.")
class DefineTagInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    name: str = required("The tag's name.", limits.TAG)
    description: str | None = optional("What the tag means.", limits.NOTES)
    aliases: list[str] | None = optional(
        "Other spellings of the tag, which are replaced by its name. The list replaces the current aliases.",
        limits.TAGS,
    )
    deprecated: bool | None = optional("Whether the tag should no longer be used.")


@strawberry.type(description="The result of `defineTag`.")
class DefineTagPayload:
    project: links.Project = one("The project with its tag vocabulary.", "{c}.id = {payload[project_id]}")
