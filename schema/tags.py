from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import links
from schema.fields import TEXT, column, expression, given, one, optional
from storage.tags import TagDefinition as TagRow


@strawberry.type(description="A tag that the teams of a project agreed on.")
class TagDefinition:
    table: ClassVar = TagRow
    needs: ClassVar = Need.VIEWER

    name: str = column("The shared name.")
    description: str | None = column("What it says of a version.", weight=TEXT)
    aliases: list[str] = expression(
        "Other ways of writing it, which turn into the shared name.",
        "(SELECT coalesce(json_agg(a.alias ORDER BY a.alias), '[]'::json) FROM tag_aliases a"
        " WHERE a.project_id = {t}.project_id AND a.name = {t}.name)",
    )
    deprecated: bool = column("Whether it should no longer be used.")


@strawberry.input(description="A tag to define, or to define anew; what is left out stays.")
class DefineTagInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    name: str = given("The shared name.", limits.TAG)
    description: str | None = optional("What it says of a version.", limits.NOTES)
    aliases: list[str] | None = optional(
        "Other ways of writing it, which turn into the shared name; the given list replaces the one before.",
        limits.TAGS,
    )
    deprecated: bool | None = optional("Whether it should no longer be used.")


@strawberry.type(description="What `defineTag` changed.")
class DefineTagPayload:
    project: links.Project = one("The project, with its vocabulary.", "{c}.id = {payload[project_id]}")
