from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import links
from schema.fields import expression, many, one, payload, required
from storage.versions import Version as VersionRow

IN_ORDER = "array_position({payload[%s]}::text[], {c}.id::text)"
OF_PAYLOAD = "{c}.id = ANY ({payload[%s]}::text[])"


@strawberry.type(description="An old version that retention does not archive, with the reason.")
class RetentionExemption:
    table: ClassVar = VersionRow
    needs: ClassVar = Need.VIEWER

    version: links.ModelVersion = one("The version.", "{c}.id = {t}.id")
    reason: str = expression("Why the version is kept.", "({payload[reasons]}::text::json ->> {t}.id)")


@strawberry.input(description="A project whose old DEVELOPMENT versions to archive.")
class ApplyRetentionInput:
    project_id: strawberry.ID = required(
        "The project's ID. The number of days is set by `retentionDays` of its policy.", limits.Id("proj")
    )
    dry_run: bool | None = required("Whether to only report what would be archived. Default: true.", default=True)


@strawberry.type(description="The result of `applyRetention`.")
class ApplyRetentionPayload:
    archived: list[links.ModelVersion] = many(
        "The versions that were archived, or would be in a dry run, newest first. At most 500.",
        OF_PAYLOAD % "archived_ids",
        IN_ORDER % "archived_ids",
        size=20,
    )
    kept: list[RetentionExemption] = many(
        "The old versions that are kept, with the reason. At most 500.",
        OF_PAYLOAD % "kept_ids",
        IN_ORDER % "kept_ids",
        size=20,
    )
    more: bool = payload("Whether there are more versions to archive. Call the mutation again to continue.")
    dry_run: bool = payload("Whether this was a dry run, in which nothing is archived.")
