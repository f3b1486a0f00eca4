"""Whose fault it is that a row was not taken."""

from __future__ import annotations

import sqlite3

import pytest
from pymysql.err import OperationalError
from sqlalchemy.exc import DBAPIError, PendingRollbackError, StatementError

from storage.refusals import is_the_rows_fault


class Coded(Exception):
    """An error of the PostgreSQL driver, as SQLAlchemy hands it on."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"<class>: {sqlstate}")
        self.sqlstate = sqlstate


class Constrained(sqlite3.Error):
    """An error of the SQLite driver."""

    def __init__(self, code: int) -> None:
        super().__init__("words")
        self.sqlite_errorcode = code


def of(cause: Exception, *, broken: bool = False) -> DBAPIError:
    return DBAPIError("INSERT", None, cause, connection_invalidated=broken)


@pytest.mark.parametrize(
    "error",
    [
        *(of(OperationalError(code, "words")) for code in (1062, 1264, 1366, 1406, 1452, 1644, 3140, 3819, 4025)),
        *(of(Coded(state)) for state in ("22021", "22P05", "22003", "23503", "23505", "23514", "54000", "P0001")),
        *(of(Constrained(code)) for code in (18, 19, 787, 20)),  # 787: SQLITE_CONSTRAINT_FOREIGNKEY
        StatementError("bind", "INSERT", None, ValueError("words")),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "words"),
        OverflowError("Python int too large to convert to SQLite INTEGER"),
    ],
    ids=str,
)
def test_values_that_an_engine_does_not_take_are_the_rows_fault(error: Exception) -> None:
    assert is_the_rows_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        *(of(OperationalError(code, "words")) for code in (1054, 1114, 1146, 1205, 1213, 1305, 1317, 1364, 2013, 9999)),
        *(of(Coded(state)) for state in ("23502", "25P02", "42703", "42P01", "53100", "57014", "57P01", "XX001", "")),
        *(of(Constrained(code)) for code in (1, 5, 8, 10, 13)),
        of(OperationalError(1062, "words"), broken=True),
        of(Exception("words of nobody knows whom")),
        PendingRollbackError("the transaction is over"),
    ],
    ids=str,
)
def test_whatever_else_goes_wrong_is_not(error: Exception) -> None:
    assert not is_the_rows_fault(error)
