"""Typed rows for mutations: each statement returns rows of one type, which is declared next to it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

R = TypeVar("R")


def columns(row: type, table: str, *computed: str) -> str:
    """The columns of a row type in a table, without the fields that the statement computes."""
    names = [each.name for each in fields(row) if each.name not in computed]
    return ", ".join(f"{table}.{name}" for name in names)


async def at_most_one(session: AsyncSession, row: type[R], statement: str, **values: Any) -> R | None:
    answer = (await session.execute(text(statement), values)).mappings().one_or_none()
    return None if answer is None else row(**answer)


async def one(session: AsyncSession, row: type[R], statement: str, **values: Any) -> R:
    return row(**(await session.execute(text(statement), values)).mappings().one())


async def every(session: AsyncSession, row: type[R], statement: str, **values: Any) -> list[R]:
    return [row(**each) for each in (await session.execute(text(statement), values)).mappings()]


async def now(session: AsyncSession) -> datetime:
    """The database's clock."""
    moment: datetime = await session.scalar(text("SELECT clock_timestamp()"))
    return moment


async def insert_rows(session: AsyncSession, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
    await session.execute(insert(table.__table__), list(rows))  # type: ignore[attr-defined]


async def insert_unless_there(
    session: AsyncSession, table: type[SQLModel], row: Mapping[str, Any], key: Sequence[str]
) -> bool:
    """Add a row unless its key, by default any unique columns, is in use; whether it was added. Waits for a transaction
    that is adding it now."""
    added = insert(table.__table__).values(row)  # type: ignore[attr-defined]
    made = await session.execute(added.on_conflict_do_nothing(index_elements=key or None))
    return bool(made.rowcount)  # type: ignore[attr-defined]
