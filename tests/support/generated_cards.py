"""Cards and facts as the registry may hold them: anything missing, and all that is awkward in texts and numbers."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from resolvers.rules import limits
from tests.support.generated_rows import FLOATS
from tests.support.oracle import Row

PIECES = [
    "Churn", "a|b", "`code`", "```", "~~~", "---", "===", "- item", "+ item", "* item", "1. one", "2) two", "# title",
    "## Metrics", "| a | b |", "| --- | --- |", ":--", "a: b", ": ", "yes", "null", "1.0", "~", "{a: 1}", "[x](y)",
    "![x](y)", "[x]: y", "<script>alert(1)</script>", "<!-- x", "<b", "&amp;", "&", "\\", "\\|", "\\(", "$x$", "😀",
    "👩‍👩‍👧", "Grüße", "日本", "שלום", "'quo'", '"quo"', "_x_", "log_loss", "__init__", "**bold**", "http://a.b/c*d_",
    "www.a.b", "!", "%", "@", "x" * 90, "&#92;", "\u00a0", "    code", "> quote", "<br>", "...", "%YAML 1.2", "!!int 3",
]  # fmt: skip
LINES = [" ", " ", "", "\n", "\n\n", "\r\n", "\t", "\n \n", "\n---\n", "\n===\n", "\r"]
# Only JSON may hold them.
CONTROLS = ["\x01", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff"]
SAMPLES = [0.0, 1.0, 12_400.0, 2.0**53 - 1]
METRICS = ["auc", "AUC", "log_loss", "val_rmse", "my metric", "π", "yes", "null", "1.0", "a|b", "- x", "<i>", "# m"]
DIGITS = "0123456789abcdefABCDEF"
URIS = [
    "s3://bucket/model.onnx",
    "/other",
    "a b",
    "http://[x",
    "gs://ä/日本",
    "C:\\models\\a",
    "x:y:z",
    "a|b",
    "%zz",
    "😀",
]


def cards(seed: int, count: int) -> Iterator[tuple[Row, Row]]:
    """A row of version_cards and what card.sql says of its version, `count` times."""
    for _ in range(count):
        made = _Made(Random(seed))
        yield made.card(), made.facts()
        seed += 1


class _Made:
    def __init__(self, random: Random):
        self.random = random
        # Some versions have nearly all, some nearly nothing.
        self.share = random.choice([0.05, 0.5, 0.8, 0.95])

    def text(self, limit: limits.Text = limits.NAME) -> str:
        separators = LINES if limit.lines else [" ", "", "  "]
        pieces = [
            self.random.choice(PIECES) + self.random.choice(separators) for _ in range(self.random.randrange(1, 7))
        ]
        return limit.clean("text", "".join(pieces)[: limit.longest].strip() or "a")

    def maybe(self, make: Callable[[], Any]) -> Any:
        return make() if self.random.random() < self.share else None

    def some(self, most: int) -> range:
        return range(self.random.randrange(1, most + 1) if self.random.random() < self.share else 0)

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def json(self, depth: int = 0) -> Any:
        kind = self.random.randrange(8 if depth < 2 else 6)
        if kind < 6:
            text = self.text() + self.pick("", *CONTROLS)
            return self.pick(text, text, "", self.pick(*FLOATS), 2**63 - 1, 6, True, None)
        inner = [self.json(depth + 1) for _ in range(self.random.randrange(3))]
        return inner if kind == 6 else {self.text(): each for each in inner}

    def moment(self) -> str:
        return f"2026-01-{self.random.randrange(10, 31)}T09:30:00{self.pick('', '.5', '.001', '.000001')}+00:00"

    def card(self) -> Row:
        texts = ("description", "intended_use", "limitations", "ethical_considerations")
        return {
            **{name: self.maybe(lambda: self.text(limits.NOTES)) for name in texts},
            "training_data_summary": self.maybe(self.summary),
            "performance_by_segment": self.maybe(lambda: {self.text(): self.segment() for _ in self.some(4)}),
            "revision": self.pick(0, 1, 7),
            "updated_at": self.moment(),
            "updated_by": "maria@example.com",
        }

    def summary(self) -> Row:
        known = {
            "source": self.maybe(self.text),
            "date_range": self.maybe(self.text),
            "total_rows": self.maybe(lambda: self.pick(0, 247_500, 2**63 - 1)),
            "positive_class_ratio": self.maybe(lambda: self.pick(0.0, 0.087, 1.0, 5e-324)),
            "feature_count": self.maybe(lambda: self.pick(0, 18)),
            "extra": self.maybe(lambda: {self.text(): self.json() for _ in self.some(3)}),
        }
        return {name: value for name, value in known.items() if value is not None}

    def segment(self) -> Row:
        samples = {"samples": self.pick(*SAMPLES)} if self.random.random() < self.share else {}
        return self.metrics() | samples

    def metrics(self) -> Row:
        return {self.pick(*METRICS, self.text(limits.Text(100))): self.pick(*FLOATS) for _ in self.some(5)}

    def facts(self) -> Row:
        artifact = {
            "uri": self.uri(),
            "digest": self.maybe(self.digest),
            "sizeBytes": self.maybe(lambda: self.pick(0, 2**63 - 1)),
            "format": self.maybe(self.text),
        }
        return {
            "version": self.pick("2.1.0", "0.0.1", "10.20.30"),
            "versionId": f"ver_{self.random.getrandbits(40)}",
            "description": self.maybe(lambda: self.text(limits.NOTES)),
            "stage": self.pick("DEVELOPMENT", "STAGING", "PRODUCTION", "ARCHIVED"),
            "model": {"id": "model_a", "name": self.text(), "description": self.maybe(self.text)},
            "project": {"id": "proj_a", "name": self.text()},
            "algorithm": self.maybe(self.text),
            "parameters": {self.text() + self.pick("", *CONTROLS): self.json() for _ in self.some(5)},
            "features": sorted({self.text() for _ in self.some(5)}),
            "target": self.maybe(self.text),
            "artifact": self.maybe(lambda: artifact),
            "metrics": self.metrics(),
            "tags": sorted({self.text(limits.TAG) for _ in self.some(4)}),
            "data": self.data(),
            "experiment": self.maybe(self.experiment),
            "parent": self.maybe(lambda: {"id": "ver_p", "model": self.pick("model_a", "model_b"), "version": "2.0.0"}),
            "deployments": [self.deployment(n) for n in self.some(3)],
            "registeredAt": self.moment(),
            "registeredBy": self.pick("ana@example.com", "pipeline"),
        }

    def deployment(self, n: int) -> Row:
        return {
            "id": f"dep_{n}",
            "name": self.text(),
            "environment": self.pick("production", "eu"),
            "strategy": self.pick("DIRECT", "CANARY"),
            "status": self.pick("ACTIVE", "ROLLED_BACK"),
            "trafficPercentage": self.pick(0, 5, 100),
            "reason": self.maybe(lambda: self.text(limits.NOTES)),
        }

    def uri(self) -> str:
        return str(self.pick(*URIS, self.text(limits.URI)))

    def digest(self) -> str:
        name, length = self.pick(
            ("sha256", 64), ("sha512", 128), ("sha1", 40), ("MD5", 32), ("own", 64), ("sha256", 63)
        )
        digits = "".join(self.random.choices(DIGITS, k=length))
        return str(self.pick(f"{name}:{digits}", self.text(limits.DIGEST)))

    def data(self) -> list[Row]:
        versions = [self.data_version(n) for n in self.some(3)]
        roles = ("TEST", "TRAINING", "VALIDATION")
        return [{"role": role} | each for role in roles for each in versions if self.random.random() < 0.4]

    def data_version(self, n: int) -> Row:
        status = self.pick("ACTIVE", "DEPRECATED", "INVALID")
        return {
            "id": f"dsv_{n}",
            "dataset": self.text(),
            "datasetId": self.pick("ds_a", "ds_b"),
            "label": self.text(),
            "rowCount": self.maybe(lambda: self.pick(0, 247_500, 2**63 - 1)),
            "uri": self.maybe(self.uri),
            "digest": self.maybe(self.digest),
            "status": status,
            "statusReason": None if status == "ACTIVE" else self.maybe(lambda: self.text(limits.NOTES)),
        }

    def experiment(self) -> Row:
        return {
            "id": "exp_a",
            "name": self.text(),
            "status": self.pick("RUNNING", "COMPLETED", "FAILED"),
            "algorithm": self.maybe(self.text),
            "maxModels": self.maybe(lambda: self.pick(0, 20)),
            "trainingDurationSecs": self.maybe(lambda: self.pick(0.0, 12.5, 1e15, 0.1 + 0.2)),
            "notes": self.maybe(lambda: self.text(limits.NOTES)),
        }
