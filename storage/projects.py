from sqlmodel import Field

from storage.base import Recorded, readable_id


class Project(Recorded, table=True):
    """What belongs together and is seen together: the tenant."""

    __tablename__ = "projects"
    __table_args__ = (readable_id("proj"),)

    id: str = Field(primary_key=True)
    name: str
    description: str | None = None
