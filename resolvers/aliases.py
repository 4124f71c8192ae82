"""Aliases: pointers from a name to a version of a model. A protected one needs what a promotion needs."""

from collections.abc import Sequence
from typing import Any

from resolvers.errors import Conflict, Forbidden, GateFailed, NotFound
from resolvers.rules import gates
from resolvers.rules.access import at_least
from resolvers.rules.aliases import MOST_ALIASES
from resolvers.rules.approvals import Asked
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.transitions import Move, caller_in, refuse_unless_allowed
from resolvers.versions import locked_version, touch
from storage import aliases, policies
from storage.aliases import AliasTarget
from storage.vocabulary import Role, Stage


async def set_alias(
    tx: Transaction,
    *,
    model_id: str,
    alias: str,
    version: Number,
    expected_version: Number | None = None,
    notes: str | None = None,
) -> dict[str, str | None]:
    row = await locked_version(tx, model_id, version)
    before = await aliases.alias_target(tx.session, model_id, alias)
    _require_expected(alias, before, expected_version)
    move = Move(tx, row, Stage.PRODUCTION, notes)
    if before is None or before.version_id != row.id:
        await _require_place(tx, model_id, before)
        approvers = await _approvers(move, alias)
        pointer = {"project_id": row.project_id, "model_id": model_id, "version_id": row.id}
        await aliases.point_alias(tx.session, **pointer, name=alias, set_by=tx.caller.actor)
        await touch(tx, row.id)
        change = {
            "before": _recorded(alias, before) if before else None,
            "after": _recorded(alias, AliasTarget(row.id, row.number)) | _approved(approvers),
        }
        await tx.record("alias.set", model_id, row.project_id, chain=model_id, notes=notes, **change)
    previous = before.version_id if before else None
    return {"model_id": model_id, "alias": alias, "version_id": row.id, "previous_id": previous}


def _require_expected(alias: str, target: AliasTarget | None, expected: Number | None) -> None:
    """CONFLICT where an alias does not point where the caller has seen it."""
    current = Number(*target.number) if target else None
    if expected is not None and expected != current:
        now = f"points to {current} now" if current else "does not exist"
        raise Conflict(
            f"expectedVersion is {expected}; the alias {alias} {now}. Read it again.",
            field="input.expectedVersion",
            current=str(current) if current else None,
        )


async def _require_place(tx: Transaction, model_id: str, before: AliasTarget | None) -> None:
    if before is None and await aliases.count_aliases(tx.session, model_id) >= MOST_ALIASES:
        raise Conflict(
            f"{model_id} has {MOST_ALIASES} aliases, which is the maximum. Remove one with removeAlias.",
            limit=MOST_ALIASES,
        )


async def _approvers(move: Move, alias: str) -> Sequence[str]:
    """The people whose approvals allow the move of a protected alias. Empty if the alias is not protected, or if the
    version is already in production."""
    tx, version = move.tx, move.version
    policy = await policies.lock_policy(tx.session, version.project_id, share=True)
    await tx.lock_model(version.model_id)  # again: the role may have been taken away while this waited
    if alias not in policy.protected_aliases:
        return []
    promotion = await move.promotion()
    what = f"The alias {alias} is protected and cannot point to {move.number}"
    if move.stage is Stage.PRODUCTION:
        gate = gates.data_gate(promotion.invalid_data, policy.block_invalid_data)
        if not gate.passed:
            raise GateFailed(f"{what}: {gate.reason}", gates=[gate._asdict()])
        return []
    assessment = gates.assess(promotion, Stage.PRODUCTION, Asked(caller_in(tx, promotion)))
    refuse_unless_allowed(assessment, promotion, what)
    return assessment.tally.approvers


def _recorded(alias: str, target: AliasTarget) -> dict[str, Any]:
    return {"alias": alias, "version": str(Number(*target.number)), "version_id": target.version_id}


def _approved(approvers: Sequence[str]) -> dict[str, Any]:
    return {"approved_by": ", ".join(approvers)} if approvers else {}


async def remove_alias(tx: Transaction, *, model_id: str, alias: str, notes: str | None = None) -> dict[str, str]:
    model = await tx.lock_model(model_id)
    before = await aliases.alias_target(tx.session, model_id, alias)
    if before is None:
        raise NotFound("alias", alias, "input.alias", f"of {model_id}", modelId=model_id)
    policy = await policies.lock_policy(tx.session, model.project_id, share=True)
    model = await tx.lock_model(model_id)  # again: the role may have been taken away while this waited
    if alias in policy.protected_aliases and not at_least(model.role, Role.REVIEWER):
        raise Forbidden(
            f"The alias {alias} is protected, so removing it needs the role REVIEWER in {model.project_id}; your role"
            f" is {model.role}.",
            needed=Role.REVIEWER.value,
            role=model.role,
            project=model.project_id,
        )
    await aliases.delete_alias(tx.session, model_id, alias)
    change = {"before": _recorded(alias, before), "after": None}
    await tx.record("alias.removed", model_id, model.project_id, chain=model_id, notes=notes, **change)
    return {"model_id": model_id}
