"""The roles, and the needs of fields and routes. A field declares its need at its binding, a route in
server/http/kinds.py.

A role is held in a project, and each role has the rights of those before it. For reads, the need decides which rows are
visible: a row of a project to its members, a row of a principal to that principal. A caller who administers the
instance sees all rows and acts as ADMIN in every project, but reviews only where it is a member.
"""

from enum import StrEnum

from storage.vocabulary import Role


class Need(StrEnum):
    """`OPEN` needs no key, `ANYONE` a valid one. A role means this role or a higher one in the project. `OWNER` is the
    owner of the key or principal. `INSTANCE` is an administrator of the instance, who also has the rights of owners."""

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


def at_least(role: str, needed: Role) -> bool:
    ranks = list(Role)
    return ranks.index(Role(role)) >= ranks.index(needed)
