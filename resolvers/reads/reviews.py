"""The governance of a version: whether its approvals still count, and whether it can move to a stage."""

from typing import Any

from resolvers.rules import gates
from resolvers.rules.approvals import Asked, Person, Review, Reviewed, changes, digest, problem
from resolvers.rules.gates import Assessment, Promotion
from storage.approvals import promotion_facts, review, reviewed
from storage.vocabulary import Stage

REVIEW_INPUTS = {"review": review("{t}")}


def is_valid(review: Review) -> bool:
    return problem(review) is None


def invalid_reason(review: Review) -> str | None:
    wrong = problem(review)
    return wrong.sentence if wrong else None


def changed_since(review: Review) -> list[dict[str, Any]]:
    return [change._asdict() for change in changes(review)]


REVIEWED_INPUTS = {"reviewed": reviewed("{t}")}


def review_digest(reviewed: Reviewed) -> str:
    return digest(reviewed)


# Returns one row, `dry`: the facts that the gates check, the target stage, and the caller.
DRY_RUN = f"""(SELECT {{answer}} FROM (
    SELECT {promotion_facts("{t}", "{args[targetStage]}::text")} AS promotion, {{t}}.id, {{t}}.model_id,
        {{args[targetStage]}}::text AS target,
        json_build_object('id', {{caller[principal_id]}}::text, 'email', {{caller[actor]}}::text,
            'kind', {{caller[kind]}}::text, 'role', (SELECT m.role FROM members m
                WHERE m.project_id = {{t}}.project_id AND m.principal_id = {{caller[principal_id]}}::text)) AS caller
) dry)"""
DRY_RUN_INPUTS = {name: f"{{t}}.{name}" for name in ("promotion", "target", "caller")}
WOULD_ARCHIVE = (
    "{c}.model_id = {t}.model_id AND {c}.stage = 'PRODUCTION' AND {c}.id <> {t}.id AND {t}.target = 'PRODUCTION'"
)


def is_allowed(**inputs: Any) -> bool:
    return _assess(**inputs).allowed


def all_gates(**inputs: Any) -> list[dict[str, Any]]:
    return [gate._asdict() for gate in _assess(**inputs).gates]


def approvals_recorded(**inputs: Any) -> int:
    return len(_assess(**inputs).tally.approvers)


def approvals_required(promotion: dict[str, Any], target: str, caller: Person) -> int:
    """0 for stages other than PRODUCTION, where approvals are needed only if they are requested."""
    return int(promotion["policy"]["required_approvals"]) if target == Stage.PRODUCTION else 0


def your_approval_would_count(promotion: dict[str, Any], target: str, caller: Person) -> bool:
    assessment = _assess(promotion, target, caller)
    own = Promotion(**promotion).panel.problem(caller)
    return own is None and caller["email"] not in assessment.tally.approvers


def _assess(promotion: dict[str, Any], target: str, caller: Person) -> Assessment:
    return gates.assess(Promotion(**promotion), Stage(target), Asked(caller, recorded_only=True))
