from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, UniqueConstraint, text
from sqlmodel import Field

from storage.base import Recorded, readable_id, words
from storage.vocabulary import PrincipalKind, Role


class Principal(Recorded, table=True):
    """A person or a service that may ask. Known by its email address, in lower case."""

    __tablename__ = "principals"
    __table_args__ = (
        readable_id("prin"),
        UniqueConstraint("email", name="email"),
        CheckConstraint("email = lower(email)", name="email"),
        words("kind", PrincipalKind),
    )

    id: str = Field(primary_key=True)
    email: str
    kind: str = PrincipalKind.USER
    administers: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Member(Recorded, table=True):
    """The role of a principal in a project."""

    __tablename__ = "members"
    __table_args__ = (words("role", Role), Index("members_of_principal", "principal_id"))

    project_id: str = Field(primary_key=True, foreign_key="projects.id")
    principal_id: str = Field(primary_key=True, foreign_key="principals.id")
    role: str
    # Since when the role is REVIEWER or ADMIN without a break; null: since before revision 0009.
    reviewer_since: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
