"""The governance of a generated registry: people, policies, tags, cards, requests, reviews and events."""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from tests.support.generated_rows import METRICS, STAGES, TAGS, TEXTS, Rows
from tests.support.oracle import Row

PEOPLE = {
    "prin_ana": ("ana@example.com", "USER"),
    "prin_bo": ("bo@example.com", "USER"),
    "prin_cy": ("cy@example.com", "USER"),
    "prin_pipe": ("pipeline", "SERVICE"),
}
ROLES = ["VIEWER", "CONTRIBUTOR", "REVIEWER", "ADMIN"]
# So far away that the clock has no say in what is over.
PAST, FUTURE = timedelta(days=-20_000), timedelta(days=20_000)


def govern(rows: Rows) -> Rows:
    """Add to the rows of projects and versions all that governs them."""
    for id_, (email, kind) in PEOPLE.items():
        rows.add("principals", id=id_, email=email, kind=kind, administers=id_ == "prin_ana", **rows.made())
    for project in list(rows.tables["projects"]):
        _Governance(rows, project["id"]).add()
    return rows


class _Governance:
    def __init__(self, rows: Rows, project: str):
        self.rows, self.project = rows, project
        self.pick = rows.random.choice

    def add(self) -> None:
        self.policy()
        self.members()
        self.keys()
        self.tags()
        for version in [row for row in self.rows.tables["versions"] if row["project_id"] == self.project][:40]:
            self.card(version)
            self.reviews(version)
        self.events()

    def policy(self) -> None:
        pick = self.pick
        thresholds: list[Row] = [
            {"name": "auc", "min": 0.5, "max": None},
            {"name": self.pick(METRICS), "min": None, "max": 1e9},
        ]
        self.rows.add(
            "project_policies",
            project_id=self.project,
            required_approvals=pick([1, 1, 2]),
            allow_self_approval=pick([True, False]),
            require_complete_card=pick([True, False]),
            block_invalid_data=pick([True, False]),
            semver=pick(["OFF", "WARN", "ENFORCE"]),
            tags=pick(["OFF", "WARN", "ENFORCE"]),
            retention_days=pick([None, 90]),
            min_metrics=pick([[], thresholds]),
            max_regression=pick([None, 0.0, 0.1]),
            approval_valid_days=30,
            allow_requester_approval=pick([True, False]),
            loosening_hours=pick([0.0, 24.0]),
            protected_aliases=pick([[], ["champion", "a.b"]]),
            reviewer_left_at=pick([None, self.rows.now() + PAST, self.rows.now()]),
        )
        for field, value in (("semver", "OFF"), ("max_regression", None), ("min_metrics", thresholds)):
            self.change(field, value)

    def change(self, field: str, value: Any) -> None:
        pick = self.pick
        self.rows.add(
            "policy_changes",
            id=self.rows.id("pch"),
            project_id=self.project,
            field=field,
            from_value=pick([None, [], "ENFORCE"]),
            to_value=value,
            effective_at=self.rows.now() + pick([PAST, FUTURE]),
            status=pick(["PENDING", "APPLIED", "REPLACED", "WITHDRAWN"]),
            confirmed_by=pick([None, "bo@example.com"]),
            alone=pick([True, False]),
            **self.rows.made(),
        )

    def members(self) -> None:
        for id_ in self.rows.random.sample(list(PEOPLE), 3):
            role = self.pick(ROLES)
            since = self.pick([None, self.rows.now()])
            of = {"project_id": self.project, "principal_id": id_, "role": role, "reviewer_since": since}
            self.rows.add("members", **of, **self.rows.made())

    def keys(self) -> None:
        for n, id_ in enumerate(["prin_ana", "prin_bo", "prin_bo"]):
            self.rows.add(
                "api_keys",
                id=self.rows.id("key"),
                name=self.pick(["pipeline", "laptop 😀"]),
                principal_id=id_,
                project_id=self.pick([None, self.project]),
                may_attest=self.pick([True, False]),
                secret_hash=hashlib.sha256(f"{self.project} {n}".encode()).digest(),
                expires_at=self.pick([None, self.rows.now() + PAST, self.rows.now() + FUTURE]),
                revoked_at=self.pick([None, None, self.rows.now()]),
                last_used_at=self.pick([None, self.rows.now()]),
                **self.rows.made(),
            )

    def tags(self) -> None:
        for name in self.rows.random.sample(TAGS, 4):
            defined = {"description": self.pick(TEXTS), "deprecated": self.pick([True, False])}
            self.rows.add("tag_definitions", project_id=self.project, name=name, **defined, **self.rows.made())
            for alias in (f"{name}-2", f"{name}-1")[: self.rows.random.randrange(3)]:
                of = {"project_id": self.project, "alias": alias, "name": name}
                self.rows.add("tag_aliases", **of, **self.rows.made())

    def card(self, version: Row) -> None:
        revisions = self.pick([0, 1, 3])
        of = {"project_id": self.project, "version_id": version["id"]}
        sections: Row = {}
        for n in range(1, revisions + 1):
            sections = self.sections()
            at, by = self.rows.now(), self.pick(["ana@example.com", "bo@example.com"])
            changed = self.rows.random.sample(["description", "limitations", "intendedUse"], 2)
            row = {"revision": n, "at": at, "by": by, "changed": changed, "sections": sections}
            self.rows.add("model_card_revisions", **of, **row)
        if revisions:
            self.rows.add("model_cards", **of, revision=revisions, **sections, updated_at=at, updated_by=by)

    def sections(self) -> Row:
        summary = {"source": "Δ", "total_rows": 2**40, "positive_class_ratio": 0.087, "extra": {"a": [1, None]}}
        segments = {"enterprise": {"auc": 0.5, "samples": 12}, "b": {"my metric": 1.5}, "a": {}}
        texts = ("description", "intended_use", "limitations", "ethical_considerations")
        return {name: self.pick(TEXTS) for name in texts} | {
            "training_data_summary": self.pick([None, {}, {"date_range": "2025", "feature_count": 3}, summary]),
            "performance_by_segment": self.pick([None, {}, segments]),
        }

    def reviews(self, version: Row) -> None:
        target = self.pick(STAGES[version["stage"]])
        requests = [self.request(version, target) for _ in range(self.pick([0, 0, 1, 2]))]
        for request in requests[:-1]:
            request["status"] = self.pick(["REJECTED", "CANCELLED", "EXPIRED"])
        for _ in range(self.pick([0, 1, 3])):
            self.approval(version, target, self.pick([None, *(request["id"] for request in requests)]))
        first = next(s for s in self.rows.tables["stage_transitions"] if s["version_id"] == version["id"])
        if first["position"] != version["stage_position"]:
            self.approval(version, self.pick(["STAGING", "ARCHIVED"]), None, first["position"])

    def request(self, version: Row, target: str) -> Row:
        made = self.rows.made()
        return self.rows.add(
            "transition_requests",
            id=self.rows.id("req"),
            project_id=self.project,
            version_id=version["id"],
            target_stage=target,
            stage_position=version["stage_position"],
            notes=self.pick(TEXTS),
            expires_at=made["created_at"] + self.pick([PAST, FUTURE]),
            status=self.pick(["OPEN", "OPEN", "APPLIED", "REJECTED"]),
            **made,
        )

    def approval(self, version: Row, target: str, request: str | None, position: int | None = None) -> None:
        reviewer = self.pick(["prin_bo", "prin_cy", "prin_ana", "prin_bo"])
        at: datetime = self.rows.now() + self.pick([PAST, FUTURE, FUTURE])
        self.rows.add(
            "approvals",
            id=self.rows.id("apr"),
            project_id=self.project,
            version_id=version["id"],
            request_id=request,
            target_stage=target,
            stage_position=position or version["stage_position"],
            reviewer=PEOPLE[reviewer][0],
            reviewer_id=reviewer,
            attested_by=self.pick([None, None, "pipeline"]),
            decision=self.pick(["APPROVE", "APPROVE", "REJECT"]),
            meaning=f"Somebody means {target}.",
            notes=self.pick(TEXTS),
            at=at,
            reviewed=self.reviewed(version),
            alone=self.pick([True, False, False]),
        )

    def reviewed(self, version: Row) -> Any:
        """Mostly what holds now."""
        tables = self.rows.tables
        cards = [row["revision"] for row in tables["model_cards"] if row["version_id"] == version["id"]]
        used = {u["dataset_version_id"] for u in tables["dataset_uses"] if u["version_id"] == version["id"]}
        used |= {version["dataset_version_id"]}
        data = {row["id"]: row["status"] for row in tables["dataset_versions"] if row["id"] in used}
        old = {"cardRevision": cards[0] if cards else 0, "data": data}
        tags = sorted(row["tag"] for row in tables["tags"] if row["version_id"] == version["id"])
        since = {row["id"]: row["status_at"] for row in tables["dataset_versions"] if row["id"] in used}
        texts = {id_: at and at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for id_, at in since.items()}
        seen = old | {"description": version["description"], "tags": tags, "dataSince": texts}
        earlier = seen | {"data": dict.fromkeys(data, "ACTIVE")}
        others: list[Row] = [{"experiment": {"status": "RUNNING"}}, {"cardRevision": 7}, {"description": "Another."}]
        others += [{"tags": ["old"]}, {"dataSince": {}}]
        return self.pick([old, seen, seen, seen, earlier, *(seen | other for other in others)])

    def events(self) -> None:
        tables = ("versions", "models", "projects", "api_keys", "transition_requests", "policy_changes")
        subjects = [row["id"] for table in tables
                    for row in self.rows.tables[table] if row.get("project_id", row["id"]) == self.project]  # fmt: skip
        for n in range(1, 13):
            id_, subject = self.rows.id("evt"), self.pick([*subjects, "ver_gone", "apr_1"])
            known = {"actor": self.pick(["ana@example.com", "bo@example.com"]), "action": self.pick(ACTIONS)}
            entry = {"id": id_, "subjectId": subject, "notes": self.pick(TEXTS), "requestId": f"r-{n}", **known}
            entry["details"] = self.pick([{"before": None, "after": {"é": 1.5}}, {"before": {"a": []}, "after": None}])
            self.rows.add(
                "audit_events",
                chain=self.project,
                seq=n,
                id=id_,
                project_id=self.project,
                at=self.rows.now(),
                subject_id=subject,
                entry=json.dumps(entry, ensure_ascii=False),
                previous_hash=bytes([n - 1]) * 32,
                hash=bytes([n]) * 32,
                **known,
            )


ACTIONS = ["version.created", "version.transitioned", "member.set"]
