from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import column, expression, given, one, optional, payload
from schema.nodes import Node
from schema.principals import Principal
from storage.keys import ApiKey as ApiKeyRow


@strawberry.type(description="A key by which a principal asks. Its secret is known to nobody but who was shown it.")
class ApiKey(Node):
    table: ClassVar = ApiKeyRow
    prefix: ClassVar = "key"
    needs: ClassVar = Need.OWNER

    name: str = column("What it is for, such as the pipeline that uses it.")
    principal: Principal = one("Whose it is.", "{c}.id = {t}.principal_id")
    project: links.Project | None = one("The only project that it reaches; null: all of its owner's.",
                                        "{c}.id = {t}.project_id")  # fmt: skip
    may_attest: bool = column("Whether it may state that somebody else has approved a transition.")
    status: enums.ApiKeyStatus = expression(
        "Whether it works.",
        "CASE WHEN {t}.revoked_at IS NOT NULL THEN 'REVOKED' WHEN {t}.expires_at <= clock_timestamp() THEN 'EXPIRED'"
        " ELSE 'VALID' END",
    )
    expires_at: datetime | None = column("When it stops by itself; null: never.")
    revoked_at: datetime | None = column("When it was revoked.")
    last_used_at: datetime | None = column("When it was last used, to the minute; null: never.")
    created_at: datetime = column("When it was made.")
    created_by: str = column("Who made it.")


@strawberry.input(description="A key to make.")
class CreateApiKeyInput:
    name: str = given("What it is for, such as the pipeline that uses it.", limits.NAME)
    email: str = given("Whose it shall be; a principal that is not known yet is made known.", limits.EMAIL)
    kind: enums.PrincipalKind | None = given(
        "Whether the owner is a person; must agree with what is known.", default=enums.PrincipalKind.SERVICE
    )
    expires_at: datetime | None = optional("When it shall stop by itself; absent: never.")
    project_id: strawberry.ID | None = optional("The only project that it shall reach.", limits.Id("proj"))
    may_attest: bool | None = given(
        "Whether it may state, in `approvedBy` of a transition, that a reviewer has approved elsewhere. The history"
        " then says who attested for whom.",
        default=False,
    )


@strawberry.type(description="What `createApiKey` made.")
class CreateApiKeyPayload:
    id: strawberry.ID = payload("The key's id.", "key_id")
    secret: str = payload("The key itself; shown this once.")


@strawberry.input(description="A key to end.")
class RevokeApiKeyInput:
    id: strawberry.ID = given("The key.", limits.Id("key"))


@strawberry.type(description="What `revokeApiKey` ended.")
class RevokeApiKeyPayload:
    id: strawberry.ID = payload("The key's id.", "key_id")


@strawberry.input(description="A key to replace.")
class RotateApiKeyInput:
    id: strawberry.ID = given("The key.", limits.Id("key"))
    grace_seconds: int | None = optional(
        "For how many seconds the old key still works, so that its users can change over; absent: 0.",
        limits.Whole(30 * 86_400),
    )


@strawberry.type(description="What `rotateApiKey` made.")
class RotateApiKeyPayload:
    id: strawberry.ID = payload("The new key's id.", "key_id")
    secret: str = payload("The new key itself; shown this once.")
