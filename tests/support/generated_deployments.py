"""The deployments of a generated registry: of some versions of each model, in two environments, with their steps."""

import json
from datetime import timedelta
from itertools import count
from typing import Any

from tests.support.generated_rows import TEXTS, Rows
from tests.support.oracle import Row

PLANS = [
    [(100, 0.0)],
    [(5, 60.0), (25, 0.5), (100, 0.0)],
    [(1, 1.25), (100, 43_200.0)],
]
KINDS = ["created", "advanced", "paused", "resumed", "yielded", "completed"]


def hook(rows: Rows) -> Rows:
    """A webhook or two in each project, with what was sent."""
    pick = rows.random.choice
    for project in rows.tables["projects"]:
        for n in range(pick([1, 2])):
            made = {"url": f"https://example.com/{n}", "description": pick(TEXTS), "actions": pick([[], ["a", "b"]])}
            known = {"id": rows.id("whk"), "project_id": project["id"], "secret": "whsec_AA==", "position": n}
            webhook = rows.add("webhooks", **known, **made, active=pick([True, False]), **rows.made(), **_ended(rows))
            events = [row for row in rows.tables["audit_events"] if row["project_id"] == project["id"]]
            for event in rows.random.sample(events, min(len(events), 3)):
                status = pick(["PENDING", "DELIVERED", "FAILED"])
                rows.add(
                    "webhook_deliveries",
                    id=rows.id("dlv"),
                    project_id=project["id"],
                    webhook_id=webhook["id"],
                    event_id=event["id"],
                    status=status,
                    attempts=pick([0, 3]),
                    next_at=rows.now() + timedelta(days=20_000) if status == "PENDING" else None,
                    attempted_at=pick([None, rows.now()]),
                    response_status=pick([None, 200, 503]),
                    error=pick(TEXTS),
                    created_at=rows.now(),
                )
    return rows


def _ended(rows: Rows) -> dict[str, Any]:
    """Whether the registry switched a webhook off, and whether its secret was replaced."""
    off = rows.random.choice([None, rows.now()])
    rotated = rows.random.choice([None, rows.now(), rows.now() + timedelta(days=20_000)])
    return {
        "failing_since": rows.random.choice([None, rows.now()]),
        "disabled_at": off,
        "disabled_reason": off and "It kept failing.",
        "previous_secret": rotated and "whsec_BB==",
        "previous_until": rotated,
    }


def feed(rows: Rows) -> Rows:
    """Give the events of each project, but the last, their places."""
    for project in rows.tables["projects"]:
        events = [row for row in rows.tables["audit_events"] if row["project_id"] == project["id"]]
        for position, event in enumerate(events[:-1], 1):
            place = {"project_id": project["id"], "position": position}
            rows.add("audit_feed", **place, chain=event["chain"], seq=event["seq"])
    return rows


def deploy(rows: Rows) -> Rows:
    for model in list(rows.tables["models"]):
        versions = [row for row in rows.tables["versions"] if row["model_id"] == model["id"]][:20]
        if versions:
            _Deployments(rows, model, versions).add()
    return rows


class _Deployments:
    def __init__(self, rows: Rows, model: Row, versions: list[Row]):
        self.rows, self.model, self.versions = rows, model, versions
        self.pick, self.seq = rows.random.choice, count(1)

    def add(self) -> None:
        for environment in ("production", self.pick(["eu", "qa-2"])):
            ended = [self.deployment(environment, self.pick(["ROLLED_BACK", "RETIRED"]), 0) for _ in range(2)]
            active = self.pick([None, "ACTIVE"])
            share = self.pick([None, 0, 5, 50])
            if share is not None:
                self.deployment(environment, self.pick(["IN_PROGRESS", "PAUSED"]), share, ended[-1])
            if active:
                self.deployment(environment, active, 100 - (share or 0), ended[0])
            if self.pick([True, False]):
                self.deployment(environment, "ACTIVE", 0, strategy="SHADOW")

    def deployment(
        self, environment: str, status: str, share: int, previous: Row | None = None, strategy: str | None = None
    ) -> Row:
        pick = self.pick
        plan = pick(PLANS)
        minutes = pick([None, 10.0, 0.1])
        row = self.rows.add(
            "deployments",
            id=self.rows.id("dep"),
            project_id=self.model["project_id"],
            model_id=self.model["id"],
            version_id=pick(self.versions)["id"],
            name=pick(["Churn Predictor", 'q"uote', "日本"]),
            environment=environment,
            strategy=strategy or pick(["DIRECT", "CANARY", "CANARY", "BLUE_GREEN"]),
            status=status,
            traffic_percentage=share,
            stages=[{"trafficPercentage": each, "durationMinutes": lasts} for each, lasts in plan],
            stage=self.rows.random.randrange(len(plan)),
            auto_advance=pick([True, False]),
            auto_rollback=pick([True, False]),
            failure_threshold=pick([1, 3]),
            health_required=pick([True, False]),
            max_health_age_minutes=minutes,
            stage_since=self.rows.now(),
            due_at=self.rows.now() + timedelta(days=20_000) if status == "IN_PROGRESS" else None,
            previous_id=previous and previous["id"],
            revision=1,
            **self.rows.made(),
        )
        self.health(row)
        for kind in self.rows.random.sample(KINDS, pick([1, 3])):
            self.event(row, kind)
        return row

    def health(self, row: Row) -> None:
        for _ in range(self.pick([0, 1, 4])):
            self.rows.add(
                "health_reports",
                id=self.rows.id("hlt"),
                project_id=row["project_id"],
                deployment_id=row["id"],
                at=self.rows.now(),
                healthy=self.pick([True, False]),
                metrics=self.pick([{}, {"errorRate": 0.1 + 0.2, "p99": [1, None]}]),
                reported_by="pipeline",
            )

    def event(self, row: Row, kind: str) -> None:
        known: dict[str, Any] = {"actor": self.pick(["ana@example.com", "lineal rollouts"])}
        known["action"] = f"deployment.{kind}"
        told = {
            "notes": self.pick(TEXTS),
            "details": {"before": None, "after": {"trafficPercentage": self.pick([0, 5])}},
        }
        seq = next(self.seq)
        self.rows.add(
            "audit_events",
            chain=self.model["id"],
            seq=seq,
            id=(id_ := self.rows.id("evt")),
            project_id=self.model["project_id"],
            at=self.rows.now(),
            subject_id=row["id"],
            entry=json.dumps({"id": id_, "subjectId": row["id"], "requestId": "r"} | known | told, ensure_ascii=False),
            previous_hash=bytes([seq]) * 32,
            hash=bytes([seq + 1]) * 32,
            **known,
        )
