from typing import Any, ClassVar

import strawberry

from resolvers.reads.bindings import Each, FromQuery
from resolvers.reads.impact import AFFECTED, DEFAULT_PATHS, MAX_PATHS, OF_DATA, OF_EXPERIMENT, OF_VERSION, PATHS, impact
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules.access import Need
from schema import links
from schema.facets import VersionConnection
from schema.fields import argument, bound, column, connection, many, one


@strawberry.type(description="Why a version is affected.")
class ImpactPath:
    needs: ClassVar = Need.VIEWER

    version: links.ModelVersion = one("The version.", "{c}.id = {t}.id")
    via: list[strawberry.ID] = column(
        "The ids on the way to it, both ends included: what was asked about, data derived from it, then versions."
    )


@strawberry.type(
    description="What depends on something: versions trained on the data or on data derived from it, produced by the"
    " experiment or derived from the version, and all versions that descend from these, in whichever model."
)
class Impact:
    needs: ClassVar = Need.VIEWER

    versions: VersionConnection = connection(
        "All versions that depend on it, the newest first.", AFFECTED, NEWEST_FIRST
    )
    production: list[links.ModelVersion] = many(
        "Those of them that are in production, the newest first.",
        f"{AFFECTED} AND {{c}}.stage = 'PRODUCTION'",
        "{c}.created_at DESC, {c}.id DESC",
        size=20,
    )
    deployments: list[links.Deployment] = many(
        "The deployments of such versions that have not ended, the newest first.",
        "{c}.version_id = ANY (ARRAY(SELECT id FROM affected)) AND {c}.status NOT IN ('ROLLED_BACK', 'RETIRED')",
        "{c}.created_at DESC, {c}.id DESC",
        size=20,
    )
    models: list[links.Model] = many(
        "The models that have such versions, by name.",
        "{c}.id IN (SELECT v.model_id FROM versions v WHERE v.id = ANY (ARRAY(SELECT id FROM affected)))",
        "{c}.name, {c}.id",
        size=20,
    )
    paths: list[ImpactPath] = bound(
        "Why each is affected, by its nearest reason; the shortest paths first, equal ones by the version's id.",
        Each(PATHS, "cardinality({c}.via), {c}.id", (DEFAULT_PATHS, MAX_PATHS)),
        (argument("first", int | None, "How many at most: 1 to 1000.", default=DEFAULT_PATHS),),
    )


def _impact(description: str, direct: str, start: str = "{t}.id") -> Any:
    # It walks all that comes from something, however many rows that is.
    return bound(description, FromQuery(impact(start, direct), "affected"), weight=100)


def impact_of_data(start: str = "{t}.id") -> Any:
    return _impact("Which model versions depend on this data.", OF_DATA, start)


def impact_of_experiment() -> Any:
    return _impact("Which model versions it produced, and which come from these.", OF_EXPERIMENT)


def impact_of_version() -> Any:
    return _impact("Which versions, of this or other models, come from it.", OF_VERSION)
