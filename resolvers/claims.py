"""Ids that callers choose for what they create. One that is not free is refused by what the caller may know of it."""

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
    """The id that a caller chose, or a new one. To be called before the rest of the request is looked at: what else is
    wrong with it must not tell an id in use from a reserved one."""
    if chosen is None:
        return new_id(NOUNS[table][0])
    seen = await is_seen(tx.session, table, chosen, tx.caller.viewer)
    if seen is not None or is_reserved(chosen):
        raise taken(table) if seen else not_free(chosen)
    return chosen


async def keep_new(tx: Transaction, table: type[SQLModel], row: Mapping[str, Any]) -> None:
    """Add a row under its id, unless another caller was faster."""
    if not await tx.keep_unless_there(table, row, "id"):
        raise taken(table) if await is_seen(tx.session, table, row["id"], tx.caller.viewer) else not_free(row["id"])


def taken(table: type[SQLModel]) -> AlreadyExists:
    return AlreadyExists(
        f"There is {NOUNS[table][1]} with this id already; ids are never reused. Choose another id.", field="input.id"
    )


def not_free(id_: str, field: str = "input.id") -> BadUserInput:
    """Of an id that the caller cannot know to be in use: the same, whatever keeps it from being free."""
    return BadUserInput(field, f"is {quoted(id_)}; this id is reserved or in use. Choose another id.")
