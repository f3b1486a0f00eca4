"""What commands that read a configuration have in common: the file, its surroundings, and the database.

Which question: where does a command get its configuration and its database? Touches files, the environment and the
database. The rule: whatever is wrong with a file is a `ConfigErrors` that says where, which the command line prints a
line per problem, and whatever is wrong with the database is a `StorageError`.
"""

from __future__ import annotations

import argparse
import errno
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from gateway.config import MAX_CHARACTERS, ConfigErrors, Configuration, Part, Place, Problem, dotenv, parse, section
from storage import migrate
from storage.database import Database
from storage.dialects import address_of
from storage.errors import DatabaseMisconfigured
from storage.settings import DatabaseSettings, JournalSettings

DEFAULT_FILE = "config.yaml"
FILE_VARIABLE = "MCP_GATEWAY_CONFIG"
DOTENV = ".env"
MAX_BYTES = 4 * MAX_CHARACTERS
"""More than any file may have that is read here: a device never ends."""

Flags = Mapping[tuple[str, ...], str]
M = TypeVar("M", bound=BaseModel)


def add_config_argument(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """`--config FILE`; `inherited` where the parser above has it too, so that it may stand before the verb."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS if inherited else os.environ.get(FILE_VARIABLE, DEFAULT_FILE),
        help=f"the configuration (default: {DEFAULT_FILE}, or ${FILE_VARIABLE})",
    )


def configuration(file: str, flags: Flags | None = None) -> Configuration:
    """The configuration in `file`; variables come from the environment and from `.env` beside it. `flags` are keys
    that the command line sets. Raises `ConfigErrors`.
    """
    return parse(_text(file), source=file, env=environment(file), read_file=read_file, flags=flags)


def section_of(file: str, name: str, kind: type[M]) -> Part[M]:
    """One section of `file`, for commands that need no more; the others may be flawed. Raises `ConfigErrors`."""
    return section(_text(file), name, kind, source=file, env=environment(file), read_file=read_file)


def environment(file: str) -> dict[str, str]:
    """The variables that `file` may name: those of `.env` beside it, then the process's own. Raises `ConfigErrors`."""
    beside = Path(file).parent / DOTENV
    kept = dotenv.variables(_text(str(beside)), str(beside)) if beside.is_file() else {}
    return {**kept, **os.environ}


def read_file(path: str) -> str:
    """A secret's file. Raises OSError or UnicodeDecodeError; for a pipe or a device, too, since a running gateway that
    reads its configuration again would wait for it.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return _bytes(path).decode("utf-8")


def database_of(config: Configuration) -> Database:
    """The database that the configuration names; nothing is opened. Raises `ConfigErrors`."""
    return _database(config.database, config.place(("database", "url")))


def database_in(file: str) -> Database:
    """The database that `file` names, whatever else is in the file; nothing is opened. Raises `ConfigErrors`."""
    part = section_of(file, "database", DatabaseSettings)
    return _database(part.value, part.place(("database", "url")))


def beside(url: str, file: Path, name: str) -> Path:
    """Where what belongs to one gateway lives: beside the embedded database of `url`, else beside its configuration."""
    address = address_of(url)
    database = address.url.database
    if address.dialect == "sqlite" and database and database != ":memory:":
        return Path(f"{database}.{name}")
    return file.with_name(f"mcp-gateway.{name}")


def records_of(database: DatabaseSettings, journal: JournalSettings, file: Path) -> Path:
    """The folder of the journals."""
    return beside(database.url, file, "records") if journal.path is None else Path(journal.path)


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Database]:
    """`database` until the context ends, its schema known to be current: the embedded SQLite is brought up to date.
    Raises `StorageError`.
    """
    try:
        if database.dialect == "sqlite":
            await migrate.upgrade(database)
        else:
            await migrate.require_current(database)
        yield database
    finally:
        await database.close()


def _database(settings: DatabaseSettings, place: Place) -> Database:
    try:
        return Database(settings)
    except DatabaseMisconfigured as error:
        raise ConfigErrors([Problem(place, str(error))]) from error


def _text(file: str) -> str:
    try:
        return _bytes(file).decode("utf-8")
    except OSError as error:
        message = f"cannot be read: {error.strerror}; --config names another file"
        raise ConfigErrors([Problem(Place(file), message)]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "is no UTF-8 text here; save the file as UTF-8"
        raise ConfigErrors([Problem(Place(file, line, 1), message)]) from error


def _bytes(file: str) -> bytes:
    with open(file, "rb") as opened:
        found = opened.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES} bytes")
    return found
