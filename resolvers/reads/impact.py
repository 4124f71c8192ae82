"""What depends on an object: the affected versions, and the path to each."""

from pathlib import Path

from storage.sql import fill_sql, load_sql

HERE = Path(__file__).parent
DEFAULT_PATHS, MAX_PATHS = 100, 1000

# The versions that depend on the start directly, as CTEs that end in `origin` and `direct`.
OF_DATA = load_sql("impact_of_data", HERE)
OF_ROW = """origin (id, distance, parent_id) AS (
    SELECT id, 0, NULL::text FROM start
), direct (id, from_id, length) AS (
    SELECT v.id::text, start.id, 2 FROM start JOIN versions v ON v.{column} = start.id
)"""
OF_EXPERIMENT, OF_VERSION = fill_sql(OF_ROW, column="experiment_id"), fill_sql(OF_ROW, column="parent_id")

AFFECTED = "{c}.id = ANY (ARRAY(SELECT id FROM affected))"
# The paths of the nearest versions only. All of them are walked back to the start together.
PATHS = """(
    WITH RECURSIVE way (version_id, id, from_id, place) AS (
        SELECT id, id, from_id, 1 FROM (SELECT * FROM affected ORDER BY length, id LIMIT {first}) shown
        UNION ALL
        SELECT way.version_id, before.id, before.from_id, way.place + 1 FROM way JOIN (
            SELECT id, from_id FROM affected UNION ALL SELECT id, parent_id FROM origin
        ) before ON before.id = way.from_id
    )
    SELECT version_id AS id, array_agg(id ORDER BY place DESC) AS via FROM way GROUP BY version_id) {c}"""


def impact(start: str, direct: str) -> str:
    """The query that lists what the object with this ID affects, given its direct versions."""
    return load_sql("impact", HERE, start=start, direct=direct)
