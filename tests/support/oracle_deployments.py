"""What reads must answer of deployments and webhooks: part of the oracle."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import oracle
from tests.support.oracle import Data, Row

ENDED = ("ROLLED_BACK", "RETIRED")


def page(data: Data, found: Sequence[Row], paging: Mapping[str, Any]) -> Row:
    return oracle.page(data, found, oracle.NEWEST_FIRST, oracle.Paging(**paging))


def deployments(data: Data, _: Row, filter: Mapping[str, Any] | None = None, **paging: Any) -> Row:
    asked = {name: value for name, value in (filter or {}).items() if value is not None}

    def is_meant(row: Row) -> bool:
        columns = {"projectId": "project_id", "modelId": "model_id", "environment": "environment"}
        return all(row[columns[name]] == value for name, value in asked.items() if name != "status") and (
            "status" not in asked or row["status"] in asked["status"]
        )

    return page(data, [row for row in data.tables["deployments"] if is_meant(row)], paging)


def of_version(data: Data, version: Row, status: Sequence[str] | None = None, **paging: Any) -> Row:
    found = data.all("deployments", version_id=version["id"])
    return page(data, [row for row in found if status is None or row["status"] in status], paging)


def steps(data: Data, row: Row) -> list[Row]:
    """What the model's chain of the audit log tells of a deployment, in order."""
    found = data.all("audit_events", subject_id=row["id"], chain=row["model_id"])
    return sorted(found, key=lambda event: event["seq"])


def event(found: Row) -> Row:
    entry = json.loads(found["entry"])
    return {
        "at": found["at"],
        "kind": found["action"].split(".")[1],
        "actor": found["actor"],
        "reason": entry["notes"],
        "traffic_percentage": entry["details"]["after"]["trafficPercentage"],
    }


def health(data: Data, row: Row, first: int | None = 100) -> list[Row]:
    found = data.all("health_reports", deployment_id=row["id"])
    return sorted(found, key=lambda each: (each["at"], each["id"]), reverse=True)[: 100 if first is None else first]


def next_advance(data: Data, row: Row) -> str | None:
    if row["status"] != "IN_PROGRESS" or not row["auto_advance"]:
        return None
    minutes = row["stages"][row["stage"]]["durationMinutes"]
    return oracle.moment_text(row["stage_since"] + timedelta(minutes=minutes))


def serving(data: Data, model: Row, environment: str | None = "production") -> list[Row]:
    found = data.all("deployments", model_id=model["id"], environment=environment or "production")
    shares = [{"id": row["id"], "share": row["traffic_percentage"]} for row in found if row["traffic_percentage"]]
    left = 100 - sum(each["share"] for each in shares)
    if shares and left:
        shares.append({"id": None, "share": left})
    return sorted(shares, key=lambda each: (-each["share"], each["id"] is None, each["id"] or ""))


def operations(data: Data, version: Row) -> list[Row]:
    """What a card tells of a version's deployments."""
    found = sorted(data.all("deployments", version_id=version["id"]), key=lambda row: (row["created_at"], row["id"]))
    shown = ("id", "name", "environment", "strategy", "status")
    return [
        {name: row[name] for name in shown}
        | {"trafficPercentage": row["traffic_percentage"], "reason": last_reason(data, row)}
        for row in found
    ]


def last_reason(data: Data, row: Row) -> str | None:
    events = data.all("audit_events", subject_id=row["id"])
    last = max(events, key=lambda each: (each["at"], each["seq"]), default=None)
    return json.loads(last["entry"])["notes"] if last else None


# Webhooks


def webhooks(data: Data, project: Row) -> list[Row]:
    return sorted(data.all("webhooks", project_id=project["id"]), key=lambda row: (row["created_at"], row["id"]))


def deliveries(
    data: Data,
    webhook: Row,
    status: Sequence[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    **paging: Any,
) -> Row:
    found = data.all("webhook_deliveries", webhook_id=webhook["id"])
    found = [row for row in found if status is None or row["status"] in status]
    found = [row for row in found if since is None or row["created_at"] >= oracle.moment(since)]
    return page(data, [row for row in found if until is None or row["created_at"] < oracle.moment(until)], paging)


def previous_secret_until(data: Data, webhook: Row) -> str | None:
    until = webhook["previous_until"]
    return oracle.moment_text(until) if until is not None and until > datetime.now(UTC) else None


RESOLVERS: dict[str, Callable[..., Any]] = {
    "Query.deployment": oracle.by_id("deployments"),
    "Query.deployments": deployments,
    "ModelVersion.deployments": of_version,
    "Model.serving": serving,
    "ServingShare.deployment": oracle.link("deployments", "id"),
    "Deployment.project": oracle.link("projects", "project_id"),
    "Deployment.version": oracle.link("versions", "version_id"),
    "Deployment.previous": oracle.link("deployments", "previous_id"),
    "Deployment.currentStage": lambda data, row: row["stage"] if row["strategy"] == "CANARY" else None,
    "Deployment.canary": lambda data, row: row if row["strategy"] == "CANARY" else None,
    "Deployment.events": lambda data, row: [event(each) for each in steps(data, row)],
    "Deployment.health": health,
    "Deployment.nextAdvanceAt": next_advance,
    "Project.webhooks": webhooks,
    "Webhook.project": oracle.link("projects", "project_id"),
    "Webhook.deliveries": deliveries,
    "Webhook.previousSecretUntil": previous_secret_until,
    "WebhookDelivery.event": oracle.link("audit_events", "event_id"),
}
