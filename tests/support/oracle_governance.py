"""What reads must answer of principals, policies, reviews, cards and the audit log: part of the oracle."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from pydantic.alias_generators import to_camel

from resolvers.rules import gates
from resolvers.rules.approvals import Asked, Person, changes, digest, is_reviewer, problem
from resolvers.rules.bumps import NumberedFacts
from resolvers.rules.gates import Promotion
from resolvers.rules.policies import Policy
from storage.vocabulary import Stage
from tests.support import oracle
from tests.support.oracle import Data, Order, Paging, Row

LATEST_FIRST = Order("AT", lambda data, row: row["at"], True)


def is_over(moment: datetime | None) -> bool:
    return moment is not None and moment <= datetime.now(UTC)


def principal(data: Data, id_: str | None) -> Row | None:
    """Whoever it is: names are shown beside what the caller sees, whether or not it sees the principal itself."""
    return next((row for row in data.whole["principals"] if row["id"] == id_), None)


def policy(data: Data, project_id: str) -> Row:
    found = data.one("project_policies", project_id=project_id)
    assert found is not None
    return found


def members(data: Data, project: Row) -> list[Row]:
    found = data.all("members", project_id=project["id"])
    return sorted(found, key=lambda member: (principal(data, member["principal_id"]) or {})["email"])


def memberships(data: Data, principal_id: str | None) -> list[Row]:
    return sorted(data.all("members", principal_id=principal_id), key=lambda member: member["project_id"])


def vocabulary(data: Data, project: Row) -> list[Row]:
    return sorted(data.all("tag_definitions", project_id=project["id"]), key=lambda tag: tag["name"])


def aliases(data: Data, tag: Row) -> list[str]:
    return sorted(row["alias"] for row in data.all("tag_aliases", project_id=tag["project_id"], name=tag["name"]))


def status_of_request(data: Data, row: Row) -> str:
    return "EXPIRED" if row["status"] == "OPEN" and is_over(row["expires_at"]) else str(row["status"])


def requests(data: Data, project: Row, status: list[str] | None = None, **paging: Any) -> Row:
    found = data.all("transition_requests", project_id=project["id"])
    kept = [row for row in found if status is None or status_of_request(data, row) in status]
    return oracle.page(data, kept, oracle.NEWEST_FIRST, Paging(**paging))


def status_of_key(data: Data, row: Row) -> str:
    if row["revoked_at"] is not None:
        return "REVOKED"
    return "EXPIRED" if is_over(row["expires_at"]) else "VALID"


# Cards


def card(data: Data, version: Row) -> Row:
    written = data.one("model_cards", version_id=version["id"])
    if written:
        return written
    empty = dict.fromkeys(
        ("description", "intended_use", "limitations", "ethical_considerations", "training_data_summary")
    )
    registered = {"updated_at": version["created_at"], "updated_by": version["created_by"]}
    return {**empty, "performance_by_segment": None, "version_id": version["id"], "revision": 0, **registered}


def revisions(data: Data, row: Row) -> list[Row]:
    found = data.all("model_card_revisions", version_id=row["version_id"])
    return sorted(found, key=lambda each: each["revision"])


# Reviews


def reviewed_now(data: Data, version: Row) -> Any:
    used = {use["dataset_version_id"] for use in data.all("dataset_uses", version_id=version["id"])}
    used |= {version["dataset_version_id"]} - {None}
    statuses = {id_: (data.by_id("dataset_versions", id_) or {})["status"] for id_ in sorted(used)}
    since = {id_: changed_at(data.by_id("dataset_versions", id_) or {}) for id_ in sorted(used)}
    tags = sorted(each["tag"] for each in data.all("tags", version_id=version["id"]))
    return {
        "artifactMovedAt": written(version["artifact_moved_at"]),
        "cardRevision": card(data, version)["revision"],
        "data": statuses,
        "dataSince": since,
        "description": version["description"],
        "experiment": experiment_seen(data, version),
        "tags": tags,
    }


def experiment_seen(data: Data, version: Row) -> Row | None:
    found = data.by_id("experiments", version["experiment_id"])
    return found and {
        "id": found["id"],
        "status": found["status"],
        "notes": found["notes"],
        "trainingDurationSecs": found["training_duration_secs"],
    }


def changed_at(row: Row) -> str | None:
    return written(row["status_at"])


def written(at: datetime | None) -> str | None:
    return None if at is None else str(at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def review(data: Data, row: Row) -> Any:
    """A decision beside what holds now."""
    version = data.by_id("versions", row["version_id"])
    assert version is not None
    rules = policy(data, row["project_id"])
    request = data.by_id("transition_requests", row["request_id"])
    member = data.one("members", project_id=row["project_id"], principal_id=row["reviewer_id"])
    same = {name: row[name] for name in ("version_id", "reviewer_id", "target_stage", "stage_position")}
    step = data.one("stage_transitions", version_id=version["id"], position=version["stage_position"])
    return {
        "reviewer": row["reviewer"],
        "decision": row["decision"],
        "target": row["target_stage"],
        "position": row["stage_position"],
        "reviewed": row["reviewed"],
        "request": row["request_id"],
        "request_status": request and status_of_request(data, request),
        "role": member and member["role"],
        "kind": (principal(data, row["reviewer_id"]) or {})["kind"],
        "is_author": version["created_by"] == row["reviewer"],
        "is_requester": request and request["created_by"] == row["reviewer"],
        "has_others": has_others(data, row, version),
        "returned": member and member["reviewer_since"] and member["reviewer_since"] > row["at"],
        "allow_requester": rules["allow_requester_approval"],
        "superseded": any((each["at"], each["id"]) > (row["at"], row["id"]) for each in data.all("approvals", **same)),
        "expired": row["at"] < datetime.now(UTC) - timedelta(days=rules["approval_valid_days"]),
        "valid_days": rules["approval_valid_days"],
        "allow_self": rules["allow_self_approval"],
        "now": reviewed_now(data, version),
        "stage": version["stage"],
        "now_position": version["stage_position"],
        "after_position": step and step["after_position"],
        "counted": counted(data, row),
    }


def counted(data: Data, row: Row) -> bool | None:
    made = data.one(
        "stage_transitions",
        version_id=row["version_id"],
        after_position=row["stage_position"],
        to_stage=row["target_stage"],
    )
    if made is None or made["approved_by"] is None:
        return None
    return row["reviewer"] in made["approved_by"].split(", ")


def has_others(data: Data, row: Row, version: Row) -> bool:
    rules = policy(data, row["project_id"])
    people = [person(data, member) for member in data.all("members", project_id=row["project_id"])]
    barred = {row["reviewer"]} | (set() if rules["allow_self_approval"] else {version["created_by"]})
    others = [each for each in people if is_reviewer(each["role"], each["kind"]) and each["email"] not in barred]
    return bool(others) or reviewer_left(rules)


def invalid_reason(data: Data, row: Row) -> str | None:
    wrong = problem(review(data, row))
    return wrong.sentence if wrong else None


def changed_since(data: Data, row: Row) -> list[Row]:
    return [change._asdict() for change in changes(review(data, row))]


def decisions(data: Data, **columns: Any) -> list[Row]:
    return sorted(data.all("approvals", **columns), key=lambda each: (each["at"], each["id"]))


def of_step(data: Data, step: Row) -> list[Row]:
    if step["after_position"] is None:
        return []
    of = {"target_stage": step["to_stage"], "stage_position": step["after_position"]}
    return decisions(data, version_id=step["version_id"], **of)


def person(data: Data, member: Row) -> Person:
    who = principal(data, member["principal_id"])
    assert who is not None
    return Person(id=who["id"], email=who["email"], kind=who["kind"], role=member["role"])


def promotion(data: Data, version: Row, target_stage: str) -> Row:
    """What the gates say to the caller, from facts that are gathered here anew."""
    caller = data.caller
    role = data.one("members", project_id=version["project_id"], principal_id=caller.principal_id)
    asking = Person(id=caller.principal_id, email=caller.actor, kind=caller.kind, role=role["role"] if role else None)
    target = Stage(target_stage)
    known = facts(data, version, target)
    found = gates.assess(known, target, Asked(asking, recorded_only=True))
    approvers = found.tally.approvers
    serving = data.one("versions", model_id=version["model_id"], stage="PRODUCTION")
    archives = serving if target is Stage.PRODUCTION and serving and serving["id"] != version["id"] else None
    listed = [{"name": gate.name, "passed": gate.passed, "reason": gate.reason} for gate in found.gates]
    return {
        "allowed": found.allowed,
        "gates": listed,
        "wouldArchive": archives,
        "approvalsRecorded": len(approvers),
        "approvalsRequired": known.policy["required_approvals"] if target is Stage.PRODUCTION else 0,
        "yourApprovalWouldCount": known.panel.problem(asking) is None and caller.actor not in approvers,
    }


def facts(data: Data, version: Row, target: Stage) -> Promotion:
    people = [person(data, member) for member in data.all("members", project_id=version["project_id"])]
    people.sort(key=lambda each: each["email"])
    people.sort(key=lambda each: str(each["role"]), reverse=True)
    step = {"version_id": version["id"], "target_stage": target.value, "stage_position": version["stage_position"]}
    asked = sorted(data.all("transition_requests", **step), key=lambda each: (each["created_at"], each["id"]))
    experiment = data.by_id("experiments", version["experiment_id"])
    serving = data.one("versions", model_id=version["model_id"], stage="PRODUCTION")
    parent = data.by_id("versions", version["parent_id"])
    return Promotion(
        stage=version["stage"],
        position=version["stage_position"],
        author=version["created_by"],
        number=version["number"],
        policy=cast(Policy, policy(data, version["project_id"])),
        card=card(data, version),
        reviewed=reviewed_now(data, version),
        people=people,
        requester=next((each["created_by"] for each in asked if status_of_request(data, each) == "OPEN"), None),
        reviewer_left=reviewer_left(policy(data, version["project_id"])),
        loosened_alone=[
            each["field"]
            for each in data.all("policy_changes", project_id=version["project_id"], status="APPLIED", alone=True)
        ],
        request=asked[-1]["id"] if asked else None,
        reviews=[review(data, each) for each in decisions(data, **step)],
        experiment=experiment["status"] if experiment else None,
        metrics=metrics(data, version),
        incumbent=(
            {"number": serving["number"], "metrics": metrics(data, serving)}
            if serving and serving["id"] != version["id"]
            else None
        ),
        parent=cast(NumberedFacts, compared(data, parent)) if parent else None,
        child=cast(NumberedFacts, compared(data, version)),
        invalid_data=invalid_data(data, version),
    )


def invalid_data(data: Data, version: Row) -> list[str]:
    """What a version depends on that is INVALID: walked upwards, one thing after another."""
    ids, line = set[str](), [version]
    while (parent := data.by_id("versions", line[-1]["parent_id"])) is not None:
        line.append(parent)
    for each in line:
        uses = data.all("dataset_uses", version_id=each["id"])
        ids |= {use["dataset_version_id"] for use in uses if use["role"] == "TRAINING" or each is version}
        ids |= {each["dataset_version_id"]} - {None}
    while (
        more := {link["parent_id"] for id_ in ids for link in data.all("dataset_parents", dataset_version_id=id_)} - ids
    ):
        ids |= more
    status = {id_: data.by_id("dataset_versions", id_) for id_ in ids}
    return sorted(id_ for id_, row in status.items() if row and row["status"] == "INVALID")


def reviewer_left(rules: Row) -> bool:
    left: datetime | None = rules["reviewer_left_at"]
    return left is not None and left + timedelta(hours=max(24, rules["loosening_hours"])) > datetime.now(UTC)


def changes_of_policy(status: str, **columns: Any) -> Callable[..., list[Row]]:
    def found(data: Data, row: Row) -> list[Row]:
        of = data.all("policy_changes", project_id=row["project_id"], status=status, **columns)
        return sorted(of, key=lambda each: (each["created_at"], each["id"]))

    return found


def metrics(data: Data, version: Row) -> dict[str, float]:
    return {row["name"]: row["value"] for row in data.all("metrics", version_id=version["id"])}


def compared(data: Data, version: Row) -> Row:
    return {
        "model": version["model_id"],
        "number": version["number"],
        "facts": vars(oracle._facts(data, version)),
    }


# The audit log

EVENT_CONDITIONS: dict[str, Callable[[Row, Any], bool]] = {
    "projectId": lambda event, value: event["project_id"] == value,
    "chain": lambda event, value: event["chain"] == value,
    "subjectId": lambda event, value: event["subject_id"] == value,
    "actor": lambda event, value: event["actor"] == value,
    "action": lambda event, value: event["action"] in value,
    "after": lambda event, value: event["at"] >= oracle.moment(value),
    "before": lambda event, value: event["at"] < oracle.moment(value),
}


def events(data: Data, _: Row, filter: Mapping[str, Any] | None = None, **paging: Any) -> Row:
    asked = {name: value for name, value in (filter or {}).items() if value is not None}
    found = [
        event
        for event in data.tables["audit_events"]
        if all(EVENT_CONDITIONS[name](event, value) for name, value in asked.items())
    ]
    return oracle.page(data, found, LATEST_FIRST, Paging(**paging))


def integrity(data: Data, _: Row, chain: str) -> Row | None:
    """Every hash of a chain computed anew."""
    found = sorted(data.all("audit_events", chain=chain), key=lambda event: event["seq"])
    if not found:
        return None
    before, wrong = hashlib.sha256(chain.encode()).digest(), []
    for place, event in enumerate(found, start=1):
        at = event["at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        text = "\n".join([chain, str(event["seq"]), at, event["previous_hash"].hex(), event["entry"]])
        follows = event["seq"] == place and event["previous_hash"] == before
        if not follows or event["hash"] != hashlib.sha256(text.encode()).digest():
            wrong.append(event["seq"])
        before = event["hash"]
    # No generated registry has heads.
    first = wrong[0] if wrong else found[-1]["seq"] + 1
    return {"events": len(found), "sound": False, "firstWrong": first, "since": found[0]["at"]}


def status(data: Data, _: Row) -> Row | None:
    """No generated registry has heads, checkpoints or servers that report."""
    if data.caller.visible is not None:
        return None
    empty = dict.fromkeys(("lastCheckpointAt", "lastCheckpointNumber", "keyId", "problem", "problemSince"))
    return {**empty, "behindEvents": 0}


def entry(name: str) -> Callable[..., Any]:
    return lambda data, event: json.loads(event["entry"])[name]


def listed(table: str) -> Callable[..., Row]:
    return lambda data, _, **paging: oracle.page(data, data.tables[table], oracle.NEWEST_FIRST, Paging(**paging))


def viewer(data: Data, _: Row) -> Row:
    caller = data.caller
    return {
        "principal": caller.principal_id or caller.actor,
        "email": caller.actor,
        "kind": caller.kind.value,
        "administers": caller.administers,
        "mayAttest": caller.may_attest,
    }


def position(data: Data, event: Row) -> int | None:
    found = data.one("audit_feed", chain=event["chain"], seq=event["seq"])
    return found["position"] if found else None


RESOLVERS: dict[str, Callable[..., Any]] = {
    "AuditEvent.position": position,
    "Query.transitionRequest": oracle.by_id("transition_requests"),
    "Query.viewer": viewer,
    "Query.auditEvents": events,
    "Query.auditIntegrity": integrity,
    "Query.auditStatus": status,
    "Query.apiKeys": listed("api_keys"),
    "Query.principals": listed("principals"),
    "Viewer.memberships": lambda data, _: memberships(data, data.caller.principal_id),
    "Membership.project": oracle.link("projects", "project_id"),
    "Principal.createdBy": lambda data, row: row["created_by"] if data.caller.administers else None,
    "Principal.memberships": lambda data, row: memberships(data, row["id"]),
    "ApiKey.principal": oracle.link("principals", "principal_id"),
    "ApiKey.project": oracle.link("projects", "project_id"),
    "ApiKey.status": status_of_key,
    "Project.policy": lambda data, row: policy(data, row["id"]),
    "ProjectPolicy.pendingChanges": changes_of_policy("PENDING"),
    "ProjectPolicy.loosenedAlone": changes_of_policy("APPLIED", alone=True),
    "PolicyChange.project": oracle.link("projects", "project_id"),
    "PolicyChange.field": lambda data, row: to_camel(row["field"]),
    "PolicyChange.from": lambda data, row: row["from_value"],
    "PolicyChange.to": lambda data, row: row["to_value"],
    "PolicyChange.requestedBy": lambda data, row: row["created_by"],
    "PolicyChange.requestedAt": lambda data, row: oracle.moment_text(row["created_at"]),
    "Project.members": members,
    "Project.tagVocabulary": vocabulary,
    "Project.transitionRequests": requests,
    "Member.email": lambda data, row: (principal(data, row["principal_id"]) or {})["email"],
    "Member.kind": lambda data, row: (principal(data, row["principal_id"]) or {})["kind"],
    "TagDefinition.aliases": aliases,
    "TransitionRequest.version": oracle.link("versions", "version_id"),
    "TransitionRequest.requestedBy": lambda data, row: row["created_by"],
    "TransitionRequest.at": lambda data, row: oracle.moment_text(row["created_at"]),
    "TransitionRequest.status": status_of_request,
    "TransitionRequest.approvals": lambda data, row: decisions(data, request_id=row["id"]),
    "TransitionRequest.requiredApprovals": lambda data, row: policy(data, row["project_id"])["required_approvals"],
    "Approval.request": oracle.link("transition_requests", "request_id"),
    "Approval.valid": lambda data, row: invalid_reason(data, row) is None,
    "Approval.invalidReason": invalid_reason,
    "Approval.changedSince": changed_since,
    "StageTransition.alone": lambda data, row: any(each["alone"] for each in of_step(data, row)),
    "ModelVersion.reviewDigest": lambda data, row: digest(reviewed_now(data, row)),
    "StageTransition.approvals": of_step,
    "ModelVersion.modelCard": card,
    "ModelVersion.approvals": lambda data, row: decisions(data, version_id=row["id"]),
    "ModelVersion.transitionRequests": oracle.connection("transition_requests", "version_id", oracle.NEWEST_FIRST),
    "ModelVersion.promotion": promotion,
    "ModelCard.revisions": revisions,
    "SegmentPerformance.metrics": lambda data, row: row["metrics"],
    "AuditEvent.subject": lambda data, row: data.node(row["subject_id"]),
    "AuditEvent.details": entry("details"),
    "AuditEvent.notes": entry("notes"),
    "AuditEvent.requestId": entry("requestId"),
    "AuditEvent.hash": lambda data, row: row["hash"].hex(),
    "AuditEvent.previousHash": lambda data, row: row["previous_hash"].hex(),
}
