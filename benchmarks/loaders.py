"""The queries of the DataLoader server: each fetches for many keys at once."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
from strawberry.dataloader import DataLoader

Row = Any

BY_ID = {
    "models": "SELECT id, name FROM models WHERE id = ANY ($1::text[])",
    "versions": "SELECT * FROM versions WHERE id = ANY ($1::text[])",
    "experiments": "SELECT id, name, algorithm, status FROM experiments WHERE id = ANY ($1::text[])",
    "dataset_versions": "SELECT id, label, row_count, dataset_id FROM dataset_versions WHERE id = ANY ($1::text[])",
    "datasets": "SELECT id, name FROM datasets WHERE id = ANY ($1::text[])",
}
OF_VERSION = {
    "metrics": "SELECT version_id, name, value FROM metrics WHERE version_id = ANY ($1::text[]) ORDER BY name",
    "tags": "SELECT version_id, tag FROM tags WHERE version_id = ANY ($1::text[]) ORDER BY tag",
}


class Loaders:
    """One request's loaders, by the table that they read."""

    def __init__(self, pool: asyncpg.Pool):
        self.pool = pool
        self.models = DataLoader(one_by_id(pool, "models"))
        self.versions = DataLoader(one_by_id(pool, "versions"))
        self.experiments = DataLoader(one_by_id(pool, "experiments"))
        self.dataset_versions = DataLoader(one_by_id(pool, "dataset_versions"))
        self.datasets = DataLoader(one_by_id(pool, "datasets"))
        self.metrics = DataLoader(all_of_version(pool, "metrics"))
        self.tags = DataLoader(all_of_version(pool, "tags"))


def one_by_id(pool: asyncpg.Pool, table: str) -> Callable[[list[str]], Awaitable[Sequence[Row | None]]]:
    async def load(keys: list[str]) -> Sequence[Row | None]:
        found = {row["id"]: row for row in await pool.fetch(BY_ID[table], keys)}
        return [found.get(key) for key in keys]

    return load


def all_of_version(pool: asyncpg.Pool, table: str) -> Callable[[list[str]], Awaitable[Sequence[list[Row]]]]:
    async def load(keys: list[str]) -> Sequence[list[Row]]:
        found = defaultdict(list)
        for row in await pool.fetch(OF_VERSION[table], keys):
            found[row["version_id"]].append(row)
        return [found[key] for key in keys]

    return load


OF_MODEL = "SELECT * FROM versions WHERE model_id = $1 ORDER BY number DESC LIMIT $2"
BY_NUMBER = "SELECT * FROM versions WHERE model_id = $1 AND number = $2::int[]"
TAGGED = "EXISTS (SELECT FROM tags t WHERE t.version_id = v.id AND t.tag = {})"
MEASURED = "EXISTS (SELECT FROM metrics m WHERE m.version_id = v.id AND m.name = {} AND m.value >= {})"


async def search(pool: asyncpg.Pool, asked: Any, first: int) -> list[Row]:
    """The newest versions that match, and one more where there is one."""
    values: list[Any] = []

    def bind(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    conditions = [f"stage = ANY ({bind([stage.value for stage in asked.stage])}::text[])"]
    conditions.append(f"created_at >= {bind(asked.created_after)}")
    conditions += [TAGGED.format(bind(tag)) for tag in asked.tags]
    conditions += [MEASURED.format(bind(metric.name), bind(metric.min)) for metric in asked.metrics]
    order = f"ORDER BY created_at DESC, id DESC LIMIT {first + 1}"
    found: list[Row] = await pool.fetch(f"SELECT * FROM versions v WHERE {' AND '.join(conditions)} {order}", *values)
    return found
