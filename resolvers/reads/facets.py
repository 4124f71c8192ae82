"""What the rows of a whole list have in common: counted over all that its conditions leave, whichever page is asked."""

from dataclasses import dataclass

from resolvers.reads.compilation import Compilation, Selected
from resolvers.reads.types import BoundType


@dataclass(frozen=True)
class OfMatched:
    """An object about all rows that a connection lists, which its fields find as `matched`, with these columns."""

    columns: str

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child = compilation.types[compilation.types.of(selected.definition).name]
        answer = compilation.object(child, selected, "matched")
        return f"(WITH matched AS MATERIALIZED (SELECT {self.columns} FROM {alias}) SELECT {answer})"
