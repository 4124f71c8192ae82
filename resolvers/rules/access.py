"""What a caller needs for what it does and sees: roles in projects, and beside them a key, ownership, the instance.

Each field declares its need where it is bound (schema/), and a schema with a field that declares none does not build.

A role is held in a project, and each role may what those before it may. For reads the need says which rows there are:
a row of a project for its members, a row of a principal for that principal. Who administers the instance sees all rows
and acts as ADMIN in every project, but reviews only where a member.
"""

from enum import StrEnum

from storage.vocabulary import Role


class Need(StrEnum):
    """`ANYONE` with a valid key; a role, or a higher one, in the project; `OWNER` of the thing; `INSTANCE`: who
    administers the instance, as may do all that owners may."""

    OPEN = "OPEN"
    ANYONE = "ANYONE"
    VIEWER = "VIEWER"
    CONTRIBUTOR = "CONTRIBUTOR"
    REVIEWER = "REVIEWER"
    ADMIN = "ADMIN"
    OWNER = "OWNER"
    INSTANCE = "INSTANCE"

    @property
    def role(self) -> Role | None:
        return Role(self.value) if self.value in Role.__members__ else None


# Routes beside the API; `OPEN` ones answer without a key.
ROUTES = {
    "/": Need.OPEN,
    "/favicon.ico": Need.OPEN,
    "/graphiql/{version}/{path:path}": Need.OPEN,
    "/graphql": Need.ANYONE,
    "/healthz": Need.OPEN,
    "/lineage/{id}.svg": Need.ANYONE,
    "/models/{id}/metrics/{name:path}.svg": Need.ANYONE,
    "/readyz": Need.OPEN,
    "/routes/{environment}": Need.ANYONE,
}


def at_least(role: str, needed: Role) -> bool:
    ranks = list(Role)
    return ranks.index(Role(role)) >= ranks.index(needed)
