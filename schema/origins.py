from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from schema.fields import expression, optional, required


@strawberry.type(
    description="Where a model or a version was before it came into the registry, as stated when it was imported. The"
    " registry does not check it, and its own history does not contain it."
)
class Origin:
    needs: ClassVar = Need.VIEWER

    system: str = expression("The name of the other system, such as `mlflow`.", "{t}.origin ->> 'system'")
    id: str = expression("The ID in the other system.", "{t}.origin ->> 'id'")
    created_at: datetime | None = expression(
        "When it was created there. Null if that was not stated.", "({t}.origin ->> 'createdAt')::timestamptz"
    )
    created_by: str | None = expression(
        "The person or service that created it there. Null if that was not stated.", "{t}.origin ->> 'createdBy'"
    )
    url: str | None = expression(
        "Its page in the other system. Null if that was not stated.", "shown_uri({t}.origin ->> 'url')"
    )


@strawberry.input(description="Where a model or a version was before. It cannot be changed later.")
class OriginInput:
    system: str = required("The name of the other system, such as `mlflow`.", limits.NAME)
    id: str = required("The ID in the other system.", limits.Text(500))
    created_at: datetime | None = optional("When it was created there.")
    created_by: str | None = optional("The person or service that created it there.", limits.NAME)
    url: str | None = optional("Its page in the other system.", limits.LINK)
