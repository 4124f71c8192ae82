from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import column, expression, given, many, one
from schema.nodes import Node
from storage.principals import Member as MemberRow
from storage.principals import Principal as PrincipalRow

EMAIL = "(SELECT p.email FROM principals p WHERE p.id = {t}.principal_id)"
KIND = "(SELECT p.kind FROM principals p WHERE p.id = {t}.principal_id)"
BY_PROJECT = "{c}.project_id"


@strawberry.type(description="A role that a principal holds in a project.")
class Membership:
    table: ClassVar = MemberRow
    needs: ClassVar = Need.VIEWER

    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    role: enums.Role = column("What the principal may do there.")


@strawberry.type(description="A person or a service that may ask, known by an email address.")
class Principal(Node):
    table: ClassVar = PrincipalRow
    prefix: ClassVar = "prin"
    needs: ClassVar = Need.OWNER

    email: str = column("Its address, in lower case: what the history calls it.")
    kind: enums.PrincipalKind = column("Whether it is a person; only people approve.")
    administers: bool = column("Whether it administers the instance: projects, principals and keys.")
    memberships: list[Membership] = many(
        "Its roles in projects, as far as the caller sees them.", "{c}.principal_id = {t}.id", BY_PROJECT
    )
    created_at: datetime = column("When it was made known.")
    created_by: str | None = expression(
        "Who made it known: perhaps an ADMIN of a project that the caller does not see. So null for who does not"
        " administer the instance.",
        "CASE WHEN {caller[administers]}::boolean THEN {t}.created_by END",
    )


@strawberry.type(description="Who asks: the owner of the key or token that came with the request.")
class Viewer:
    needs: ClassVar = Need.ANYONE

    principal: str = expression("Its id, or its address where it has none yet.",
                                "coalesce({caller[principal_id]}::text, {caller[actor]}::text)")  # fmt: skip
    email: str | None = expression("Its address.", "{caller[actor]}::text")
    kind: enums.PrincipalKind = expression("Whether it is a person; only people approve.", "{caller[kind]}::text")
    administers: bool = expression("Whether it administers the instance.", "{caller[administers]}::boolean")
    may_attest: bool = expression(
        "Whether its key may attest the approvals of others.", "{caller[may_attest]}::boolean"
    )
    memberships: list[Membership] = many(
        "Its roles in the projects that the key reaches.", "{c}.principal_id = {caller[principal_id]}::text", BY_PROJECT
    )


@strawberry.type(description="A principal with a role in the project.")
class Member:
    table: ClassVar = MemberRow
    needs: ClassVar = Need.VIEWER

    email: str = expression("Its address, in lower case.", EMAIL)
    role: enums.Role = column("What it may do in the project.")
    kind: enums.PrincipalKind = expression("Whether it is a person; only people approve.", KIND)
    created_at: datetime = column("When it became a member.")
    created_by: str = column("Who made it a member.")


@strawberry.input(description="A role to give to somebody in a project.")
class SetMemberInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    email: str = given("Whose role; a person who is not known yet is made known.", limits.EMAIL)
    role: enums.Role = given("The role, in the place of the one before.")


@strawberry.type(description="What `setMember` changed.")
class SetMemberPayload:
    project: links.Project = one("The project, with its members.", "{c}.id = {payload[project_id]}")


@strawberry.input(description="Somebody who shall no longer be a member of a project.")
class RemoveMemberInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    email: str = given("Whose role ends.", limits.EMAIL)


@strawberry.type(description="What `removeMember` changed.")
class RemoveMemberPayload:
    project: links.Project = one("The project, with the members that are left.", "{c}.id = {payload[project_id]}")


@strawberry.input(description="Whether somebody shall administer the instance.")
class SetAdministratorInput:
    email: str = given("Whose right; the principal must be known.", limits.EMAIL)
    administers: bool = given("Whether it shall administer the instance.")


@strawberry.type(description="What `setAdministrator` changed.")
class SetAdministratorPayload:
    principal: Principal = one("The principal.", "{c}.id = {payload[principal_id]}")
