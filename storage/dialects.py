"""The three families of databases behind one door, and how each is reached.

Which question: which driver, pool and connection settings does this URL mean? Touches the drivers' options; opens
nothing. The rule: a password leaves an `Address` only towards the driver: its label is what people and logs see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from storage import embedded, openers
from storage.embedded import Connections
from storage.errors import DatabaseMisconfigured
from storage.failures import is_of_the_host
from storage.hosts import Failover, Host, split
from storage.settings import DatabaseSettings

Dialect = Literal["sqlite", "mysql", "postgresql"]

DRIVERS: Mapping[Dialect, str] = {
    "sqlite": "sqlite+aiosqlite",
    "mysql": "mysql+aiomysql",
    "postgresql": "postgresql+asyncpg",
}

SCHEMES: Mapping[str, Dialect] = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
"""What may stand before `://`; a driver after a `+`, as other applications write it, is replaced by ours."""

OPTIONS: Mapping[Dialect, frozenset[str]] = {
    "sqlite": frozenset(),
    "mysql": frozenset({"unix_socket", "charset"}),
    "postgresql": frozenset({"ssl"}),
}
"""What may stand after the `?`. MySQL's `charset` is accepted because many URLs have it: it is always utf8mb4."""

SQL_MODE = "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
"""Set by every MySQL connection: strict, because a relaxed server stores '' for a wrong ENUM word; and fixed, because
our escaping relies on the absence of NO_BACKSLASH_ESCAPES and ANSI_QUOTES."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is. `label` is fit to be shown; `hosts` are given when there are several, of which `url` names
    the first.
    """

    dialect: Dialect
    label: str
    url: URL = field(repr=False)
    hosts: tuple[Host, ...] = ()


def address_of(url: str) -> Address:
    """Read a SQLAlchemy-style URL; raises `DatabaseMisconfigured`, never with the URL in the message."""
    try:
        first, hosts = split(url)
        parsed = make_url(first)
    except (ArgumentError, ValueError):
        raise DatabaseMisconfigured(
            "database.url is not a URL: write sqlite:///file.db, mysql://user:password@host/name, "
            "mariadb://… or postgresql://…"
        ) from None
    dialect = SCHEMES.get(parsed.drivername.partition("+")[0])
    if dialect is None:
        raise DatabaseMisconfigured(
            f"database.url names the unknown engine {parsed.drivername!r}: "
            "sqlite, mysql, mariadb and postgresql are supported"
        )
    _check(dialect, parsed, hosts)
    query = {key: value for key, value in parsed.query.items() if key != "charset"}
    label = _label(dialect, parsed, hosts)
    return Address(dialect, label, parsed.set(drivername=DRIVERS[dialect], query=query), hosts)


def engine_of(address: Address, settings: DatabaseSettings, embedded_ones: Connections) -> AsyncEngine:
    """A pool of connections that are all set up alike; none is opened yet, and those to an embedded file will be
    among `embedded_ones`. Raises `DatabaseMisconfigured` when the engine's driver is not installed.
    """
    driver = DRIVERS[address.dialect].partition("+")[2]
    if find_spec(driver) is None:
        raise DatabaseMisconfigured(
            f"database.url names {address.dialect}, whose driver {driver} is not installed: "
            f"pip install 'mcp-gateway[{address.dialect}]'"
        )
    engine = create_async_engine(
        address.url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=None,  # the checkout as a whole has a timeout, in `Database`
        pool_pre_ping=address.dialect != "sqlite",
        json_deserializer=str,  # asyncpg decodes by itself; `JsonText` is spoken to in text
        hide_parameters=True,  # parameters are payloads: they stay out of errors and logs
        connect_args=_connect_args(address, settings, embedded_ones),
    )
    if address.dialect == "sqlite":
        event.listen(engine.sync_engine, "begin", embedded.begin)
    if address.hosts:
        event.listen(engine.sync_engine, "handle_error", _leave)
    return engine


def _leave(context: ExceptionContext) -> None:
    """Another host may do what this one cannot do any more."""
    if is_of_the_host(context.original_exception):
        context.is_disconnect = True


def _check(dialect: Dialect, url: URL, hosts: tuple[Host, ...]) -> None:
    if unknown := sorted(url.query.keys() - OPTIONS[dialect]):
        allowed = ", ".join(sorted(OPTIONS[dialect])) or "none"
        raise DatabaseMisconfigured(f"database.url has the unknown option {unknown[0]!r}; for {dialect}: {allowed}")
    if dialect == "sqlite":
        if url.host or url.database in (None, "", ":memory:"):
            raise DatabaseMisconfigured(
                "database.url must name a file: sqlite:///mcp_chat.db (relative) or sqlite:////var/lib/mcp_chat.db "
                "(absolute); records must outlive the process"
            )
    elif not url.database:
        raise DatabaseMisconfigured(f"database.url names no database: write {dialect}://user:password@host/mcp_chat")
    elif hosts and "unix_socket" in url.query:
        raise DatabaseMisconfigured("database.url names several hosts and a socket: write one or the other")


def _label(dialect: Dialect, url: URL, hosts: tuple[Host, ...]) -> str:
    if dialect == "sqlite":
        return f"SQLite database {url.database}"
    product = "PostgreSQL" if dialect == "postgresql" else "MySQL"
    socket = url.query.get("unix_socket")
    place = socket or ", ".join(str(host) for host in hosts or [Host(url.host or "localhost", url.port)])
    return f"{product} database {url.database} at {place}"


def _connect_args(address: Address, settings: DatabaseSettings, embedded_ones: Connections) -> dict[str, Any]:
    hosts, seconds = address.hosts, settings.connect_timeout / max(1, len(address.hosts))
    if address.dialect == "sqlite":
        return {"async_creator_fn": embedded_ones.open}
    if address.dialect == "postgresql":
        options: dict[str, Any] = {"server_settings": {"timezone": "UTC", "application_name": "mcp-gateway"}}
        if hosts:
            several = Failover(hosts, openers.writable_postgresql, openers.postgresql_failures(), seconds)
            options["async_creator_fn"] = several.open
        return options
    one_of = Failover(hosts, openers.writable_mysql, openers.MYSQL_FAILURES, seconds)
    return {
        "async_creator_fn": one_of.open if hosts else openers.mysql,
        "charset": "utf8mb4",
        "sql_mode": SQL_MODE,
        "init_command": "SET time_zone = '+00:00'",
    }
