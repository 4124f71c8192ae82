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
    """A field that counts the rows of a query by the one column that it tells, `value`."""
    return bound(
        f"{description} The most frequent first, equal ones in alphabetical order.",
        Each(
            f"(SELECT value, count(*) AS count FROM ({values}) q GROUP BY value) {{c}}",
            BY_COUNT,
            (DEFAULT_FACETS, MAX_FACETS),
        ),
        (argument("first", int | None, "How many at most: 1 to 100.", default=DEFAULT_FACETS),),
    )


@strawberry.type(description="How many versions of a list are in a stage.")
class StageCount:
    needs: ClassVar = Need.VIEWER

    stage: enums.Stage = column("The stage, of which there is at least one.", "value")
    count: int = column("How many versions are in it.")


@strawberry.type(description="How many versions of a list have a tag.")
class TagCount:
    needs: ClassVar = Need.VIEWER

    tag: str = column("The tag.", "value")
    count: int = column("How many versions have it.")


@strawberry.type(description="How many versions of a list were trained by an algorithm.")
class AlgorithmCount:
    needs: ClassVar = Need.VIEWER

    algorithm: str = column("The algorithm, written as it was registered.", "value")
    count: int = column("How many versions were trained by it.")


@strawberry.type(
    description="All versions that a list's conditions leave, counted by what they could be narrowed to next."
)
class VersionFacets:
    needs: ClassVar = Need.VIEWER

    stages: list[StageCount] = bound(
        "By stage, the most frequent first.",
        Each("(SELECT stage AS value, count(*) AS count FROM matched GROUP BY stage) {c}", BY_COUNT),
    )
    tags: list[TagCount] = _most_frequent(
        "By tag.", "SELECT g.tag AS value FROM matched JOIN tags g ON g.version_id = matched.id"
    )
    algorithms: list[AlgorithmCount] = _most_frequent(
        "By algorithm, where one was stated.",
        "SELECT algorithm AS value FROM matched WHERE algorithm IS NOT NULL",
    )


@strawberry.type(
    name="ModelVersionConnection",
    description="One page of a list of versions, cut by key: entries neither repeat nor go missing meanwhile.",
)
class VersionConnection(Connection[links.ModelVersion]):
    facets: VersionFacets = bound(
        "What all versions of the list have in common, on whichever page. Counted only when selected.",
        OfMatched("id, stage, algorithm"),
    )
