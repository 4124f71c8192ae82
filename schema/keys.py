from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import column, expression, one, optional, payload, required
from schema.nodes import Node
from schema.principals import Principal
from storage.keys import ApiKey as ApiKeyRow


@strawberry.type(
    description="A key that authenticates a principal. Its secret is shown only once, when the key is created."
)
class ApiKey(Node):
    table: ClassVar = ApiKeyRow
    prefix: ClassVar = "key"
    needs: ClassVar = Need.OWNER

    name: str = column("What the key is for, such as the pipeline that uses it.")
    principal: Principal = one("The owner of the key.", "{c}.id = {t}.principal_id")
    project: links.Project | None = one(
        "The only project that the key can access. Null if it can access all projects of its owner.",
        "{c}.id = {t}.project_id",
    )
    may_attest: bool = column("Whether the key can attest that another person has approved a transition.")
    status: enums.ApiKeyStatus = expression(
        "The key's status.",
        "CASE WHEN {t}.revoked_at IS NOT NULL THEN 'REVOKED' WHEN {t}.expires_at <= clock_timestamp() THEN 'EXPIRED'"
        " ELSE 'VALID' END",
    )
    expires_at: datetime | None = column("When the key expires. Null if it does not expire.")
    revoked_at: datetime | None = column("When the key was revoked. Null if it was not.")
    last_used_at: datetime | None = column("When the key was last used, to the minute. Null if it was never used.")
    created_at: datetime = column("When the key was created.")
    created_by: str = column("The email address of the person or service that created the key.")


@strawberry.input(description="A role of the owner of a new API key in a project.")
class MembershipInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    role: enums.Role = required("The role to assign. A higher role that the owner already has is kept.")


@strawberry.input(description="An API key to create.")
class CreateApiKeyInput:
    name: str = required("What the key is for, such as the pipeline that uses it.", limits.NAME)
    email: str = required(
        "The email address of the key's owner. A new principal is registered if the address is not known.", limits.EMAIL
    )
    kind: enums.PrincipalKind | None = optional(
        "Whether the owner is a person or a service. It must match the kind of a principal that is already known."
        " Default: that kind, or SERVICE for a new principal."
    )
    expires_at: datetime | None = optional("When the key expires. If omitted, it does not expire.")
    project_id: strawberry.ID | None = optional(
        "The ID of the only project that the key can access. If omitted, it can access all projects of its owner.",
        limits.Id("proj"),
    )
    may_attest: bool | None = required(
        "Whether the key can attest, with `approvedBy` of a transition, that a reviewer has approved"
        " elsewhere. The history records both the attester and the reviewer. Default: false.",
        default=False,
    )
    memberships: list[MembershipInput] | None = optional(
        "Roles to give to the key's owner in the same step. A key has the rights of its owner, so a new owner"
        " needs a role. At most 100 entries. Default: none are added."
    )


@strawberry.type(description="The result of `createApiKey`.")
class CreateApiKeyPayload:
    id: strawberry.ID = payload("The key's ID.", "key_id")
    secret: str = payload("The secret key. It is shown only once.")


@strawberry.input(description="An API key to revoke.")
class RevokeApiKeyInput:
    id: strawberry.ID = required("The key's ID.", limits.Id("key"))


@strawberry.type(description="The result of `revokeApiKey`.")
class RevokeApiKeyPayload:
    id: strawberry.ID = payload("The key's ID.", "key_id")


@strawberry.input(description="An API key to rotate.")
class RotateApiKeyInput:
    id: strawberry.ID = required("The key's ID.", limits.Id("key"))
    grace_seconds: int | None = optional(
        "How long the old key still works, in seconds, so that its users can switch over. Default: 0.",
        limits.Whole(30 * 86_400),
    )


@strawberry.type(description="The result of `rotateApiKey`.")
class RotateApiKeyPayload:
    id: strawberry.ID = payload("The new key's ID.", "key_id")
    secret: str = payload("The new secret key. It is shown only once.")
