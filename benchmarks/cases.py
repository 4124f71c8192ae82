"""What is asked: each case as a GraphQL document and a pool of variables, and as a statement written by hand."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from benchmarks import statements
from benchmarks.data import BEGIN, TAGS, WORDS, model_id
from benchmarks.families import DATA, data_id

REQUESTS = 500

Variables = dict[str, Any]

VERSIONS = """query Versions($id: ID!, $first: Int!) {
  model(id: $id) {
    id
    name
    versions(first: $first) {
      nodes {
        id version stage description target createdAt createdBy
        metrics { name value }
        tags
        parameters
        experiment { id name algorithm status }
        datasetVersion { id label rowCount dataset { name } }
        parent { id version stage }
      }
    }
  }
}"""
CHAIN = """query Chain($id: ID!, $version: SemVer!) {
  version(modelId: $id, version: $version) {
    id
    versionChain { id version stage createdAt }
  }
}"""
SEARCH = """query Search($filter: VersionFilter!) {
  searchVersions(filter: $filter, first: 20) {
    nodes { id version stage createdAt model { id name } tags metrics { name value } }
    pageInfo { hasNextPage endCursor }
  }
}"""


IMPACT = """query Impact($id: ID!) {
  datasetVersion(id: $id) {
    impact {
      versions(first: 20) { totalCount nodes { id version stage } }
      production { id version model { id name } }
      models { id name }
      paths(first: 20) { version { id } via }
    }
  }
}"""


@dataclass(frozen=True)
class Case:
    """`variables` makes one request's variables; `arguments` reads the statement's parameters from them.

    The targets: the least share of the floor's throughput, the most times of its latency. `by_loaders` tells whether
    the server of DataLoaders answers it too.
    """

    name: str
    document: str
    variables: Callable[[random.Random, int, int], Variables]
    statement: str
    arguments: Callable[[Mapping[str, Any]], list[Any]]
    least_of_floor: float | None = None
    most_of_floor_p50: float | None = None
    by_loaders: bool = True

    @property
    def path(self) -> str:
        """Where the server of statements by hand answers it."""
        return "/" + self.name.replace(" ", "-")

    def pool(self, models: int, versions: int) -> list[Variables]:
        chance = random.Random(self.name)
        return [self.variables(chance, models, versions) for _ in range(REQUESTS)]

    def as_sent(self, variables: Variables) -> Variables:
        sent: Variables = orjson.loads(orjson.dumps(variables))
        return sent

    def body(self, variables: Variables) -> bytes:
        return orjson.dumps({"query": self.document, "variables": variables})


def _versions(first: int, least_of_floor: float) -> Case:
    return Case(
        f"{first} version{'s' if first > 1 else ''}",
        VERSIONS,
        lambda chance, models, versions: {"id": model_id(chance.randrange(models)), "first": first},
        statements.VERSIONS.format(first=first),
        lambda given: [given["id"]],
        least_of_floor,
    )


def _highest(chance: random.Random, models: int, versions: int) -> Variables:
    last = versions - 1
    return {"id": model_id(chance.randrange(models)), "version": f"{1 + last // 40}.{last % 40}.0"}


def _filter(chance: random.Random, models: int, versions: int) -> Variables:
    since = BEGIN + timedelta(days=chance.randrange(100, 300))
    auc = {"name": "auc", "min": chance.randrange(70, 90) / 100}
    return {"filter": {"stage": ["STAGING"], "tags": [chance.choice(TAGS)], "metrics": [auc], "createdAfter": since}}


def _filtered(given: Mapping[str, Any]) -> list[Any]:
    asked = given["filter"]
    (stage,), (tag,), (metric,) = asked["stage"], asked["tags"], asked["metrics"]
    return [stage, tag, metric["name"], metric["min"], datetime.fromisoformat(asked["createdAfter"])]


def _texts(chance: random.Random, models: int, versions: int) -> Variables:
    asked: Variables = _filter(chance, models, versions)["filter"]
    return {"filter": asked | {"query": " ".join(chance.sample(WORDS, 2))}}


def _with_words(given: Mapping[str, Any]) -> list[Any]:
    first, last = given["filter"]["query"].split()
    return [f"{first} & {last}:*", *_filtered(given)]


CASES = [
    _versions(1, 0.70),
    _versions(10, 0.85),
    _versions(50, 0.85),
    Case(
        "chain of 100",
        CHAIN,
        _highest,
        statements.CHAIN,
        lambda given: [given["id"], list(map(int, given["version"].split(".")))],
    ),
    Case("search page", SEARCH, _filter, statements.SEARCH, _filtered),
    Case(
        "text search",
        SEARCH,
        _texts,
        statements.TEXT_SEARCH,
        _with_words,
        most_of_floor_p50=3,
        by_loaders=False,
    ),
    Case(
        "impact",
        IMPACT,
        lambda chance, models, versions: {"id": data_id(chance.randrange(DATA))},
        statements.IMPACT,
        lambda given: [given["id"]],
        most_of_floor_p50=3,
        by_loaders=False,
    ),
]
