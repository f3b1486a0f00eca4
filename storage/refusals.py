"""Whose fault it is that the database did not take a row.

Which question: is it this row, or would any row meet the same end? Touches nothing. The rule: what is not the row's
fault costs no row; it waits until somebody mends the database.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, ProgrammingError

from storage.failures import meaning_of

MYSQL_STATEMENT = frozenset({1054, 1142, 1143, 1146, 1370})
"""No such column or table, or no right to it."""

SQLITE_STATEMENT = 1
"""SQLITE_ERROR: no such column or table, or no SQL; rows that are refused have codes of their own."""


def is_the_rows_fault(error: DBAPIError) -> bool:
    """Whether another row might have been taken."""
    if isinstance(error, ProgrammingError) or meaning_of(error, "") is not None:
        return False
    cause = error.orig
    if getattr(cause, "sqlite_errorcode", None) == SQLITE_STATEMENT:
        return False
    return not (cause is not None and cause.args and cause.args[0] in MYSQL_STATEMENT)
