"""Rolls production back: the version that returns, the approval that it needs, and the deployments that serve
afterwards."""

from collections.abc import Sequence

from resolvers.errors import ApprovalRequired, Conflict, GateFailed, NotFound
from resolvers.rollouts import Events, roll_back_version
from resolvers.rules import gates, stages
from resolvers.rules.approvals import Asked
from resolvers.rules.gates import Promotion
from resolvers.rules.rollbacks import Former, Left, ProductionStep, exits, why_not
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.transitions import Move, approval_with_step, caller_in, refuse_unless_allowed, step_events
from storage import production, rollouts, versions
from storage.production import FormerProduction
from storage.vocabulary import RollbackDeployments, Stage


async def rollback_production(
    tx: Transaction,
    *,
    model_id: str,
    notes: str,
    to_version: Number | None = None,
    expected_version: Number | None = None,
    deployments: RollbackDeployments = RollbackDeployments.RESTORE,
) -> dict[str, object]:
    """Return a version to production, through the legal stages, and restore the earlier deployments, in one
    transaction."""
    await tx.lock_model(model_id)
    former = await production.former_production(tx.session, model_id)
    serving = next((each for each in former if each.stage == Stage.PRODUCTION), None)
    _require_expected(serving, expected_version)
    chosen, wrong = await _chosen(tx, model_id, former, to_version)
    version = await versions.locked_version(tx.session, model_id, chosen.number)
    assert version is not None
    move = Move(tx, version, Stage.PRODUCTION, notes)
    promotion = await move.promotion()
    await tx.lock_model(model_id)  # again: the role that allows this may have been revoked during the wait
    events = _new_approval(move, promotion, wrong) if wrong else []
    gate = gates.data_gate(promotion.invalid_data, promotion.policy["block_invalid_data"])
    if not gate.passed:
        raise GateFailed(f"{move.number} cannot return to production: {gate.reason}", gates=[gate._asdict()])
    steps = [stages.Step(version.id, stage, automatic=False) for stage in stages.way_back(move.stage)]
    if version.production_id:
        steps.insert(0, stages.Step(version.production_id, Stage.ARCHIVED, automatic=True))
    events += await step_events(move, steps)
    # First: the restored deployments depend on how the archived version left production.
    await tx.append(model_id, *events)
    changed = await _restore(tx, version.production_id, model_id, notes) if deployments == "RESTORE" else []
    return {"version_id": version.id, "archived_id": version.production_id} | await _serving(tx, version, changed)


def _require_expected(serving: FormerProduction | None, expected: Number | None) -> None:
    current = serving and Number(*serving.number)
    if expected is not None and current != expected:
        now = f"{current} is in production" if current else "no version is in production"
        raise Conflict(
            f"input.expectedVersion is {expected}, but {now}. Read the model again.",
            field="input.expectedVersion",
            current=current and str(current),
        )


async def _chosen(
    tx: Transaction, model_id: str, former: Sequence[FormerProduction], number: Number | None
) -> tuple[FormerProduction, Left | None]:
    """The version to roll back to, the named one or else the last that was replaced, and why it needs a new
    approval."""
    history = await production.production_history(tx.session, model_id)
    left = exits([ProductionStep(step.version_id, step.enters, step.at) for step in history])
    reasons = {
        each.id: why_not(Former(each.id, Stage(each.stage), Stage(each.came_from)), left.get(each.id))
        for each in former
    }
    if number is not None:
        return _named(former, number, model_id, reasons)
    replaced = [id_ for id_ in left if reasons[id_] is None]
    if not replaced:
        raise Conflict(
            f"No version of {model_id} was replaced in production, so there is nothing to roll back to. A version that"
            " was rolled back or archived by hand returns only with toVersion and a new approval."
        )
    return next(each for each in former if each.id == replaced[-1]), None


def _named(
    former: Sequence[FormerProduction], number: Number, model_id: str, reasons: dict[str, Left | None]
) -> tuple[FormerProduction, Left | None]:
    chosen = next((each for each in former if tuple(each.number) == number), None)
    if chosen is None:
        raise NotFound(
            "version that was in production", str(number), "input.toVersion", f"of {model_id}", modelId=model_id
        )
    if chosen.stage == Stage.PRODUCTION:
        raise Conflict(f"{number} is already in production.", current=str(number))
    return chosen, reasons[chosen.id]


def _new_approval(move: Move, promotion: Promotion, wrong: Left) -> Events:
    """The approval for a version that left production on purpose. It counts only in STAGING, as for a promotion."""
    if move.stage is not Stage.STAGING:
        raise ApprovalRequired(
            f"{move.number} was {wrong}, so it returns to production only with a new approval. Move it to STAGING and"
            " ask for a review with requestTransition.",
            reason="LEFT_ON_PURPOSE",
            required=promotion.policy["required_approvals"],
            approvedBy=[],
            gates=[],
        )
    asked = Asked(caller_in(move.tx, promotion), None, move.tx.caller.may_attest)
    assessment = gates.assess(promotion, Stage.PRODUCTION, asked)
    refuse_unless_allowed(assessment, promotion, Stage.PRODUCTION)
    return approval_with_step(move, promotion, assessment)


async def _restore(tx: Transaction, archived_id: str | None, model_id: str, notes: str) -> list[str]:
    """Return the traffic of the archived version to the deployments that served before. Returns those that changed."""
    events = await roll_back_version(tx, archived_id, notes) if archived_id else []
    if events:
        await tx.append(model_id, *events)
    changed = [event["subjectId"] for event in events if event["action"].startswith("deployment.")]
    return list(dict.fromkeys(changed))


async def _serving(tx: Transaction, version: versions.LockedVersion, changed: list[str]) -> dict[str, object]:
    left = await rollouts.of_version(tx.session, version.production_id) if version.production_id else []
    return {"changed_deployments": changed, "still_serving": [each.id for each in left]}
