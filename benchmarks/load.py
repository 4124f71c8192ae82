"""Brings the registry's rows into the database in bulk, with every constraint on."""

import time

import asyncpg
import click

from benchmarks.data import as_records, merged, model_rows, shared_rows
from benchmarks.families import family_rows

MODELS_AT_ONCE = 25
# What is referred to comes first.
TABLES = (
    "principals",
    "projects",
    "project_policies",
    "members",
    "datasets",
    "dataset_versions",
    "dataset_parents",
    "models",
    "experiments",
    "versions",
    "metrics",
    "tags",
    "dataset_uses",
    "model_cards",
    "stage_transitions",
)


async def load(owner_url: str, models: int, versions: int) -> None:
    """Load what is missing: an interrupted load goes on where it was."""
    connection = await asyncpg.connect(owner_url)
    try:
        loaded = await connection.fetchval("SELECT count(*) FROM models WHERE project_id <> 'proj_family'")
        if loaded < models:
            began = time.monotonic()
            await _load(connection, loaded, models, versions)
            click.echo(f"Loaded {models} models of {versions} versions in {time.monotonic() - began:.0f} s.")
    finally:
        await connection.close()


async def _load(connection: asyncpg.Connection, loaded: int, models: int, versions: int) -> None:
    if not loaded:
        await _copy(connection, shared_rows())
    for first in range(loaded, models, MODELS_AT_ONCE):
        numbers = range(first, min(first + MODELS_AT_ONCE, models))
        await _copy(connection, merged(model_rows(i, versions) for i in numbers))
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM models WHERE project_id = 'proj_family')"):
        await _copy(connection, family_rows(models * versions // 10))
    await connection.execute("SET vacuum_cost_delay = 0")
    await connection.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}")


async def _copy(connection: asyncpg.Connection, rows: dict[str, list[dict[str, object]]]) -> None:
    async with connection.transaction():
        for table in TABLES:
            if rows.get(table):
                columns, records = as_records(rows[table])
                await connection.copy_records_to_table(table, records=records, columns=columns)
