"""Moving the artifact of a version: the same bytes at another place."""

from resolvers.errors import Conflict
from resolvers.rules.cleaning import quoted
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.versions import locked_version, touch
from storage.versions import LockedVersion


async def move_artifact(
    tx: Transaction, *, model_id: str, version: Number, uri: str, reason: str, digest: str | None = None
) -> dict[str, str]:
    row = await locked_version(tx, model_id, version)
    _require_same_bytes(row, digest)
    if uri != row.artifact_uri:
        await touch(tx, row.id, artifact_uri=uri)
        change = {
            "before": {"artifact": {"uri": row.artifact_uri, "digest": row.artifact_digest}},
            "after": {"artifact": {"uri": uri, "digest": row.artifact_digest}},
        }
        await tx.record("version.artifactMoved", row.id, row.project_id, chain=model_id, notes=reason, **change)
    return {"version_id": row.id}


def _require_same_bytes(row: LockedVersion, digest: str | None) -> None:
    """Only a digest says that the bytes at another place are the same."""
    number, recorded = Number(*row.number), row.artifact_digest
    if row.artifact_uri is None:
        raise Conflict(f"{number} has no artifact, so there is nothing to move. Register a new version with one.")
    if recorded is None:
        raise Conflict(
            f"The artifact of {number} was registered without a digest, so there is no way to tell whether another"
            " location holds the same bytes. Register a new version with the artifact's location and digest."
        )
    if digest is not None and digest.lower() != recorded.lower():
        raise Conflict(
            f"input.digest is {quoted(digest)}; the recorded digest of {number} is {quoted(recorded)}. An artifact can"
            " move, but its bytes cannot change: register a new version for other bytes.",
            field="input.digest",
            current=recorded,
        )
