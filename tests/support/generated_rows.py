"""A registry to ask about: the same rows every time, with all that is awkward in names, numbers, floats and times."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import asyncpg

from tests.support.oracle import JSON_COLUMNS, TABLES, Row

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
# Fractions that PostgreSQL writes with no, one, three and six digits; none moves time on, so that moments repeat.
STEPS = [0, 0, 500_000, 1_000, 1, 59_999_999, 3_600_000_000]
FLOATS = [
    0.5, 0.912, 0.912, 0.1 + 0.2, 1 / 3, -1.5, -1e-7, 0.0, -0.0, 1.0, 1e15, 1e16, 123456789012345680.0, 1e22,
    2.0**53 + 2, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 0.0001, 0.00001,
]  # fmt: skip
METRICS = ["auc", "f1", "val_logloss", "latency ms", "π", "AUC"]
TAGS = ["prod ready", "a", "A", "a-b", "ä", 'quo"ted', "back\\slash", "日本", "{0}", "$1", "😀"]
ALGORITHMS = [None, "XGBoost", "xgb", "LightGBM", "random_forest", "my own"]
TEXTS = [
    None,
    "Plain.",
    'Two\nlines,\ta "tab" and a back\\slash',
    "😀 Grüße, 日本",
    "{t} {args[id]} %s $1 '; --",
    "null",
]
PARAMETERS: list[Row] = [
    {},
    {"algorithm": "XGBoost", "depth": 6, "eta": 0.3, "nested": {"list": [1, 1.0, None, True, "x", {}]}},
    {"big": 2**63 - 1, "small": -(2**63), "tiny": 5e-324, "huge": 1.7976931348623157e308, "zero": -0.0},
    {"computed": 0, "parent": None, "": "empty", "ключ": "значение", 'q"': "\\", "😀": ["\u2028", "\t"]},
]
ORIGINS: list[Row | None] = [
    None,
    {"system": "mlflow", "id": "churn/7"},
    {
        "system": "w&b 日本",
        "id": '"',
        "createdAt": "2024-02-29T12:00:00.5+00:00",
        "createdBy": "ana",
        "url": "https://a.b/c",
    },
]
ALIASES = ["champion", "a.b", "a-b", "b_2", "shadow"]
FEATURES = [[], ["age"], ["age", "income", "city"], ["income", "age", "city", "plan", "tenure", "日本", 'q"']]
NUMBERS = [
    [1, 0, 0], [0, 9, 0], [1, 0, 1], [1, 2, 0], [1, 10, 0], [2, 0, 0], [10, 0, 0], [1, 0, 10], [3, 0, 0],
    [999_999_999, 0, 1], [2, 1, 0], [2, 0, 1], [11, 0, 0], [3, 1, 4], [4, 0, 0],
]  # fmt: skip
STAGES = {
    "DEVELOPMENT": ["STAGING", "ARCHIVED"],
    "STAGING": ["PRODUCTION", "PRODUCTION", "DEVELOPMENT", "ARCHIVED"],
    "PRODUCTION": ["ARCHIVED"],
    "ARCHIVED": ["STAGING"],
}


class Rows:
    """Rows being made, in an order in which they can be inserted."""

    def __init__(self, seed: int):
        self.tables: dict[str, list[Row]] = {name: [] for name in TABLES}
        self.random = Random(seed)
        self._now = START
        self._numbers = count(1)

    def now(self) -> datetime:
        self._now += timedelta(microseconds=self.random.choice(STEPS))
        return self._now

    def id(self, prefix: str) -> str:
        n = next(self._numbers)
        return f"{prefix}_{self.random.choice(['x', 'B', 'a.b', '0-', '_'])}{n}"

    def add(self, table: str, **columns: Any) -> Row:
        self.tables[table].append(columns)
        return columns

    def made(self) -> Row:
        return {"created_at": self.now(), "created_by": self.random.choice(["ana@example.com", "pipeline"])}

    def maybe(self, rows: Sequence[Row], share: float = 0.7) -> str | None:
        return self.random.choice(rows)["id"] if rows and self.random.random() < share else None

    def project(self, id_: str, name: str) -> None:
        self.add("projects", id=id_, name=name, description=self.random.choice(TEXTS), **self.made())

    def dataset(self, project: str, name: str, versions: int) -> list[Row]:
        dataset = self.add(
            "datasets",
            id=self.id("ds"),
            project_id=project,
            name=name,
            description=self.random.choice(TEXTS),
            **self.made(),
        )
        return [self._dataset_version(dataset, f"Q{n}") for n in range(versions)]

    def _dataset_version(self, dataset: Row, label: str) -> Row:
        pick = self.random.choice
        project = dataset["project_id"]
        older = [row for row in self.tables["dataset_versions"] if row["project_id"] == project]
        status = pick(["ACTIVE", "DEPRECATED", "INVALID"])
        version = self.add(
            "dataset_versions",
            id=self.id("dsv"),
            project_id=project,
            dataset_id=dataset["id"],
            label=label,
            row_count=pick([None, 0, 1, 2**40, 2**63 - 1]),
            uri=pick([None, "s3://bucket/data"]),
            digest=pick([None, "sha256:ab"]),
            features=pick(FEATURES),
            status=status,
            status_reason=None if status == "ACTIVE" else pick(TEXTS),
            status_at=pick([None, self.now()]),
            **self.made(),
        )
        for parent in self.random.sample(older, min(len(older), pick([0, 0, 1, 2]))):
            self.add("dataset_parents", project_id=project, dataset_version_id=version["id"], parent_id=parent["id"])
        return version

    def experiment(self, project: str, name: str, data: Sequence[Row]) -> Row:
        pick = self.random.choice
        status = pick(["RUNNING", "COMPLETED", "FAILED"])
        made = self.made()
        return self.add(
            "experiments",
            id=self.id("exp"),
            project_id=project,
            name=name,
            status=status,
            algorithm=pick(ALGORITHMS),
            training_duration_secs=pick([None, 0.0, 12.5, 1e15, 0.1 + 0.2]),
            max_models=pick([None, 0, 20, 2**31 - 1]),
            parameters=pick(PARAMETERS),
            notes=pick(TEXTS),
            dataset_version_id=self.maybe(data),
            completed_at=None if status == "RUNNING" else made["created_at"],
            **made,
        )

    def model(
        self, project: str, name: str, versions: int, experiments: Sequence[Row], data: Sequence[Row], *, steps: int = 4
    ) -> Row:
        model = self.add(
            "models",
            id=self.id("model"),
            project_id=project,
            name=name,
            description=self.random.choice(TEXTS),
            owner=self.random.choice([None, "Team Ä", "ana@example.com"]),
            properties=self.random.choice(PARAMETERS),
            origin=self.random.choice(ORIGINS),
            archived=self.random.random() < 0.3 and name != "Churn",
            updated_at=self.now(),
            **self.made(),
        )
        numbers = iter(NUMBERS) if versions <= len(NUMBERS) else ([1, 0, n] for n in count())
        history = _History(self, model)
        for _ in range(versions):
            history.register(self._version(model, next(numbers), experiments, data))
            history.walk(self.random.randrange(steps))
        self._aliases(model, list(history.versions.values()))
        return model

    def _aliases(self, model: Row, versions: Sequence[Row]) -> None:
        of_model = {"project_id": model["project_id"], "model_id": model["id"]}
        for name in self.random.sample(ALIASES, self.random.randrange(4)) if versions else ():
            pointer = {"version_id": self.random.choice(versions)["id"], "set_at": self.now(), "set_by": "pipeline"}
            self.add("model_aliases", **of_model, name=name, **pointer)

    def _version(self, model: Row, number: list[int], experiments: Sequence[Row], data: Sequence[Row]) -> Row:
        pick, project = self.random.choice, model["project_id"]
        older = [row for row in self.tables["versions"] if row["project_id"] == project]
        own = [row for row in older if row["model_id"] == model["id"]]
        uri = pick([None, "s3://bucket/model.onnx", "/other"])
        version = self.add(
            "versions",
            id=self.id("ver"),
            project_id=project,
            model_id=model["id"],
            number=number,
            stage="DEVELOPMENT",
            stage_position=0,
            description=pick(TEXTS),
            algorithm=pick(ALGORITHMS),
            parameters=pick(PARAMETERS),
            features=pick(FEATURES),
            target=pick([None, "churned", "revenue"]),
            artifact_uri=uri,
            artifact_digest=uri and pick([None, "sha256:ab", "sha256:cd"]),
            artifact_size_bytes=uri and pick([None, 0, 2**63 - 1]),
            artifact_format=uri and pick([None, "onnx"]),
            artifact_moved_at=uri and pick([None, self.now()]),
            origin=pick(ORIGINS),
            properties=pick(PARAMETERS),
            experiment_id=self.maybe(experiments),
            dataset_version_id=self.maybe(data),
            parent_id=self.maybe(own[-3:] if self.random.random() < 0.7 else older, 0.85),
            **self.made(),
        )
        self._details(version, data)
        return version

    def _details(self, version: Row, data: Sequence[Row]) -> None:
        of_version = {"project_id": version["project_id"], "version_id": version["id"]}
        for name in self.random.sample(METRICS, self.random.randrange(len(METRICS))):
            self.add("metrics", **of_version, name=name, value=self.random.choice(FLOATS))
        for tag in self.random.sample(TAGS, self.random.choice([0, 1, 2, 5, len(TAGS)])):
            self.add("tags", **of_version, tag=tag)
        used = {("TRAINING", version["dataset_version_id"])} if version["dataset_version_id"] else set()
        used |= {(role, self.maybe(data, 0.4)) for role in ("TRAINING", "VALIDATION", "TEST")}
        for role, id_ in sorted(use for use in used if use[1]):
            self.add("dataset_uses", **of_version, role=role, dataset_version_id=id_)


class _History:
    """The steps of one model's versions: gapless, each continuing one before, at most one in production."""

    def __init__(self, rows: Rows, model: Row):
        self.rows, self.model = rows, model
        self.last: dict[str, Row] = {}
        self.versions: dict[str, Row] = {}
        self.position = 0

    def register(self, version: Row) -> None:
        self.versions[version["id"]] = version
        self._step(version["id"], "DEVELOPMENT")

    def walk(self, steps: int) -> None:
        for _ in range(steps):
            id_ = self.rows.random.choice(list(self.versions))
            target = self.rows.random.choice(STAGES[self.versions[id_]["stage"]])
            serving = [v["id"] for v in self.versions.values() if v["stage"] == "PRODUCTION"]
            if target == "PRODUCTION" and serving:
                self._step(serving[0], "ARCHIVED", automatic=True)
            self._step(id_, target)

    def _step(self, id_: str, stage: str, automatic: bool = False) -> None:
        before = self.last.get(id_)
        self.position += 1
        self.last[id_] = self.rows.add(
            "stage_transitions",
            id=self.rows.id("tra"),
            project_id=self.model["project_id"],
            model_id=self.model["id"],
            version_id=id_,
            position=self.position,
            previous_position=self.position - 1 or None,
            after_position=before and before["position"],
            from_stage=before and before["to_stage"],
            to_stage=stage,
            at=self.rows.now(),
            actor="ana@example.com",
            approved_by=self.rows.random.choice([None, "bo@example.com"]),
            notes=self.rows.random.choice(TEXTS),
            automatic=automatic,
        )
        self.versions[id_] |= {"stage": stage, "stage_position": self.position}


