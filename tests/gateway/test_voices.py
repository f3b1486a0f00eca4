"""Who hears what a server says outside calls."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from msgspec import Raw

from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.routing import table
from gateway.upstream.scopes import session_key
from gateway.voices import Voice, Voices
from tests.support.doors import House, house

UPDATED = Message(MessageKind.NOTIFICATION, method="notifications/resources/updated", params=Raw(b'{"uri":"a:b"}'))
QUESTION = Message(MessageKind.REQUEST, Raw(b'"7"'), method="roots/list", params=Raw(b"{}"))


async def alive(h: House) -> tuple[Voice, str]:
    """The audience of the one server, and the sid of a session that is in memory."""
    token = await h.initialize()
    await h.legacy({"jsonrpc": "2.0", "id": 1, "method": "ping"}, session=token)
    [server] = h.live.table.servers.values()
    [session] = h.sessions._live.values()
    return Voices(h, h.sessions, h.subscriptions, h.task_ids, h.overlays).of(server), session.facts.sid


@pytest.mark.point(26)
async def test_a_session_hears_of_a_resource_under_the_name_that_its_client_knows() -> None:
    async with house({"docs": Era.LEGACY}) as h:
        voice, sid = await alive(h)
        voice.heard(session_key(sid), UPDATED)
        session = h.sessions.alive(sid)
        assert session is not None
        assert session._standing.size > 0
        assert b'"docs+a:b"' in session._standing._ring[-1]


async def test_a_session_whose_endpoint_a_reload_took_away_hears_nothing_and_answers_nothing() -> None:
    async with house({"docs": Era.LEGACY}) as h:
        voice, sid = await alive(h)
        h.live = replace(h.live, table=table((), ()))
        voice.heard(session_key(sid), UPDATED)
        session = h.sessions.alive(sid)
        assert session is not None
        assert session._standing.size == 0
        answer = json.loads(await voice.asked(session_key(sid), QUESTION))
        assert (answer["id"], answer["error"]["code"]) == ("7", -32601)
