from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from resolvers.errors import BadUserInput, Conflict, Forbidden, NotFound
from resolvers.principals import add_roles, known_principal
from resolvers.rules.cleaning import quoted
from resolvers.transaction import REGISTRY, Transaction
from storage import keys
from storage.ids import new_id
from storage.keys import ApiKey, LockedKey, lock_key
from storage.rows import now
from storage.secrets import hash_of, new_secret
from storage.vocabulary import PrincipalKind, Role

# The driver sends it to the database as infinity, and reads infinity as a time without a time zone.
INFINITY = datetime.max.replace(tzinfo=UTC)


async def create_api_key(
    tx: Transaction,
    *,
    name: str,
    email: str,
    kind: PrincipalKind | None = None,
    expires_at: datetime | None = None,
    project_id: str | None = None,
    may_attest: bool = False,
    memberships: Sequence[Mapping[str, Any]] = (),
) -> dict[str, str]:
    if project_id is not None:
        await tx.project(project_id)
    wanted = await _locked_projects(tx, memberships)
    principal = await known_principal(tx, email, kind or PrincipalKind.SERVICE)
    if kind is not None and principal.kind != kind:
        raise Conflict(
            f"{email} is a {principal.kind}, not a {kind}. Omit kind, or use {principal.kind}.",
            field="input.kind",
            current=principal.kind,
        )
    if expires_at is not None:
        _refuse_unless_ahead(expires_at, await now(tx.session))
    row = {"name": name, "principal_id": principal.id, "project_id": project_id, "may_attest": may_attest}
    key = await _keep(tx, email, row | {"expires_at": expires_at}, "key.created")
    await add_roles(tx, principal, wanted)
    return key


async def _locked_projects(tx: Transaction, memberships: Sequence[Mapping[str, Any]]) -> dict[str, Role]:
    """The wanted roles by project. The projects are locked in the order of their ids, so that two callers who name the
    same projects cannot deadlock."""
    places = {each["project_id"]: place for place, each in enumerate(memberships)}
    for place, each in enumerate(memberships):
        if places[each["project_id"]] != place:
            again = places[each["project_id"]]
            sentence = f"names {quoted(each['project_id'])} again; name each project once."
            raise BadUserInput(f"input.memberships[{again}].projectId", sentence)
    for project_id in sorted(places):
        await tx.lock_project(project_id, f"input.memberships[{places[project_id]}].projectId")
    return {each["project_id"]: each["role"] for each in memberships}


def _refuse_unless_ahead(expires_at: datetime, now: datetime) -> None:
    if expires_at <= now:
        raise BadUserInput("input.expiresAt", f"is {expires_at.isoformat()}, which is in the past; use a later time.")
    if expires_at == INFINITY:
        raise BadUserInput("input.expiresAt", "is the latest possible time; omit it for a key that does not expire.")


async def _keep(
    tx: Transaction, email: str, row: dict[str, Any], action: str, before: Any = None, **also: Any
) -> dict[str, str]:
    """Store a new key and return its secret, which is not stored. `also` holds further details of the event."""
    id_, secret = new_id("key"), new_secret()
    await tx.keep(ApiKey, row | {"id": id_, "secret_hash": hash_of(secret), "created_by": tx.caller.actor})
    expires_at = row["expires_at"] and row["expires_at"].isoformat()
    facts = {"name": row["name"], "email": email, "projectId": row["project_id"], "mayAttest": row["may_attest"]}
    await tx.record(action, id_, None, chain=REGISTRY, before=before, after=facts | {"expiresAt": expires_at} | also)
    return {"key_id": id_, "secret": secret}


async def revoke_api_key(tx: Transaction, *, id: str) -> dict[str, str]:
    key = await _usable(tx, id)
    await keys.revoke(tx.session, id, key.now)
    change = {"before": {"revoked": False}, "after": {"revoked": True, "email": key.email}}
    await tx.record("key.revoked", id, None, chain=REGISTRY, **change)
    return {"key_id": id}


async def rotate_api_key(tx: Transaction, *, id: str, grace_seconds: int = 0) -> dict[str, str]:
    """Create a key with the same rights. The old one works until the grace time has passed."""
    key = await _usable(tx, id)
    ends = key.now + timedelta(seconds=grace_seconds)
    ends = min(ends, key.expires_at) if key.expires_at else ends
    await keys.expire(tx.session, id, ends)
    row = {name: getattr(key, name) for name in ("name", "principal_id", "project_id", "may_attest", "expires_at")}
    expires_at = key.expires_at and key.expires_at.isoformat()
    change = {"before": {"rotated": id, "expiresAt": expires_at}, "rotated": {"id": id, "expiresAt": ends.isoformat()}}
    return await _keep(tx, key.email, row, "key.rotated", **change)


async def _usable(tx: Transaction, id_: str) -> LockedKey:
    """A valid key, which must be the caller's own unless the caller administers the instance."""
    key = await lock_key(tx.session, id_, tx.caller.viewer)
    if key is None:
        raise NotFound("key", id_, "input.id")
    if key.may_attest and not (tx.caller.may_attest or await tx.still_administers()):
        raise Forbidden(
            f"{id_} may attest approvals and your key may not. Use that key, or ask an administrator of the instance."
        )
    if key.revoked_at or key.is_expired:
        raise Conflict(f"{id_} is already revoked or expired.", current="REVOKED" if key.revoked_at else "EXPIRED")
    return key
