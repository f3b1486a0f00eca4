"""What commands that read a configuration have in common: the file, its surroundings, and the database.

Which question: where does a command get its configuration and its database? Touches files, the environment and the
database. The rule: whatever is wrong with a file is a `ConfigErrors` that says where, which the command line prints a
line per problem, and whatever is wrong with the database is a `StorageError`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import ConfigErrors, Configuration, Place, Problem, dotenv, parse
from storage import migrate
from storage.database import Database
from storage.errors import DatabaseMisconfigured

DEFAULT_FILE = "config.yaml"
FILE_VARIABLE = "MCP_GATEWAY_CONFIG"
DOTENV = ".env"

Flags = Mapping[tuple[str, ...], str]


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`, for commands that need the whole configuration."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=os.environ.get(FILE_VARIABLE, DEFAULT_FILE),
        help=f"the configuration (default: {DEFAULT_FILE}, or ${FILE_VARIABLE})",
    )


def configuration(file: str, flags: Flags | None = None) -> Configuration:
    """The configuration in `file`; variables come from the environment and from `.env` beside it. `flags` are keys
    that the command line sets. Raises `ConfigErrors`.
    """
    return parse(_text(file), source=file, env=environment(file), read_file=read_file, flags=flags)


def environment(file: str) -> dict[str, str]:
    """The variables that `file` may name: those of `.env` beside it, then the process's own. Raises `ConfigErrors`."""
    beside = Path(file).parent / DOTENV
    kept = dotenv.variables(_text(str(beside)), str(beside)) if beside.is_file() else {}
    return {**kept, **os.environ}


def read_file(path: str) -> str:
    """A secret's file. Raises OSError or UnicodeDecodeError."""
    return Path(path).read_text("utf-8")


def database_of(config: Configuration) -> Database:
    """The database that the configuration names; nothing is opened. Raises `ConfigErrors`."""
    try:
        return Database(config.database)
    except DatabaseMisconfigured as error:
        raise ConfigErrors([Problem(config.place(("database", "url")), str(error))]) from error


@asynccontextmanager
async def opened(config: Configuration) -> AsyncIterator[Database]:
    """The configuration's database, its schema known to be current: the embedded SQLite is brought up to date.
    Raises `ConfigErrors` or `StorageError`.
    """
    database = database_of(config)
    try:
        if database.dialect == "sqlite":
            await migrate.upgrade(database)
        else:
            await migrate.require_current(database)
        yield database
    finally:
        await database.close()


def _text(file: str) -> str:
    try:
        return Path(file).read_bytes().decode("utf-8")
    except OSError as error:
        message = f"cannot be read: {error.strerror}; --config names another file"
        raise ConfigErrors([Problem(Place(file), message)]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "is no UTF-8 text here; save the file as UTF-8"
        raise ConfigErrors([Problem(Place(file, line, 1), message)]) from error
