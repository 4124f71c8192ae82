"""Ids that callers choose for new objects. The refusal of an id in use depends on what the caller may see."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import SQLModel

from resolvers.errors import AlreadyExists, BadUserInput
from resolvers.rules.cleaning import quoted
from resolvers.rules.ids import is_reserved
from resolvers.transaction import Transaction
from storage.claims import is_seen
from storage.datasets import Dataset, DatasetVersion
from storage.experiments import Experiment
from storage.ids import new_id
from storage.models import Model
from storage.projects import Project

NOUNS: Mapping[type[SQLModel], tuple[str, str]] = {
    Project: ("proj", "a project"),
    Model: ("model", "a model"),
    Dataset: ("ds", "a data set"),
    DatasetVersion: ("dsv", "a data set version"),
    Experiment: ("exp", "an experiment"),
}


async def claimed_id(tx: Transaction, table: type[SQLModel], chosen: str | None) -> str:
    """The id that a caller chose, or a new one. Must be called before the rest of the request is checked: other errors
    must not reveal whether an id is in use or reserved."""
    if chosen is None:
        return new_id(NOUNS[table][0])
    seen = await is_seen(tx.session, table, chosen, tx.caller.viewer)
    if seen is not None or is_reserved(chosen):
        raise taken(table) if seen else not_free(chosen)
    return chosen


async def keep_new(tx: Transaction, table: type[SQLModel], row: Mapping[str, Any]) -> None:
    """Add a row under its id, unless another transaction was faster."""
    if not await tx.keep_unless_there(table, row, "id"):
        raise taken(table) if await is_seen(tx.session, table, row["id"], tx.caller.viewer) else not_free(row["id"])


def taken(table: type[SQLModel]) -> AlreadyExists:
    return AlreadyExists(
        f"There is {NOUNS[table][1]} with this id already; ids are never reused. Choose another id.", field="input.id"
    )


def not_free(id_: str, field: str = "input.id") -> BadUserInput:
    """The refusal of an id that the caller cannot know to be in use. It is the same for an id in use and a reserved
    one."""
    return BadUserInput(field, f"is {quoted(id_)}; this id is reserved or in use. Choose another id.")
