"""How the gateway logs.

Which question: what does a line of the log look like? Touches the logging module, once, at start. The rule: whatever
is logged goes through redaction, tracebacks included.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp.http_exceptions import HttpProcessingError

from gateway.settings import Logging

Redact = Callable[[str], str]


class TextFormatter(logging.Formatter):
    """One readable line: time, level, logger, words."""

    def __init__(self, redact: Redact) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        if record.exc_info:
            event["error"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False)


def hide_bad_requests(record: logging.LogRecord) -> bool:
    """Keeps what is no HTTP out of the log: the HTTP library answers it with 400 and would log a traceback, with the
    sender's bytes, for each.
    """
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def hide_lost_connections(record: logging.LogRecord) -> bool:
    """Keeps the pool's tracebacks out of the log: whoever used the connection tells in one line that it is lost."""
    return record.exc_info is None or not record.name.startswith("sqlalchemy.pool")


def configure(settings: Logging, redact: Redact) -> None:
    """Log to stderr, in the form and from the severity that `settings` asks for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if settings.format == "json" else TextFormatter(redact))
    handler.addFilter(hide_lost_connections)  # its loggers' names end in the pool's class
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp.server").addFilter(hide_bad_requests)
    for chatty in ("aiosqlite", "apscheduler", "sqlalchemy", "aiomysql", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
