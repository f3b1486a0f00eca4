"""What a refusal says about sessions and eras, as tables."""

from __future__ import annotations

import pytest

from gateway.upstream.refusals import (
    Refusal,
    contradicts_legacy,
    contradicts_modern,
    denies_modern,
    not_served,
    session_lost,
)

UNDECIDED = (401, 402, 403, 409, 429, 500, 502, 503, 504)


@pytest.mark.point(50)
@pytest.mark.trap(3)
@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal(404), "status_404"),
        (Refusal(410), "status_410"),
        (Refusal(404, -32001, "Session not found"), "status_404"),
        (Refusal(404, -32602, "Invalid session"), "status_404"),
        (Refusal(404, -32603, "Internal error"), "status_404"),
        (Refusal(400, -32600, "Bad Request: Missing session ID"), "status_400"),
        (Refusal(400, -32000, "Bad Request: No valid session ID provided"), "status_400"),
        (Refusal(400, -32000, "Bad Request: Server not initialized"), "status_400"),
        (Refusal(400, None, "Mcp-Session-Id header is required"), "status_400"),
        (Refusal(200, -32600, "Session terminated"), "terminated"),
    ],
)
def test_a_server_says_in_many_ways_that_it_has_lost_a_session(refusal: Refusal, reason: str) -> None:
    assert session_lost(refusal, had_session=True) == reason


@pytest.mark.trap(3)
@pytest.mark.parametrize(
    "refusal",
    [
        *(Refusal(status, None, "no session for you") for status in UNDECIDED),
        Refusal(400, -32602, "params.session is not a string"),
        Refusal(200, -32602, "unknown session in arguments"),
        Refusal(200, -32603, "database session closed"),
        Refusal(400, -32600, "method must be a string"),
        Refusal(400, None, "bad request"),
        Refusal(404, -32022, "Unsupported protocol version"),
        Refusal(404, -32601, "Method not found"),
        Refusal(404, -32602, "Unknown resource"),
    ],
)
def test_nothing_else_costs_a_session(refusal: Refusal) -> None:
    assert session_lost(refusal, had_session=True) is None


@pytest.mark.trap(7)
def test_404_says_nothing_about_a_session_that_has_no_id() -> None:
    assert session_lost(Refusal(404), had_session=False) is None
    assert session_lost(Refusal(400, None, "Missing session ID"), had_session=False) == "status_400"


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415])
@pytest.mark.parametrize("code", [None, -32601, -32600, -32602, -32000])
def test_a_server_that_does_not_know_server_discover_is_not_modern(status: int, code: int | None) -> None:
    assert denies_modern(Refusal(status, code))


@pytest.mark.parametrize("status", [None, 200])
def test_a_json_rpc_error_denies_without_an_http_status_too(status: int | None) -> None:
    assert denies_modern(Refusal(status, -32601, "Method not found"))
    assert not_served(Refusal(status, -32601, "Method not found"))


def test_a_server_that_speaks_another_revision_is_asked_for_a_handshake() -> None:
    assert denies_modern(Refusal(400, -32022, "Unsupported protocol version"))


@pytest.mark.parametrize("code", [-32020, -32021])
def test_a_modern_server_that_dislikes_the_request_stays_modern(code: int) -> None:
    assert not denies_modern(Refusal(400, code))
    assert not contradicts_modern(Refusal(400, code))


@pytest.mark.point(49)
@pytest.mark.trap(13)
@pytest.mark.parametrize("status", UNDECIDED)
@pytest.mark.parametrize("code", [None, -32603, -32600, -32601])
def test_busy_broken_and_unauthorized_servers_decide_no_era(status: int, code: int | None) -> None:
    refusal = Refusal(status, code, "session")
    assert not denies_modern(refusal)
    assert not not_served(refusal)
    assert not contradicts_modern(Refusal(status, code))


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(400, None, "Bad Request"),
        Refusal(404),
        Refusal(405),
        Refusal(400, -32600, "Bad Request: Missing session ID"),
        Refusal(400, -32000, "Bad Request: Server not initialized"),
        Refusal(200, -32600, "Missing session ID"),
        Refusal(400, -32022, "Unsupported protocol version"),
    ],
)
def test_what_only_a_legacy_server_says_contradicts_a_modern_belief(refusal: Refusal) -> None:
    assert contradicts_modern(refusal)


@pytest.mark.parametrize(
    "refusal", [Refusal(404, -32601, "Method not found"), Refusal(400, -32602, "Unknown tool"), Refusal(200, -32603)]
)
def test_a_modern_servers_own_errors_do_not(refusal: Refusal) -> None:
    assert not contradicts_modern(refusal)


def test_what_only_a_modern_server_says_contradicts_a_legacy_belief() -> None:
    assert contradicts_legacy(Refusal(400, -32022))
    assert contradicts_legacy(Refusal(200, -32020))
    assert contradicts_legacy(Refusal(400, -32602, "params._meta is missing"))
    assert not contradicts_legacy(Refusal(200, -32602, "Unknown tool"))
    assert not contradicts_legacy(Refusal(404, -32601))
