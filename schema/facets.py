from typing import Any, ClassVar

import strawberry

from resolvers.reads.bindings import Each
from resolvers.reads.facets import OfMatched
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import argument, bound, column
from schema.nodes import Connection

DEFAULT_FACETS, MAX_FACETS = 20, 100
BY_COUNT = "{c}.count DESC, {c}.value"


def _most_frequent(description: str, values: str) -> Any:
    """A field that counts the rows of a query by its only column, `value`."""
    return bound(
        f"{description} Highest count first; equal counts in alphabetical order.",
        Each(
            f"(SELECT value, count(*) AS count FROM ({values}) q GROUP BY value) {{c}}",
            BY_COUNT,
            (DEFAULT_FACETS, MAX_FACETS),
        ),
        (
            argument(
                "first", int | None, "The maximum number of entries: 1 to 100. Default: 20.", default=DEFAULT_FACETS
            ),
        ),
    )


@strawberry.type(description="The number of matching versions in one stage.")
class StageCount:
    needs: ClassVar = Need.VIEWER

    stage: enums.Stage = column("The stage. Stages without matching versions are not listed.", "value")
    count: int = column("The number of versions.")


@strawberry.type(description="The number of matching versions with one tag.")
class TagCount:
    needs: ClassVar = Need.VIEWER

    tag: str = column("The tag.", "value")
    count: int = column("The number of versions.")


@strawberry.type(description="The number of matching versions that were trained with one algorithm.")
class AlgorithmCount:
    needs: ClassVar = Need.VIEWER

    algorithm: str = column("The name of the algorithm, as registered.", "value")
    count: int = column("The number of versions.")


@strawberry.type(
    description="Counts of all versions that match the list's conditions, by the values that the list can be narrowed"
    " to."
)
class VersionFacets:
    needs: ClassVar = Need.VIEWER

    stages: list[StageCount] = bound(
        "The number of versions in each stage, highest count first.",
        Each("(SELECT stage AS value, count(*) AS count FROM matched GROUP BY stage) {c}", BY_COUNT),
    )
    tags: list[TagCount] = _most_frequent(
        "The number of versions with each tag.",
        "SELECT g.tag AS value FROM matched JOIN tags g ON g.version_id = matched.id",
    )
    algorithms: list[AlgorithmCount] = _most_frequent(
        "The number of versions trained with each algorithm. Versions without an algorithm are not counted.",
        "SELECT algorithm AS value FROM matched WHERE algorithm IS NOT NULL",
    )


@strawberry.type(
    name="ModelVersionConnection",
    description="A page of a list of versions. Pages use keyset pagination: entries are not repeated or skipped when"
    " the list changes.",
)
class VersionConnection(Connection[links.ModelVersion]):
    facets: VersionFacets = bound(
        "Counts of all versions in the list, not only those on this page. Computed only when selected.",
        OfMatched("id, stage, algorithm"),
    )
