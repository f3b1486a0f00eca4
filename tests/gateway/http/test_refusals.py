"""What the log tells of requests that were turned away."""

from __future__ import annotations

import logging

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.errors import GatewayError, Kind
from gateway.http.refusals import RefusalLog

REQUEST = make_mocked_request("POST", "/mcp?key=hunter2")


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gateway.http.refusals")
    return caplog


def test_a_line_names_request_peer_status_and_reason_and_not_the_query(told: pytest.LogCaptureFixture) -> None:
    RefusalLog(lambda: 0.0).tell(REQUEST, GatewayError(Kind.UNAUTHENTICATED, "this API key is not known here"))
    assert told.messages == ["refused POST '/mcp' from None with 401: this API key is not known here"]


def test_of_one_reason_a_line_a_minute_is_told_with_the_number_of_the_others(told: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = RefusalLog(lambda: now[0])
    for _ in range(10):
        log.tell(REQUEST, GatewayError(Kind.FORBIDDEN_HOST, "no"))
    log.tell(REQUEST, GatewayError(Kind.BODY_TOO_LARGE, "large"))
    now[0] = 60.0
    log.tell(REQUEST, GatewayError(Kind.FORBIDDEN_HOST, "no"))
    assert [line.partition(" with ")[2] for line in told.messages] == [
        "421: no",
        "413: large",
        "421: no (and 9 more for this reason since it was last told)",
    ]


def test_a_path_cannot_forge_a_line(told: pytest.LogCaptureFixture) -> None:
    odd = make_mocked_request("POST", "/servers/a%0AERROR%20all%20is%20lost/mcp" + "x" * 9_000)
    RefusalLog(lambda: 0.0).tell(odd, GatewayError(Kind.UNAUTHENTICATED, "no"))
    assert "\n" not in told.messages[0]
    assert len(told.messages[0]) < 200


def test_what_clients_try_in_good_order_is_not_told(told: pytest.LogCaptureFixture) -> None:
    RefusalLog(lambda: 0.0).tell(REQUEST, GatewayError(Kind.METHOD_NOT_ALLOWED, "only POST"))
    assert told.messages == []
