"""What a driver's error means for whoever waits for the database.

Which question: may the same call go through later, and is it worth running again at once? Touches nothing. The rule:
only failures of the database itself are translated; a wrong statement or a violated constraint is the caller's and
stays what it is.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from storage.errors import DatabaseContended, DatabaseDisconnected, DatabaseUnavailable

MYSQL_CONTENDED = frozenset({1020, 1205, 1213, 3101, 3572})
MYSQL_UNAVAILABLE = frozenset(
    {
        *(3, 1021, 1026, 1030, 1037, 1038, 1041, 1114, 1206),  # no room left
        *(1040, 1203, 1226),  # too many connections
        *(1044, 1045, 1049, 1129, 1130, 1251, 1698, 4151),  # not let in
        *(1142, 1143, 1227, 1370),  # not allowed to
        *(1036, 1047, 1053, 1077, 1180, 1290, 1792, 1836, 3032, 3100),  # not ready, shutting down, read-only
        *(1317, 1969, 3024),  # interrupted: by an administrator, or after the time that the server gives a statement
        *(1042, 1043),  # the line was never up
    }
)
MYSQL_DISCONNECTED = frozenset({1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 4031, *range(2000, 3000)})

MYSQL_OF_THE_HOST = frozenset({1047, 1053, 1290, 1792, 1836})
POSTGRESQL_READ_ONLY = "25006"

POSTGRESQL_CONTENDED = frozenset({"40001", "40P01", "55P03"})
POSTGRESQL_UNAVAILABLE = ("25006", "28", "3D", "42501", "53", "57014", "57P03", "57P04", "58")
POSTGRESQL_DISCONNECTED = ("08", "57P01", "57P02", "57P05")

SQLITE_CONTENDED = frozenset({5, 6})
"""SQLITE_BUSY and SQLITE_LOCKED."""
SQLITE_UNAVAILABLE = frozenset({3, 7, 8, 10, 11, 13, 14, 15, 23, 26})
"""PERM, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, AUTH and NOTADB."""


def meaning_of(error: DBAPIError, label: str) -> DatabaseUnavailable | None:
    """The storage error behind a driver's error, or None when the statement itself was at fault."""
    if _contended(error.orig):
        return DatabaseContended(f"{label}: another transaction was in the way ({words_of(error.orig)})")
    if error.connection_invalidated or _disconnected(error.orig):
        return DatabaseDisconnected(f"{label} cannot be used: {words_of(error.orig)}")
    if _unavailable(error.orig):
        return DatabaseUnavailable(f"{label} cannot be used: {words_of(error.orig)}")
    return None


def is_of_the_host(error: BaseException | None) -> bool:
    """Whether another host of the same database may do what this one refuses: it is read-only, or no part of its
    cluster any more.
    """
    if (code := mysql_code(error)) is not None:
        return code in MYSQL_OF_THE_HOST
    return _state(error) == POSTGRESQL_READ_ONLY


def words_of(error: BaseException | None) -> str:
    """The server's own sentence, without the driver's code and class."""
    return str(error.args[-1] if error is not None and error.args else error)


def sqlite_code(error: BaseException | None) -> int | None:
    """The primary result code; extended codes keep it in their lowest byte."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def mysql_code(error: BaseException | None) -> int | None:
    """The server's error number, or the driver's, which are from 2000 to 2999."""
    code = error.args[0] if error is not None and error.args else None
    return code if isinstance(code, int) else None


def _contended(error: BaseException | None) -> bool:
    """The MySQL driver's errors carry an SQL state as well, a coarser one: their number goes first."""
    if (code := mysql_code(error)) is not None:
        return code in MYSQL_CONTENDED
    return sqlite_code(error) in SQLITE_CONTENDED or _state(error) in POSTGRESQL_CONTENDED


def _disconnected(error: BaseException | None) -> bool:
    if (code := mysql_code(error)) is not None:
        return code in MYSQL_DISCONNECTED
    return _state(error).startswith(POSTGRESQL_DISCONNECTED)


def _unavailable(error: BaseException | None) -> bool:
    if (code := mysql_code(error)) is not None:
        return code in MYSQL_UNAVAILABLE
    return sqlite_code(error) in SQLITE_UNAVAILABLE or _state(error).startswith(POSTGRESQL_UNAVAILABLE)


def _state(error: BaseException | None) -> str:
    """The SQLSTATE, empty where there is none."""
    return getattr(error, "sqlstate", None) or ""
