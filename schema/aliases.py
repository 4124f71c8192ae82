from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.rules import limits
from resolvers.rules.access import Need
from resolvers.rules.aliases import Alias
from schema import links
from schema.fields import column, one, optional, required
from schema.scalars import SemVer
from storage.aliases import ModelAlias as AliasRow


@strawberry.type(
    description="A name that points to one version of a model, such as `champion`. It can be moved to another version;"
    " the audit log has its history."
)
class ModelAlias:
    table: ClassVar = AliasRow
    needs: ClassVar = Need.VIEWER

    name: str = column("The alias, in lower case. Unique in its model.")
    version: links.ModelVersion = one("The version that the alias points to.", "{c}.id = {t}.version_id")
    set_at: datetime = column("When the alias was set to this version.")
    set_by: str = column("The email address of the person or service that set the alias to this version.")


@strawberry.input(description="An alias of a model, and the version to set it to.")
class SetAliasInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    alias: str = required("The alias. Created if the model does not have it.", Alias())
    version: SemVer = required("The number of the version that the alias will point to.")
    expected_version: SemVer | None = optional(
        "The number of the version that the alias points to now. CONFLICT if it points to another version or does"
        " not exist. Default: not checked."
    )
    notes: str | None = optional("The reason, for the audit log.", limits.NOTES)


@strawberry.type(description="The result of `setAlias`.")
class SetAliasPayload:
    model: links.Model = one("The model with its aliases.", "{c}.id = {payload[model_id]}")
    alias: ModelAlias = one("The alias.", "{c}.model_id = {payload[model_id]} AND {c}.name = {payload[alias]}")
    previous: links.ModelVersion | None = one(
        "The version that the alias pointed to before. Null if the alias is new.", "{c}.id = {payload[previous_id]}"
    )


@strawberry.input(description="An alias to remove.")
class RemoveAliasInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    alias: str = required("The alias.", Alias())
    notes: str | None = optional("The reason, for the audit log.", limits.NOTES)


@strawberry.type(description="The result of `removeAlias`.")
class RemoveAliasPayload:
    model: links.Model = one("The model with its remaining aliases.", "{c}.id = {payload[model_id]}")
