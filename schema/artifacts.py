import strawberry

from resolvers.rules import limits
from schema import links
from schema.fields import one, optional, required
from schema.scalars import SemVer


@strawberry.input(description="A new location for a version's artifact, which holds the same bytes.")
class MoveArtifactInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer = required("The version's number.")
    uri: str = required("The new location of the artifact.", limits.URI)
    digest: str | None = optional(
        "The digest of the contents at the new location. CONFLICT if it is not the recorded digest. Default: the"
        " recorded digest.",
        limits.DIGEST,
    )
    reason: str = required("Why the artifact was moved.", limits.NOTES)


@strawberry.type(description="The result of `moveArtifact`.")
class MoveArtifactPayload:
    version: links.ModelVersion = one("The version with its artifact.", "{c}.id = {payload[version_id]}")
