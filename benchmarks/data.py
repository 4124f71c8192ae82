"""The rows of a registry as teams fill it, the same at every run: each model with all that belongs to it."""

import base64
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

PROJECTS, DATASETS_EACH, DATASET_VERSIONS_EACH = 10, 5, 20
RUNS_EACH = 5  # how many versions of a model come from one experiment
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
# Who asks: a reviewer in every project, who may bring on what it registered, and sees nothing by right of its own.
ACTOR, PRINCIPAL = "pipeline@example.com", "prin_bench"
POLICY = {
    "required_approvals": 1,
    "allow_self_approval": True,
    "require_complete_card": False,
    "block_invalid_data": True,
    "semver": "WARN",
    "tags": "WARN",
    "retention_days": 90,
    "min_metrics": "[]",
    "max_regression": 0.1,
    "approval_valid_days": 30,
}
ALGORITHMS = ("XGBoost", "LightGBM", "RandomForest", "LogisticRegression", "NeuralNetwork")
TAGS = (
    "gdpr-reviewed",
    "baseline",
    "candidate",
    "weekly",
    "eu",
    "us",
    "quantized",
    "shadow",
    "holdout-ok",
    "explained",
)
METRICS = ("auc", "accuracy", "f1", "log_loss", "precision", "recall")
FEATURES = [f"feature_{i:02}" for i in range(24)]
HEADS = ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu")
MIDDLES, TAILS = ("", "ra", "si", "to"), ("ran", "sel", "tor", "vin", "lum")
WORDS = [head + middle + tail for head in HEADS for middle in MIDDLES for tail in TAILS]

Row = dict[str, Any]
Rows = dict[str, list[Row]]


def id_at(chance: random.Random, prefix: str, moment: datetime) -> str:
    """An id as Lineal makes them: by the time, so that neighbours in time are neighbours in the indexes."""
    digits = int(moment.timestamp() * 1000).to_bytes(6, "big") + chance.randbytes(10)
    return f"{prefix}_{base64.b32hexencode(digits).decode().rstrip('=').lower()}"


def model_id(i: int) -> str:
    return f"model_{i:05}"


def project_of(i: int) -> str:
    return f"proj_team{i % PROJECTS}"


def dataset_version_id(i: int, j: int) -> str:
    """The data that version j of model i was trained on: teams share data sets, and move on through their versions."""
    dataset = i % PROJECTS, i // PROJECTS % DATASETS_EACH
    return f"dsv_team{dataset[0]}_{dataset[1]}_{j // 3 % DATASET_VERSIONS_EACH:02}"


def recorded(moment: datetime) -> Row:
    return {"created_at": moment, "created_by": ACTOR}


def shared_rows() -> Rows:
    """What all models stand on: projects, data sets and their versions."""
    rows: Rows = defaultdict(list)
    rows["principals"].append({"id": PRINCIPAL, "email": ACTOR, "kind": "USER", **recorded(BEGIN)})
    for p in range(PROJECTS):
        project = {"project_id": f"proj_team{p}"}
        rows["projects"].append({"id": f"proj_team{p}", "name": f"Team {p}", **recorded(BEGIN)})
        rows["project_policies"].append(project | POLICY)
        rows["members"].append({"principal_id": PRINCIPAL, "role": "REVIEWER", **project, **recorded(BEGIN)})
        for d in range(DATASETS_EACH):
            dataset = f"ds_team{p}_{d}"
            rows["datasets"].append({"id": dataset, "name": f"Customers {d}", **project, **recorded(BEGIN)})
            rows["dataset_versions"] += [
                project | _dataset_version(dataset, f"dsv_team{p}_{d}_{v:02}", v) for v in range(DATASET_VERSIONS_EACH)
            ]
    return rows


def _dataset_version(dataset: str, id_: str, v: int) -> Row:
    return {
        "id": id_,
        "dataset_id": dataset,
        "label": f"2024-W{v + 1:02}",
        "row_count": 1_000_000 + 37_501 * v,
        "uri": f"s3://lake/{dataset}/{v}",
        "digest": f"sha256:{v:064x}",
        "features": FEATURES,
        "status": "ACTIVE",
        **recorded(BEGIN + v * WEEK),
    }


def model_rows(i: int, versions: int) -> Rows:
    """One model with its versions, and their experiments, metrics, tags and history."""
    return Line(i, random.Random(i)).rows_of(versions)


