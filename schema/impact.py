from typing import Any, ClassVar

import strawberry

from resolvers.reads.bindings import Each, FromQuery
from resolvers.reads.impact import AFFECTED, DEFAULT_PATHS, MAX_PATHS, OF_DATA, OF_EXPERIMENT, OF_VERSION, PATHS, impact
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules.access import Need
from schema import links
from schema.facets import VersionConnection
from schema.fields import argument, bound, column, connection, many, one


@strawberry.type(description="The path by which one version is affected.")
class ImpactPath:
    needs: ClassVar = Need.VIEWER

    version: links.ModelVersion = one("The affected version.", "{c}.id = {t}.id")
    via: list[strawberry.ID] = column(
        "The IDs on the path, including both ends: the object that was asked about, then data derived from"
        " it, then versions."
    )


@strawberry.type(
    description="Everything that depends on an object: versions trained on the data or on data derived from it,"
    " versions produced by the experiment or derived from the version, and all their descendants, in any"
    " model."
)
class Impact:
    needs: ClassVar = Need.VIEWER

    versions: VersionConnection = connection(
        "All versions that depend on the object, newest first.", AFFECTED, NEWEST_FIRST
    )
    production: list[links.ModelVersion] = many(
        "The dependent versions in PRODUCTION, newest first.",
        f"{AFFECTED} AND {{c}}.stage = 'PRODUCTION'",
        "{c}.created_at DESC, {c}.id DESC",
        size=20,
    )
    deployments: list[links.Deployment] = many(
        "The deployments of dependent versions that have not ended, newest first.",
        "{c}.version_id = ANY (ARRAY(SELECT id FROM affected)) AND {c}.status NOT IN ('ROLLED_BACK', 'RETIRED')",
        "{c}.created_at DESC, {c}.id DESC",
        size=20,
    )
    models: list[links.Model] = many(
        "The models of the dependent versions, by name.",
        "{c}.id IN (SELECT v.model_id FROM versions v WHERE v.id = ANY (ARRAY(SELECT id FROM affected)))",
        "{c}.name, {c}.id",
        size=20,
    )
    paths: list[ImpactPath] = bound(
        "The shortest path to each dependent version, shortest first. Paths of equal length are ordered by"
        " the version's ID.",
        Each(PATHS, "cardinality({c}.via), {c}.id", (DEFAULT_PATHS, MAX_PATHS)),
        (
            argument(
                "first", int | None, "The maximum number of paths: 1 to 1000. Default: 100.", default=DEFAULT_PATHS
            ),
        ),
    )


def _impact(description: str, direct: str, start: str = "{t}.id") -> Any:
    # It walks all that comes from something, however many rows that is.
    return bound(description, FromQuery(impact(start, direct), "affected"), weight=100)


def impact_of_data(start: str = "{t}.id") -> Any:
    return _impact("What depends on the data.", OF_DATA, start)


def impact_of_experiment() -> Any:
    return _impact("What depends on the experiment.", OF_EXPERIMENT)


def impact_of_version() -> Any:
    return _impact("What depends on the version.", OF_VERSION)
