from sqlmodel import Field

from storage.base import Recorded, readable_id


class Project(Recorded, table=True):
    """A project: the tenant, whose objects belong together and are visible together."""

    __tablename__ = "projects"
    __table_args__ = (readable_id("proj"),)

    id: str = Field(primary_key=True)
    name: str
    description: str | None = None
