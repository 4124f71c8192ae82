from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import column, expression, many, one, required
from schema.nodes import Node
from storage.principals import Member as MemberRow
from storage.principals import Principal as PrincipalRow

EMAIL = "(SELECT p.email FROM principals p WHERE p.id = {t}.principal_id)"
KIND = "(SELECT p.kind FROM principals p WHERE p.id = {t}.principal_id)"
BY_PROJECT = "{c}.project_id"


@strawberry.type(description="A principal's role in a project.")
class Membership:
    table: ClassVar = MemberRow
    needs: ClassVar = Need.VIEWER

    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    role: enums.Role = column("The role.")


@strawberry.type(description="A person or a service with access to the registry, identified by an email address.")
class Principal(Node):
    table: ClassVar = PrincipalRow
    prefix: ClassVar = "prin"
    needs: ClassVar = Need.OWNER

    email: str = column("The email address, in lower case. The history refers to the principal by it.")
    kind: enums.PrincipalKind = column("Whether the principal is a person or a service. Only people can approve.")
    administers: bool = column(
        "Whether the principal can administer the instance: its projects, principals and API keys."
    )
    memberships: list[Membership] = many(
        "The principal's roles in the projects that the caller can see.", "{c}.principal_id = {t}.id", BY_PROJECT
    )
    created_at: datetime = column("When the principal was registered.")
    created_by: str | None = expression(
        "The email address of the person or service that registered the principal. Null for callers who do"
        " not administer the instance, because it can be an ADMIN of a project that the caller cannot see.",
        "CASE WHEN {caller[administers]}::boolean THEN {t}.created_by END",
    )


@strawberry.type(description="The caller: the owner of the API key or token that authenticated the request.")
class Viewer:
    needs: ClassVar = Need.ANYONE

    principal: str = expression("The caller's principal ID, or the email address if the caller has no principal yet.",
                                "coalesce({caller[principal_id]}::text, {caller[actor]}::text)")  # fmt: skip
    email: str | None = expression("The caller's email address.", "{caller[actor]}::text")
    kind: enums.PrincipalKind = expression(
        "Whether the caller is a person or a service. Only people can approve.", "{caller[kind]}::text"
    )
    administers: bool = expression("Whether the caller can administer the instance.", "{caller[administers]}::boolean")
    may_attest: bool = expression(
        "Whether the caller's key can attest approvals by other people.", "{caller[may_attest]}::boolean"
    )
    memberships: list[Membership] = many(
        "The caller's roles in the projects that the key can access.",
        "{c}.principal_id = {caller[principal_id]}::text",
        BY_PROJECT,
    )


@strawberry.type(description="A principal with a role in a project.")
class Member:
    table: ClassVar = MemberRow
    needs: ClassVar = Need.VIEWER

    email: str = expression("The member's email address, in lower case.", EMAIL)
    role: enums.Role = column("The member's role in the project.")
    kind: enums.PrincipalKind = expression(
        "Whether the member is a person or a service. Only people can approve.", KIND
    )
    created_at: datetime = column("When the member was added.")
    created_by: str = column("The email address of the person or service that added the member.")


@strawberry.input(description="A role to assign in a project.")
class SetMemberInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    email: str = required(
        "The member's email address. A new person is registered if the address is not known.", limits.EMAIL
    )
    role: enums.Role = required("The role to assign. It replaces the member's current role.")


@strawberry.type(description="The result of `setMember`.")
class SetMemberPayload:
    project: links.Project = one("The project with its members.", "{c}.id = {payload[project_id]}")


@strawberry.input(description="A member to remove from a project.")
class RemoveMemberInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    email: str = required("The member's email address.", limits.EMAIL)


@strawberry.type(description="The result of `removeMember`.")
class RemoveMemberPayload:
    project: links.Project = one("The project with its remaining members.", "{c}.id = {payload[project_id]}")


@strawberry.input(description="Whether a principal can administer the instance.")
class SetAdministratorInput:
    email: str = required("The principal's email address, which must be known to the registry.", limits.EMAIL)
    administers: bool = required("True to grant the right, false to revoke it.")


@strawberry.type(description="The result of `setAdministrator`.")
class SetAdministratorPayload:
    principal: Principal = one("The principal.", "{c}.id = {payload[principal_id]}")
