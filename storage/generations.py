"""Counters that say that something changed.

Which question: is what I have in memory still what the database says? Touches `generations`. The rule: a counter is
bumped in the transaction of the change itself, so that whoever sees the new value sees the change.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.dialects import Dialect
from storage.schema import generations
from storage.upserts import once


async def current(connection: AsyncConnection, name: str) -> int:
    """The counter's value, 0 while it was never bumped."""
    value = await connection.scalar(select(generations.c.value).where(generations.c.name == name))
    return int(value or 0)


async def hold(connection: AsyncConnection, name: str) -> None:
    """Let no other transaction past this line for the same counter until this one ends. Comes first in a transaction:
    what is read afterwards is what the one before has left.
    """
    dialect = cast("Dialect", connection.dialect.name)
    await connection.execute(once(dialect, generations).values(name=name, value=0))
    await connection.execute(select(generations.c.value).where(generations.c.name == name).with_for_update())


async def bump(connection: AsyncConnection, name: str) -> None:
    """Count one change; the counter was held before."""
    await connection.execute(
        update(generations).where(generations.c.name == name).values(value=generations.c.value + 1)
    )
