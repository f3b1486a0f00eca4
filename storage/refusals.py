"""Whose fault it is that the database did not take a row.

Which question: is it this row, or would any row meet the same end? Touches nothing. The rule: a row is at fault only
where the database says that its values are. What is not known to be the row's fault costs no row; it waits until
somebody mends the database.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from storage.failures import mysql_code, sqlite_code

REFUSALS = (SQLAlchemyError, ValueError, TypeError, LookupError, OverflowError)
"""What a row raises that the database or its driver does not take."""

MYSQL_VALUES = frozenset(
    {
        *(1062, 1169, 1586),  # there twice
        *(1216, 1217, 1451, 1452, 1557, 1761, 1762),  # its parents or children
        *(1264, 1265, 1292, 1366, 1367, 1406, 1411, 1441, 1690, 1918),  # too big, too long, or of another type
        *(1118, 1300, 1301, 3988, 3995),  # too wide, of another character set
        *(1369, 1644, 3819, 4025),  # refused by a check, or by a trigger of another back end
        *range(3140, 3161),  # JSON
    }
)
"""MySQL and MariaDB."""

POSTGRESQL_VALUES = ("21", "22", "23", "44", "54", "P0001")
"""SQLSTATE (PostgreSQL appendix A): values, constraints, limits, and what a trigger raises."""
NOT_NULL = "23502"
"""Our rows fill every column that must be: this is about a column that somebody has added."""

SQLITE_VALUES = frozenset({18, 19, 20, 25})
"""TOOBIG, CONSTRAINT, MISMATCH and RANGE."""


def is_the_rows_fault(error: BaseException) -> bool:
    """Whether another row might have been taken, `error` being one of `REFUSALS`."""
    if isinstance(error, DBAPIError):
        return not error.connection_invalidated and _is_about_values(error.orig)
    return isinstance(error, StatementError) or not isinstance(error, SQLAlchemyError)


def _is_about_values(cause: BaseException | None) -> bool:
    if (code := mysql_code(cause)) is not None:
        return code in MYSQL_VALUES
    if (code := sqlite_code(cause)) is not None:
        return code in SQLITE_VALUES
    state = getattr(cause, "sqlstate", None) or ""
    return state.startswith(POSTGRESQL_VALUES) and state != NOT_NULL
