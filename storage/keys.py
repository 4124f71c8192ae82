from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field

from storage.base import Recorded, readable_id


class ApiKey(Recorded, table=True):
    """A principal's key. Only the SHA-256 of its secret is kept. With a project it reaches nothing else."""

    __tablename__ = "api_keys"
    __table_args__ = (
        readable_id("key"),
        UniqueConstraint("secret_hash", name="secret_hash"),
        CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        Index("api_keys_newest", "created_at", "id"),
        Index("api_keys_of_principal", "principal_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    name: str
    principal_id: str = Field(foreign_key="principals.id")
    project_id: str | None = Field(default=None, foreign_key="projects.id")
    may_attest: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    secret_hash: bytes = Field(sa_type=LargeBinary)
    expires_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    revoked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    last_used_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
