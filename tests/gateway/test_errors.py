import pytest

from gateway.endings import MODEL_CAN_ACT
from gateway.errors import HTTP_STATUS, JSONRPC_CODE, OUTCOME, GatewayError, Kind
from storage.records import NOT_COUNTED, STATUS_OF, SUCCESSES, Outcome, Status


@pytest.mark.parametrize("table", [HTTP_STATUS, JSONRPC_CODE, OUTCOME], ids=["status", "code", "outcome"])
def test_every_kind_stands_in_every_table(table):
    assert set(table) == set(Kind)


def test_every_outcome_has_a_documented_status():
    assert set(STATUS_OF) == set(Outcome)
    assert set(STATUS_OF.values()) <= set(Status)
    assert not SUCCESSES & NOT_COUNTED


@pytest.mark.point(34)
@pytest.mark.parametrize("kind", sorted(Kind))
def test_no_kind_uses_a_code_that_the_specification_reserves_for_something_else(kind):
    """MCP 2026-07-28 `basic/index` §Error Codes: -32020 to -32099 have exactly the meanings that it gives them."""
    reserved = {Kind.HEADER_MISMATCH: -32020, Kind.MISSING_CAPABILITY: -32021, Kind.UNSUPPORTED_VERSION: -32022}
    code = JSONRPC_CODE[kind]
    assert code == reserved.get(kind, code)
    assert kind in reserved or not -32099 <= code <= -32000


def test_the_statuses_that_the_specification_demands():
    demanded = {
        Kind.INVALID_PARAMS: 400,
        Kind.HEADER_MISMATCH: 400,
        Kind.MISSING_CAPABILITY: 400,
        Kind.UNSUPPORTED_VERSION: 400,
        Kind.METHOD_NOT_FOUND: 404,
        Kind.SESSION_UNKNOWN: 404,
        Kind.FORBIDDEN_ORIGIN: 403,
        Kind.UNAUTHENTICATED: 401,
        Kind.METHOD_NOT_ALLOWED: 405,
    }
    assert {kind: HTTP_STATUS[kind] for kind in demanded} == demanded


def test_no_error_is_an_internal_server_error():
    assert 500 not in HTTP_STATUS.values()


def test_what_a_model_can_act_on_is_never_the_callers_own_mistake():
    assert not MODEL_CAN_ACT & {Kind.UNKNOWN_TOOL, Kind.INVALID_PARAMS, Kind.PARSE, Kind.RECORDS_FULL}


def test_the_reason_of_an_error_is_its_kind_unless_somebody_knows_better():
    assert GatewayError(Kind.TIMEOUT, "x").reason == "timeout"
    assert GatewayError(Kind.SERVER_CLOSED, "x", reason="refused").reason == "refused"
