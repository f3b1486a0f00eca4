"""Users.

Which question: which row is this name's? Touches `users`. The rule: names are stored and compared NFKC-casefolded, so
that no two users look the same; a user made here has the password `!`, which no hash matches.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Iterable

from sqlalchemy import select

from storage.database import Database
from storage.errors import StorageError
from storage.schema import users
from storage.upserts import once

LOCAL = "local"
"""Whose calls are those of a gateway on loopback without authentication."""

MAX_LENGTH = 50
NO_PASSWORD = "!"  # noqa: S105  says that there is none


def canonical(name: str) -> str:
    """`name` as it is stored and compared (Unicode UAX #15 NFKC, then full case folding, which can undo it)."""
    folded = unicodedata.normalize("NFKC", name.strip()).casefold()
    return unicodedata.normalize("NFKC", folded)


async def ensure_users(db: Database, names: Iterable[str]) -> dict[str, int]:
    """The id of each of `names`, as given; who is not there is added. Raises `StorageError`, also where the database
    takes a name for another user's: an adopted one may compare without accents.
    """
    stored = {name: _storable(name) for name in names}
    ids = await _ids(db, set(stored.values()))
    if missing := set(stored.values()) - ids.keys():
        async with db.writing() as connection:
            await connection.execute(once(db.dialect, users), [_row(name) for name in sorted(missing)])
        ids = await _ids(db, set(stored.values()))
    if taken := sorted(set(stored.values()) - ids.keys()):
        raise StorageError(f"user {taken[0]!r}: {db.label} takes the name for another user's; choose another one")
    return {name: ids[username] for name, username in stored.items()}


async def usernames(db: Database) -> list[str]:
    """Every user's name, in order."""
    async with db.reading() as connection:
        return list(await connection.scalars(select(users.c.username).order_by(users.c.username)))


async def _ids(db: Database, usernames: set[str]) -> dict[str, int]:
    """Another back end may have written its users' names in capitals."""
    query = select(users.c.username, users.c.id).where(users.c.username.in_(usernames)).order_by(users.c.id.desc())
    async with db.reading() as connection:
        found = (await connection.execute(query)).all()
    return {canonical(row.username): row.id for row in found} | {row.username: row.id for row in found}


def _storable(name: str) -> str:
    username = canonical(name)
    if not 0 < len(username) <= MAX_LENGTH:
        raise StorageError(f"user {name!r}: with its compatibility characters written out, 1 to {MAX_LENGTH} fit")
    return username


def _row(username: str) -> dict[str, str]:
    return {"username": username, "hashed_password": NO_PASSWORD, "public_id": uuid.uuid4().hex}
