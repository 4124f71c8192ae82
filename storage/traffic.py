"""The shares of an environment's traffic by deployment, for gateways."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.engine import Database


@dataclass(frozen=True)
class ServingDeployment:
    """A deployment that gets traffic: `weight` percent of it, or a copy of it if it is a shadow."""

    project_id: str
    model_id: str
    version: str
    id: str
    name: str
    weight: int
    shadow: bool


# $1 is the environment, $2 the projects that the caller sees (null: all). For each model, the largest share comes
# first.
SERVING = """
SELECT d.project_id, d.model_id, array_to_string(v.number, '.') AS version, d.id, d.name,
    d.traffic_percentage AS weight, d.strategy = 'SHADOW' AS shadow
FROM deployments d JOIN versions v ON v.id = d.version_id
WHERE d.environment = $1 AND (d.traffic_percentage > 0 OR d.strategy = 'SHADOW' AND d.status = 'ACTIVE')
    AND ($2::text[] IS NULL OR d.project_id = ANY ($2::text[]))
ORDER BY d.model_id, d.strategy = 'SHADOW', d.traffic_percentage DESC, d.id
"""


async def serving(database: Database, environment: str, visible: Sequence[str] | None) -> list[ServingDeployment]:
    return [ServingDeployment(**dict(row)) for row in await database.fetch(SERVING, environment, visible)]