@dataclass
class Line:
    """A model being filled. `production` is the version in it, `position` the length of its history."""

    i: int
    chance: random.Random
    rows: Rows = field(default_factory=lambda: defaultdict(list))
    production: Row | None = None
    position: int = 0

    @property
    def tenant(self) -> Row:
        return {"project_id": project_of(self.i)}

    def rows_of(self, versions: int) -> Rows:
        start = BEGIN + timedelta(minutes=17 * self.i)
        self.rows["models"].append(
            {"id": model_id(self.i), "name": f"Model {self.i}", **self.tenant, **recorded(start)}
        )
        for j in range(versions):
            at = start + j * WEEK + timedelta(seconds=self.chance.randrange(80_000))
            if j % RUNS_EACH == 0:
                self._experiment(j, at)
            self._version(j, at)
        return self.rows

    def _experiment(self, j: int, at: datetime) -> None:
        row = self.tenant | {
            "id": id_at(self.chance, "exp", at),
            "name": f"Search {j // RUNS_EACH + 1} of model {self.i}",
            "status": "COMPLETED",
            "algorithm": self.chance.choice(ALGORITHMS),
            "training_duration_secs": float(self.chance.randrange(60, 20_000)),
            "max_models": 50,
            "parameters": json.dumps({"folds": 5, "seed": j}),
            "dataset_version_id": dataset_version_id(self.i, j),
            "completed_at": at,
            **recorded(at),
        }
        self.rows["experiments"].append(row)

    def _version(self, j: int, at: datetime) -> None:
        before = self.rows["versions"][-1] if j else None
        experiment = self.rows["experiments"][-1]
        depth, rate = self.chance.randrange(3, 12), self.chance.randrange(1, 30) / 100
        parameters = {"algorithm": experiment["algorithm"], "max_depth": depth, "learning_rate": rate, "trees": 400}
        row = self.tenant | {
            "id": id_at(self.chance, "ver", at),
            "model_id": model_id(self.i),
            "number": [1 + j // 40, j % 40, 0],
            "description": f"Weekly training {j + 1} of model {self.i}",
            "algorithm": experiment["algorithm"],
            "parameters": json.dumps(parameters),
            "features": FEATURES[: 18 + j % 3],
            "target": "churned",
            "artifact_uri": f"s3://models/{self.i}/{j}/model.onnx",
            "artifact_digest": f"sha256:{self.chance.randbytes(32).hex()}",
            "artifact_size_bytes": self.chance.randrange(10**5, 10**8),
            "artifact_format": "onnx",
            "experiment_id": experiment["id"],
            "dataset_version_id": dataset_version_id(self.i, j),
            "parent_id": before["id"] if before else None,
            **recorded(at),
        }
        self.rows["versions"].append(row)
        self._belongings(row, j)
        self._card(row, at)
        self.stages(row, at)

    def _belongings(self, version: Row, j: int) -> None:
        of_version = self.tenant | {"version_id": version["id"]}
        chance = self.chance
        self.rows["metrics"] += [
            of_version | {"name": m, "value": chance.randrange(60_000, 99_999) / 1e5} for m in METRICS
        ]
        self.rows["tags"] += [of_version | {"tag": tag} for tag in chance.sample(TAGS, chance.randrange(2, 5))]
        uses = {"TRAINING": j, "VALIDATION": j + 3} if j % 3 == 0 else {"TRAINING": j}
        self.rows["dataset_uses"] += [
            of_version | {"role": role, "dataset_version_id": dataset_version_id(self.i, k)} for role, k in uses.items()
        ]

    def _card(self, version: Row, at: datetime) -> None:
        sections = ("description", "intended_use", "limitations")
        written = {section: " ".join(self.chance.choices(WORDS, k=8)).capitalize() + "." for section in sections}
        of_version = self.tenant | {"version_id": version["id"], "revision": 1}
        self.rows["model_cards"].append(of_version | written | {"updated_at": at, "updated_by": ACTOR})

    def stages(self, version: Row, at: datetime) -> None:
        """Half of the versions are promoted, each in the place of the one before; few stay open."""
        self.step(version, None, "DEVELOPMENT", at)
        fate = self.chance.random()
        if fate < 0.45:
            self.step(version, "DEVELOPMENT", "ARCHIVED", at)
        elif fate < 0.93:
            self.step(version, "DEVELOPMENT", "STAGING", at)
            if fate < 0.85:
                self.promote(version, at)

    def promote(self, version: Row, at: datetime) -> None:
        if self.production:
            self.step(self.production, "PRODUCTION", "ARCHIVED", at, automatic=True)
        self.step(version, "STAGING", "PRODUCTION", at)
        self.production = version

    def step(self, version: Row, before: str | None, after: str, at: datetime, automatic: bool = False) -> None:
        self.position += 1
        step = self.tenant | {
            "id": id_at(self.chance, "tra", at),
            "model_id": version["model_id"],
            "version_id": version["id"],
            "position": self.position,
            "previous_position": self.position - 1 or None,
            "after_position": version.get("stage_position"),
            "from_stage": before,
            "to_stage": after,
            "at": at,
            "actor": ACTOR,
            "automatic": automatic,
        }
        self.rows["stage_transitions"].append(step)
        version |= {"stage": after, "stage_position": self.position}


def merged(parts: Iterator[Rows]) -> Rows:
    rows: Rows = defaultdict(list)
    for part in parts:
        for table, more in part.items():
            rows[table] += more
    return rows


def as_records(rows: Sequence[Row]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and values, as COPY takes them."""
    columns = list(rows[0])
    return columns, [tuple(row[column] for column in columns) for row in rows]