def registry_rows(seed: int = 20261123) -> Rows:
    """Three projects: two that have much alike, and an empty one."""
    rows = Rows(seed)
    rows.project("proj_alpha", "Customers")
    rows.project("proj_beta", "Customers")
    rows.project("proj_empty", "Äpfel")
    for project, sizes in (("proj_alpha", (9, 5, 1, 0)), ("proj_beta", (7, 4, 0))):
        data = [*rows.dataset(project, "clicks", 3), *rows.dataset(project, "Clicks 日本", 2)]
        rows.dataset(project, "unused", 0)
        experiments = [rows.experiment(project, name, data) for name in ("first", "second", "first", 'q"')]
        for name, versions in zip(("Churn", "churn model", "Zürich ÉTÉ", "empty"), sizes, strict=False):
            rows.model(project, name, versions, experiments, data)
    return rows


def wide_rows() -> Rows:
    """One project: a model of one version, one of a hundred, and a version with more descendants than lineage shows."""
    rows = Rows(seed=1)
    rows.project("proj_wide", "Wide")
    data = rows.dataset("proj_wide", "clicks", 2)
    experiments = [rows.experiment("proj_wide", "first", data)]
    for name, versions in (("one", 1), ("hundred", 100)):
        rows.model("proj_wide", name, versions, experiments, data)
    ancestor = rows.tables["versions"][0]["id"]
    rows.model("proj_wide", "fan", 510, [], [], steps=1)
    for version in rows.tables["versions"][101:]:
        version["parent_id"] = ancestor
    return rows


async def insert(url: str, rows: Rows) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SET CONSTRAINTS ALL DEFERRED")
            for table, records in rows.tables.items():
                if not records:
                    continue
                columns = list(records[0])
                await connection.copy_records_to_table(table, records=_records(records, columns), columns=columns)
    finally:
        await connection.close()


def _records(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[list[Any]]:
    for row in rows:
        yield [
            json.dumps(row[name]) if name in JSON_COLUMNS and row[name] is not None else row[name] for name in columns
        ]
