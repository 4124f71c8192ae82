"""How mutations read: the rows of a statement as values of one type, declared beside the statement."""

from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

R = TypeVar("R")


def columns(row: type, table: str, *computed: str) -> str:
    """The columns of a table that a row type holds, without the fields that the statement computes."""
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
