from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from storage.base import Recorded, readable_id, tenant


class Model(Recorded, table=True):
    """A line of versions with one purpose. Its row is the lock under which its versions and stages change."""

    __tablename__ = "models"
    __table_args__ = (readable_id("model"), tenant(), UniqueConstraint("project_id", "name", name="name"))

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    name: str
    description: str | None = None
