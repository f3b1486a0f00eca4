"""A database that goes away and comes back while its users go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

DISK_ERROR = 10
"""SQLITE_IOERR."""


@contextmanager
def away() -> Iterator[None]:
    """Within this context every statement of this process fails as it does on a broken disk."""

    def fail(*statement: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = DISK_ERROR
        raise error

    event.listen(Engine, "do_execute", fail)
    try:
        yield
    finally:
        event.remove(Engine, "do_execute", fail)
