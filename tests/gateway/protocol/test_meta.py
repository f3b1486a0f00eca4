from __future__ import annotations

import pytest
from msgspec import Raw

from gateway.protocol import meta

TRACE = {"traceparent": Raw(b'"00-a"'), "tracestate": Raw(b'"b"'), "baggage": Raw(b'"c"')}
FOREIGN = {"x/y": Raw(b"1.10"), **TRACE, "io.modelcontextprotocol/of-an-extension": Raw(b"{ }")}
CLIENTS = FOREIGN | {key: Raw(b'"client"') for key in meta.HOP_KEYS}


def plain(members: dict[str, Raw]) -> dict[str, bytes]:
    return {key: bytes(raw) for key, raw in members.items()}


@pytest.mark.trap(14)
def test_a_legacy_server_sees_no_key_of_another_hop() -> None:
    assert plain(meta.for_legacy(CLIENTS)) == plain(FOREIGN)
    assert list(meta.for_legacy(CLIENTS)) == list(FOREIGN)


def test_a_legacy_server_learns_of_a_legacy_client_which_task_its_request_belongs_to() -> None:
    about = FOREIGN | {meta.RELATED_TASK: Raw(b'{"taskId":"t"}')}
    assert plain(meta.for_legacy(about | {meta.PROGRESS_TOKEN: Raw(b"1")}, related=True)) == plain(about)
    assert plain(meta.for_legacy(about)) == plain(FOREIGN)


@pytest.mark.trap(14)
def test_a_modern_server_sees_this_hops_keys_alone() -> None:
    own = meta.for_modern(
        CLIENTS,
        version="2026-07-28",
        capabilities=Raw(b'{"roots":{}}'),
        info=Raw(b'{"name":"c","version":"1"}'),
        log_level=Raw(b'"info"'),
        progress_token=Raw(b"7"),
    )
    assert plain(own) == plain(FOREIGN) | {
        "io.modelcontextprotocol/protocolVersion": b'"2026-07-28"',
        "io.modelcontextprotocol/clientCapabilities": b'{"roots":{}}',
        "io.modelcontextprotocol/clientInfo": b'{"name":"c","version":"1"}',
        "io.modelcontextprotocol/logLevel": b'"info"',
        "progressToken": b"7",
    }


def test_what_the_client_did_not_say_is_left_out_but_for_the_required_keys() -> None:
    assert plain(meta.for_modern({}, version="2026-07-28", capabilities=None)) == {
        "io.modelcontextprotocol/protocolVersion": b'"2026-07-28"',
        "io.modelcontextprotocol/clientCapabilities": b"{}",
    }
    assert meta.for_legacy({}) == {}


@pytest.mark.point(19)
def test_a_progress_token_is_replaced_and_never_invented() -> None:
    assert plain(meta.for_legacy({"progressToken": Raw(b'"p"')}, progress_token=7)) == {"progressToken": b"7"}
    assert meta.for_legacy({"progressToken": Raw(b'"p"')}) == {}
