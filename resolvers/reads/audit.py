"""The audit log: the conditions of an AuditFilter, and the subject of an event."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import get_named_type

from resolvers.reads.compilation import Compilation, Selected
from resolvers.reads.lineage import by_prefix
from resolvers.reads.paging import Key, Order, moment
from resolvers.reads.types import BoundType
from storage.checkpoints import STATUS as CHECKPOINT_STATUS
from storage.sql import fill_sql, load_sql

CONDITIONS = {
    "projectId": "{c}.project_id = {value}",
    "chain": "{c}.chain = {value}",
    "subjectId": "{c}.subject_id = {value}",
    "actor": "{c}.actor = {value}",
    "action": "{c}.action = ANY ({value}::text[])",
    "after": "{c}.at >= {value}::timestamptz",
    "before": "{c}.at < {value}::timestamptz",
}


def audit_conditions(compilation: Compilation, selected: Selected, name: str) -> tuple[list[str], Order | None]:
    asked: Mapping[str, Any] = selected.arguments.values.get("filter") or {}
    used = [field for field, value in asked.items() if value is not None]
    values = {field: compilation.parameter(selected.arguments.reader(_part(field))) for field in used}
    return [fill_sql(CONDITIONS[field], c=name, value=value) for field, value in values.items()], None


def _part(field: str) -> Any:
    return lambda now: now["filter"][field]


LATEST_FIRST = Order("AT", Key("{c}.at", "timestamptz", moment), descending=True)


@dataclass(frozen=True)
class AuditSubject:
    """The object that an event changed, of any type. Null if the caller cannot see it."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        possible = list(compilation.types.possible(get_named_type(selected.definition.type)))
        return by_prefix(compilation, selected, possible, f"{alias}.subject_id")


# Returns one row, `integrity`, or none if the caller sees no event of the chain.
INTEGRITY = f"(SELECT {{answer}} FROM ({load_sql('integrity')}) integrity)"

# Returns one row, `status`, or none for a caller who does not administer the instance.
STATUS = f"(SELECT {{answer}} FROM ({CHECKPOINT_STATUS}) status WHERE {{visible[status checkpoint_reports]}})"
