import hashlib

import pytest

from gateway.access import Frontier, KeyRing, frontier, is_loopback
from gateway.errors import GatewayError, Kind
from storage.records import Caller

ALICE = Caller(user_id=7, user="alice", key="ci")


def ring(**keys: Caller) -> KeyRing:
    return KeyRing({hashlib.sha256(key.encode()).hexdigest(): caller for key, caller in keys.items()})


@pytest.mark.parametrize(
    ("authorization", "api_key"), [("Bearer s3cret", None), ("bearer  s3cret ", None), (None, "s3cret")]
)
def test_a_known_key_names_its_caller_in_either_header(authorization, api_key):
    assert ring(s3cret=ALICE).authenticate(authorization, api_key) == ALICE


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [(None, None), ("", None), ("Basic s3cret", None), ("Bearer ", None), ("Bearer no", None), (None, "no")],
)
def test_a_missing_or_wrong_key_is_unauthenticated_and_never_repeated(authorization, api_key):
    with pytest.raises(GatewayError) as caught:
        ring(s3cret=ALICE).authenticate(authorization, api_key)
    assert caught.value.kind is Kind.UNAUTHENTICATED
    assert "s3cret" not in caught.value.message


def test_a_key_that_is_not_utf_8_is_unknown_and_no_crash():
    with pytest.raises(GatewayError) as caught:
        ring(s3cret=ALICE).authenticate("Bearer \udcff", None)
    assert caught.value.reason == "unknown_key"


def test_a_gateway_without_keys_serves_the_local_caller():
    local = Caller(user_id=1, user="local")
    assert KeyRing({}, local).authenticate(None, None) == local


@pytest.mark.point(13)
@pytest.mark.trap(59)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", None, "10.0.0.7:8080"]
)
def test_a_loopback_gateway_answers_to_loopback_names_alone(host):
    with pytest.raises(GatewayError) as caught:
        frontier("127.0.0.1", (), ()).check(host, None)
    assert caught.value.kind is Kind.FORBIDDEN_HOST


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]"])
def test_loopback_names_pass_with_any_port_and_case(host):
    frontier("127.0.0.1", (), ()).check(host, None)


@pytest.mark.trap(59)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[", "https://localhost.evil.example"])
def test_a_foreign_browser_origin_is_forbidden(origin):
    with pytest.raises(GatewayError) as caught:
        frontier("127.0.0.1", (), ()).check("localhost:8080", origin)
    assert caught.value.kind is Kind.FORBIDDEN_ORIGIN


@pytest.mark.parametrize("origin", [None, "http://localhost:6274", "http://127.0.0.1", "https://app.example"])
def test_known_origins_pass(origin):
    frontier("127.0.0.1", (), ("https://app.example/",)).check("localhost:8080", origin)


def test_a_gateway_bound_to_every_address_takes_any_host_until_the_admin_names_them():
    frontier("0.0.0.0", (), ()).check("anything.example", None)
    named = frontier("0.0.0.0", ("gw.example",), ())
    named.check("gw.example:443", None)
    with pytest.raises(GatewayError):
        named.check("anything.example", None)


def test_any_origin_must_be_said_in_words():
    assert "*" not in frontier("0.0.0.0", (), ()).origins
    Frontier(frozenset({"*"}), frozenset({"*"})).check("x", "http://evil.example")


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("gw", False)]
)
def test_loopback_addresses_are_told_apart(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.trap(59)
@pytest.mark.parametrize("host", ["10.1.2.3:8080", "[fd00::7]", None, "", "localhost:80"])
def test_monitors_may_come_by_any_address_or_without_a_host(host):
    frontier("127.0.0.1", (), ()).check_monitor(host, None)


@pytest.mark.trap(59)
@pytest.mark.parametrize(
    ("host", "origin"), [("evil.example", None), ("1.2.3.4.evil.example", None), ("10.1.2.3", "https://evil.example")]
)
def test_no_page_of_another_name_passes_for_a_monitor(host, origin):
    with pytest.raises(GatewayError):
        frontier("127.0.0.1", (), ()).check_monitor(host, origin)
