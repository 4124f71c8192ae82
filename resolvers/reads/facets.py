"""Counts over all rows that a list's conditions match, regardless of the page."""

from dataclasses import dataclass

from resolvers.reads.compilation import Compilation, Selected
from resolvers.reads.types import BoundType


@dataclass(frozen=True)
class OfMatched:
    """An object about all rows of a connection. Its fields read them from `matched`, which has these columns."""

    columns: str

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child = compilation.types[compilation.types.of(selected.definition).name]
        answer = compilation.object(child, selected, "matched")
        return f"(WITH matched AS MATERIALIZED (SELECT {self.columns} FROM {alias}) SELECT {answer})"
