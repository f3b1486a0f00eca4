"""A stream of changes holds what was asked for, each change once, until it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.subscriptions import MOST_NAMES, MOST_WAITING, Listen, Resource, Subscriptions, wanted

TOOLS, PROMPTS = "notifications/tools/list_changed", "notifications/prompts/list_changed"
UPDATED = "notifications/resources/updated"


async def read(listen: Listen) -> list[dict[str, Any]]:
    """Everything that waits, to the end."""
    listen.end()
    return [msgspec.json.decode(frame) async for frame in listen.frames()]


def params(uri: str, **more: object) -> dict[str, Raw]:
    return {name: Raw(msgspec.json.encode(value)) for name, value in {"uri": uri, **more}.items()}


@pytest.mark.point(24)
@pytest.mark.parametrize("id", [b"1", b'"1"', b'"L-\\u00e9"'])
async def test_every_frame_carries_the_id_of_the_request_with_its_type(id: bytes) -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(id), "", frozenset({TOOLS}))
    subscriptions.changed({"": [TOOLS]})
    frames = [listen.acknowledgement(), *[frame async for frame in _ended(listen)], listen.result()]
    spelt = b'"io.modelcontextprotocol/subscriptionId":' + id
    assert all(spelt in frame for frame in frames)
    assert listen.result().startswith(b'{"jsonrpc":"2.0","id":' + id + b',"result":{"resultType":"complete"')


async def _ended(listen: Listen) -> Any:
    listen.end()
    async for frame in listen.frames():
        yield frame


@pytest.mark.point(24)
async def test_what_was_not_asked_for_is_not_told() -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(b"1"), "", frozenset({TOOLS}))
    subscriptions.changed({"": [PROMPTS], "time": [TOOLS]})
    subscriptions.updated(1, params("file:///a"))
    assert await read(listen) == []


async def test_the_stream_of_an_endpoint_that_is_gone_ends_and_no_other() -> None:
    subscriptions = Subscriptions()
    gone, kept = (subscriptions.open(Raw(b"1"), key, frozenset({TOOLS})) for key in ("groups/a", ""))
    subscriptions.vanished({"groups/a", "groups/b"})
    async with asyncio.timeout(1):
        assert [frame async for frame in gone.frames()] == []
    subscriptions.changed({"": [TOOLS]})
    assert len(await read(kept)) == 1


@pytest.mark.trap(35)
async def test_a_change_that_nobody_has_read_yet_is_told_once() -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(b"1"), "", frozenset({TOOLS, PROMPTS}))
    for _ in range(200):
        subscriptions.changed({"": [TOOLS, PROMPTS]})
    assert [frame["method"] for frame in await read(listen)] == [TOOLS, PROMPTS]


@pytest.mark.point(26)
async def test_a_resource_and_what_is_below_it_are_told_under_the_clients_uri() -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(b"1"), "", frozenset())
    subscriptions.follow(listen, {Resource(1, "file:///a"): "docs+file:///a"})
    for uri in ("file:///a", "file:///a/b", "file:///ab", "file:///c"):
        subscriptions.updated(1, params(uri, _meta={"x": 1}))
    subscriptions.updated(2, params("file:///a"))
    frames = await read(listen)
    assert [frame["params"]["uri"] for frame in frames] == ["docs+file:///a", "docs+file:///a/b"]
    assert {frame["method"] for frame in frames} == {UPDATED}
    assert all(frame["params"]["_meta"]["x"] == 1 for frame in frames)


@pytest.mark.point(26)
def test_two_streams_follow_a_resource_once_and_the_last_one_lets_it_go() -> None:
    subscriptions = Subscriptions()
    resources = {Resource(1, "file:///a"): "file:///a"}
    one, two = (subscriptions.open(Raw(own), "", frozenset()) for own in (b"1", b"2"))
    assert subscriptions.follow(one, resources) == {1}
    assert subscriptions.follow(two, resources) == frozenset()
    assert subscriptions.close(one) == frozenset()
    assert subscriptions.followed(1) == {"file:///a"}
    assert subscriptions.close(two) == {1}
    assert subscriptions.followed(1) == frozenset()
    assert len(subscriptions) == 0


@pytest.mark.point(24)
def test_what_a_server_does_not_honour_is_not_acknowledged() -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(b"1"), "", frozenset({TOOLS}))
    kept, gone = Resource(1, "file:///a"), Resource(2, "file:///b")
    subscriptions.follow(listen, {kept: "a", gone: "b"})
    subscriptions.narrow(listen, frozenset({kept}))
    acknowledged = msgspec.json.decode(listen.acknowledgement())
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    assert acknowledged["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["a"]}
    assert subscriptions.followed(2) == frozenset()


async def test_a_reader_that_never_reads_costs_a_bounded_number_of_frames() -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(b"1"), "", frozenset())
    subscriptions.follow(listen, {Resource(1, "file:///"): "file:///"})
    for number in range(MOST_WAITING + 5):
        subscriptions.updated(1, params(f"file:///{number}"))
    frames = await read(listen)
    assert len(frames) == MOST_WAITING
    assert frames[-1]["params"]["uri"] == f"file:///{MOST_WAITING + 4}"


async def test_a_stream_wakes_its_reader() -> None:
    subscriptions = Subscriptions()
    listen = subscriptions.open(Raw(b"1"), "", frozenset({TOOLS}))
    frames = listen.frames()
    async with asyncio.timeout(5):
        asyncio.get_running_loop().call_soon(subscriptions.changed, {"": [TOOLS]})
        assert TOOLS.encode() in await anext(frames)
    subscriptions.end()
    with pytest.raises(StopAsyncIteration):
        await anext(frames)


def test_a_filter_says_methods_and_each_uri_once() -> None:
    raw = {
        "toolsListChanged": True,
        "promptsListChanged": False,
        "resourceSubscriptions": ["b", "a", "b"],
        "taskIds": ["t"],
        "vendor/other": 1,
    }
    found = wanted({"notifications": Raw(msgspec.json.encode(raw))})
    assert (found.methods, found.uris, found.tasks) == (frozenset({TOOLS}), ("b", "a"), ("t",))


@pytest.mark.parametrize(
    "filter",
    [
        None,
        1,
        [],
        {"toolsListChanged": "yes"},
        {"resourceSubscriptions": "file:///a"},
        {"resourceSubscriptions": [1]},
        {"taskIds": 1},
    ],
)
def test_a_filter_of_another_shape_is_refused(filter: object) -> None:
    with pytest.raises(GatewayError) as refused:
        wanted({} if filter is None else {"notifications": Raw(msgspec.json.encode(filter))})
    assert refused.value.kind is Kind.INVALID_PARAMS


def test_a_filter_follows_a_bounded_number_of_resources() -> None:
    uris = [f"file:///{number}" for number in range(MOST_NAMES + 1)]
    with pytest.raises(GatewayError):
        wanted({"notifications": Raw(msgspec.json.encode({"resourceSubscriptions": uris}))})
