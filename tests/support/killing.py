"""A process that is killed between two statements, as a database sees it: whatever it had not committed is gone, and
its connections are closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event


class Killed(BaseException):
    """Nothing in the product catches this."""


@contextmanager
def killed_after_its_first_change() -> Iterator[list[str]]:
    """Within this context the first statement that leaves something behind is the last one: MySQL keeps DDL at once,
    and rows when they are committed. Yields the statements that were run.
    """
    ran: list[str] = []
    state = {"left_something": False, "rows": False}

    def before(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        if state["left_something"]:
            raise Killed

    def after(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        ran.append(statement)
        verb = statement.split(maxsplit=1)[0].upper()
        state["left_something"] |= verb in {"CREATE", "ALTER"}
        state["rows"] |= verb in {"INSERT", "UPDATE", "DELETE"} and cursor.rowcount != 0

    def committed(connection: Connection) -> None:
        state["left_something"] |= state["rows"]

    listeners = {"before_cursor_execute": before, "after_cursor_execute": after, "commit": committed}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield ran
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
