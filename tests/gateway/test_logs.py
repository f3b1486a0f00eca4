import io
import json
import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from gateway.logs import JsonFormatter, TextFormatter, hide_bad_requests, hide_lost_connections
from gateway.redact import Redactor


def logged(formatter, emit):
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    log = logging.Logger("test")
    log.addHandler(handler)
    emit(log)
    return out.getvalue()


@pytest.mark.trap(58)
@pytest.mark.parametrize("formatter", [TextFormatter, JsonFormatter])
def test_secrets_are_hidden_in_messages_and_tracebacks(formatter):
    def emit(log):
        log.warning("sent %s", "Authorization: Bearer abcdefgh12345678")
        try:
            raise ValueError("mysql://user:hunter2hunter2@host/db")
        except ValueError:
            log.exception("failed")

    text = logged(formatter(Redactor().redact_text), emit)
    assert "abcdefgh12345678" not in text
    assert "hunter2hunter2" not in text
    assert "failed" in text


def test_a_json_line_is_one_object_with_time_level_logger_and_message():
    line = json.loads(logged(JsonFormatter(lambda text: text), lambda log: log.info("hello\nworld é")))
    assert (line["level"], line["logger"], line["message"]) == ("info", "test", "hello\nworld é")
    assert "T" in line["time"]


@pytest.mark.parametrize(
    ("error", "kept"), [(BadHttpMessage("nonsense"), False), (ValueError("ours"), True), (None, True)]
)
def test_what_is_no_http_puts_no_traceback_into_the_log(error, kept):
    trouble = None if error is None else (type(error), error, None)
    record = logging.LogRecord("aiohttp.server", logging.ERROR, "x", 1, "Error handling request", None, trouble)
    assert hide_bad_requests(record) is kept


@pytest.mark.parametrize(
    ("name", "trouble", "kept"),
    [
        ("sqlalchemy.pool.impl.AsyncAdaptedQueuePool", ConnectionResetError(), False),
        ("sqlalchemy.pool.impl.AsyncAdaptedQueuePool", None, True),
        ("storage.writer", ConnectionResetError(), True),
    ],
)
def test_a_connection_that_the_pool_has_lost_puts_no_traceback_into_the_log(name, trouble, kept):
    found = None if trouble is None else (type(trouble), trouble, None)
    record = logging.LogRecord(name, logging.ERROR, "x", 1, "Exception during reset or similar", None, found)
    assert hide_lost_connections(record) is kept
