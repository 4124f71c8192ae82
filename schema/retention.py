from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import links
from schema.fields import expression, given, many, one, payload
from storage.versions import Version as VersionRow

IN_ORDER = "array_position({payload[%s]}::text[], {c}.id::text)"
OF_PAYLOAD = "{c}.id = ANY ({payload[%s]}::text[])"


@strawberry.type(description="An old version that retention does not archive, and why.")
class RetentionExemption:
    table: ClassVar = VersionRow
    needs: ClassVar = Need.VIEWER

    version: links.ModelVersion = one("The version.", "{c}.id = {t}.id")
    reason: str = expression("Why it is kept.", "({payload[reasons]}::text::json ->> {t}.id)")


@strawberry.input(description="A project whose old development versions shall be archived.")
class ApplyRetentionInput:
    project_id: strawberry.ID = given("The project; its policy says how many days.", limits.Id("proj"))
    dry_run: bool | None = given("Only say what would be archived.", default=True)


@strawberry.type(description="What `applyRetention` archived, or would archive.")
class ApplyRetentionPayload:
    archived: list[links.ModelVersion] = many(
        "The versions, the newest first; at most 500 at once.",
        OF_PAYLOAD % "archived_ids",
        IN_ORDER % "archived_ids",
        size=20,
    )
    kept: list[RetentionExemption] = many(
        "Old versions that are kept, with the reason; at most 500.",
        OF_PAYLOAD % "kept_ids",
        IN_ORDER % "kept_ids",
        size=20,
    )
    more: bool = payload("Whether there is more to archive; call again.")
    dry_run: bool = payload("Whether nothing was done.")
