"""The whole way of a request and of a result through the pure core, over hostile spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.protocol import jsonrpc, meta, results, sse
from gateway.protocol.params import Params, open_params, recorded, renamed
from gateway.protocol.versions import MODERN_VERSIONS
from tests.gateway.protocol import spellings
from tests.gateway.protocol.spellings import LAW, VALUES, Spelt, flat, meaning, objects

OWN = (*meta.HOP_KEYS, "name", "_meta", "resultType", "ttlMs", "cacheScope", "structuredContent", "content")
METAS = objects(VALUES, (('"progressToken"', '"p"'), ('"traceparent"', '"00-x"')))


@st.composite
def calls(draw: st.DrawFn) -> tuple[Spelt, Spelt]:
    """Params of a call, and the `_meta` in them."""
    about = draw(METAS)
    arguments = draw(VALUES)
    own = (('"name"', '"old"'), ('"\\u006eame"', '"tool"'), ('"_meta"', about.text), ('"arguments"', arguments))
    return draw(objects(VALUES, own)), about


def foreign(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """What is not ours, each name once with its last value, at the place of its first."""
    return [(name, value) for name, value in dict(members).items() if name not in OWN]


def spelt(members: Spelt) -> list[tuple[str, bytes]]:
    return [(meaning(name), flat(value)) for name, value in members.members]


def opened(params: str) -> Params:
    body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'
    return open_params(jsonrpc.parse(body.encode()).params)


def sent(params: Params, about: dict[str, Raw]) -> list[tuple[str, bytes]]:
    """The params that a server reads when the gateway forwards the call."""
    members = {**renamed(params.members, "server's own"), "_meta": jsonrpc.encode(about)}
    request = jsonrpc.request(7, "tools/call", jsonrpc.encode(members))
    return spellings.read(dict(spellings.read(request))["params"])


def kept(params: Params, name: str) -> bytes:
    """The params that the record keeps."""
    return recorded(renamed(params.members, name), params.meta)


@pytest.mark.point(32)
@pytest.mark.trap(22)
@LAW
@given(calls())
def test_a_forwarded_call_keeps_what_is_not_ours(call: tuple[Spelt, Spelt]) -> None:
    params, about = call
    request = opened(params.text)
    for reserved in (
        meta.for_legacy(request.meta, progress_token=7),
        meta.for_modern(request.meta, version=MODERN_VERSIONS[-1], capabilities=None, progress_token=7),
    ):
        arrived = sent(request, reserved)
        assert foreign(arrived) == foreign(spelt(params))
        assert foreign(spellings.read(dict(arrived)["_meta"])) == foreign(spelt(about))


@LAW
@given(calls())
def test_policy_record_and_server_see_one_value(call: tuple[Spelt, Spelt]) -> None:
    params, _ = call
    request = opened(params.text)
    last = [value for name, value in params.members if meaning(name) == "name"][-1]
    assert request.word("name") == meaning(last)
    for text in (sent(request, {}), spellings.read(kept(request, "server's own"))):
        assert [value for name, value in text if name == "name"] == [b'"server\'s own"']
        assert len(text) == len(dict(text))
    assert foreign(spellings.read(kept(request, "x"))) == foreign(
        [(meaning(name), value.encode()) for name, value in params.members]
    )


@pytest.mark.point(32)
@pytest.mark.trap(22)
@LAW
@given(objects(VALUES, (('"content"', '[{"type":"text","text":"\\ud800\\/"}]'), ('"structuredContent"', '{"a":1.10}'))))
def test_a_result_keeps_what_is_not_ours_between_all_eras(result: Spelt) -> None:
    for convert in (lambda raw: raw, results.for_modern, results.for_legacy):
        body = dict(spellings.read(jsonrpc.result(1, convert(Raw(result.text.encode())))))["result"]
        assert foreign(spellings.read(body)) == foreign(spelt(result))


@pytest.mark.point(31)
@pytest.mark.trap(22)
@LAW
@given(objects(VALUES, (('"name"', '"old"'), ('"inputSchema"', '{"$anchor":"a","oneOf":[ true ]}'))))
def test_a_definition_keeps_what_is_not_ours(tool: Spelt) -> None:
    renamed = Raw(results.renamed(Raw(tool.text.encode()), "s__old"))
    for definition in (renamed, results.tool_for_legacy(renamed), results.tool_for_modern(renamed)):
        read = spellings.read(bytes(definition))
        assert dict(read)["name"] == b'"s__old"'
        written = [(meaning(name), value.encode()) for name, value in tool.members]
        dropped = ("outputSchema", "execution")
        assert [m for m in foreign(read) if m[0] not in dropped] == [m for m in foreign(written) if m[0] not in dropped]


@pytest.mark.trap(22)
@LAW
@given(VALUES)
def test_a_stream_carries_each_message_as_one_event(value: str) -> None:
    message = jsonrpc.result(1, value.encode())
    [event] = sse.EventParser(1_000_000).feed(sse.event(f'{{"a":{value}}}'.encode()) + sse.comment())
    assert event.data == flat(f'{{"a":{value}}}')
    [answer] = sse.EventParser(1_000_000).feed(sse.event(message))
    assert bytes(jsonrpc.parse(answer.data).body or b"") == flat(value)
