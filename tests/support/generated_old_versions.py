"""Many versions as a neglected project has them, and by plain Python which of them retention archives."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg

PROJECT, DAYS = "proj_old", 30
ACTOR = "pipeline@example.com"
START = datetime(2024, 1, 1, tzinfo=UTC)
VERSIONS_EACH = 100

Row = dict[str, Any]


@dataclass
class OldVersions:
    """Rows by table, parents before their children."""

    now: datetime
    chance: Random
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def fill(self, count: int) -> None:
        """Models with many short lines that cross from one to the other, and two long lines: one whose end is
        living."""
        project = {"id": PROJECT, "name": "Old", "created_at": START, "created_by": ACTOR}
        self.rows["projects"].append(project)
        long = count // 20
        for name, last in (("dead", "DEVELOPMENT"), ("alive", "STAGING")):
            parent = None
            for place in range(long):
                stage = last if place == long - 1 else "DEVELOPMENT"
                parent = self._version(f"model_{name}", stage, parent, young=False)["id"]
        for place in range(count - 2 * long):
            recent = self.rows["versions"][-200:]
            parent = self.chance.choice(recent)["id"] if place and self.chance.random() < 0.6 else None
            fate = self.chance.random()
            stage = "ARCHIVED" if fate < 0.1 else "STAGING" if fate < 0.12 else "DEVELOPMENT"
            version = self._version(f"model_{place // VERSIONS_EACH:05}", stage, parent, self.chance.random() < 0.03)
            self._belongings(version)

    def _version(self, model: str, stage: str, parent: str | None, young: bool) -> Row:
        place = len(self.rows["versions"])
        at = START + timedelta(seconds=place)
        if not self.rows["models"] or self.rows["models"][-1]["id"] != model:
            self.rows["models"].append(_in_project(id=model, name=model, created_at=at, created_by=ACTOR))
            self.number = self.position = 0
        self.number += 1
        version = _in_project(
            id=f"ver_{place:06}",
            model_id=model,
            number=[1, self.number, 0],
            stage=stage,
            stage_position=0,
            parameters="{}",
            features=[],
            parent_id=parent,
            created_at=at,
            created_by=ACTOR,
            touched_at=self.now - timedelta(days=DAYS, hours=-1 if young else 1),
        )
        self.rows["versions"].append(version)
        for step in ("DEVELOPMENT",) if stage == "DEVELOPMENT" else ("DEVELOPMENT", stage):
            self._step(version, step, at)
        return version

    def _step(self, version: Row, stage: str, at: datetime) -> None:
        self.position += 1
        before = version["stage_position"] or None
        step = {"previous_position": self.position - 1 or None, "after_position": before, "to_stage": stage}
        self.rows["stage_transitions"].append(
            _in_project(
                id=f"tra_{len(self.rows['stage_transitions']):06}",
                model_id=version["model_id"],
                version_id=version["id"],
                position=self.position,
                from_stage="DEVELOPMENT" if before else None,
                at=at,
                actor=ACTOR,
                automatic=False,
                **step,
            )
        )
        version["stage_position"] = self.position

    def _belongings(self, version: Row) -> None:
        if self.chance.random() < 0.05:
            tag = self.chance.choice(["keep", "baseline"])
            self.rows["tags"].append(_in_project(version_id=version["id"], tag=tag))
        if self.chance.random() < 0.02:
            self.rows["transition_requests"].append(
                _in_project(
                    id=version["id"].replace("ver_", "req_"),
                    version_id=version["id"],
                    target_stage="STAGING",
                    stage_position=version["stage_position"],
                    expires_at=self.now + timedelta(days=self.chance.choice([-1, 1])),
                    status=self.chance.choice(["OPEN", "OPEN", "REJECTED"]),
                    created_by=ACTOR,
                )
            )

    def archivable(self) -> set[str]:
        """The versions that retention archives, each after all its children."""
        versions = {version["id"]: version for version in self.rows["versions"]}
        limit = self.now - timedelta(days=DAYS)
        tagged = {tag["version_id"] for tag in self.rows["tags"] if tag["tag"] == "keep"}
        asked = {
            request["version_id"]
            for request in self.rows["transition_requests"]
            if request["status"] == "OPEN" and request["expires_at"] > self.now
        }
        old = {id_ for id_, v in versions.items() if v["stage"] == "DEVELOPMENT" and v["touched_at"] < limit}
        living = {id_ for id_, v in versions.items() if v["stage"] != "ARCHIVED"} - old | tagged | asked
        living -= {id_ for id_ in living if versions[id_]["stage"] == "ARCHIVED"}
        walking = list(living)
        while walking:
            parent = versions[walking.pop()]["parent_id"]
            if parent in old and parent not in living:
                living.add(parent)
                walking.append(parent)
        return old - living


def _in_project(**row: Any) -> Row:
    return {"project_id": PROJECT, **row}


def old_versions(count: int, seed: int = 1) -> OldVersions:
    made = OldVersions(datetime.now(UTC), Random(seed))
    made.fill(count)
    return made


async def insert(owner_url: str, made: OldVersions, tables: Iterable[str] = ()) -> None:
    """COPY the rows, with every constraint on, as the owner: the app's role may not age a version."""
    connection = await asyncpg.connect(owner_url)
    try:
        async with connection.transaction():
            for table in ("projects", "models", "versions", "stage_transitions", "tags", "transition_requests"):
                rows = made.rows[table]
                columns = list(rows[0])
                records = [tuple(row[column] for column in columns) for row in rows]
                await connection.copy_records_to_table(table, records=records, columns=columns)
            policy = {"retention_days": DAYS, "required_approvals": 1, "approval_valid_days": 30, "loosening_hours": 24}
            await connection.execute(
                "INSERT INTO project_policies SELECT * FROM json_populate_record(NULL::project_policies, $1)",
                json.dumps(
                    policy | {"project_id": PROJECT, "min_metrics": [], "semver": "WARN", "tags": "WARN"} | FLAGS
                ),
            )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


FLAGS = {
    "allow_self_approval": False,
    "allow_requester_approval": False,
    "require_complete_card": False,
    "block_invalid_data": True,
    "protected_aliases": [],
}
