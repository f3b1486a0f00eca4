"""Which chat session and message a call belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from storage.claims import MAX_ID
from storage.database import Database
from storage.errors import DatabaseContended, DatabaseUnavailable
from storage.links import Links, automatic
from storage.records import Caller, Claim, Link, Started
from storage.rows import Linked
from storage.schema import chat_messages, chat_sessions
from tests.support.recording import Flaky, World, running, world

DAY_US = 86_400_000_000


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


async def chat(here: World, owner: Caller, **changes: Any) -> tuple[int, str]:
    """A chat session as a chat back end makes it."""
    public_id = uuid.uuid4().hex
    row = {"user_id": owner.user_id, "title": "A chat", "public_id": public_id, **changes}
    async with here.db.writing() as connection:
        return (await connection.execute(insert(chat_sessions).values(row))).inserted_primary_key[0], public_id


async def said(here: World, session_id: int, **changes: Any) -> tuple[int, str]:
    """A message in it."""
    public_id = uuid.uuid4().hex
    row = {"session_id": session_id, "message_type": "user", "content": "hi", "public_id": public_id, **changes}
    async with here.db.writing() as connection:
        return (await connection.execute(insert(chat_messages).values(row))).inserted_primary_key[0], public_id


async def resolve(here: World, session: str | None, message: str | None = None) -> Linked:
    [linked] = await Links(here.db).resolve([here.started(claim=Claim(session=session, message=message))])
    return linked


async def insisting(links: Links, calls: list[Started]) -> list[Linked]:
    """As a writer does: again, when another one was in the way."""
    while True:
        with contextlib.suppress(DatabaseContended):
            return await links.resolve(calls)


class TestAClaim:
    async def test_by_public_ids_links_to_what_it_names(self, here: World) -> None:
        session_id, session = await chat(here, here.alice)
        message_id, message = await said(here, session_id)
        dashed = str(uuid.UUID(session)).upper()
        assert await resolve(here, dashed, message) == Linked(session_id, message_id, Link.CLIENT)

    async def test_by_integers_links_to_rows_of_a_back_end_that_knows_no_public_ids(self, here: World) -> None:
        session_id, _ = await chat(here, here.alice, public_id=None)
        message_id, _ = await said(here, session_id, public_id=None)
        assert await resolve(here, str(session_id), str(message_id)) == Linked(session_id, message_id, Link.CLIENT)

    async def test_of_a_message_alone_has_its_session(self, here: World) -> None:
        session_id, _ = await chat(here, here.alice)
        message_id, message = await said(here, session_id)
        assert await resolve(here, None, message) == Linked(session_id, message_id, Link.CLIENT)

    async def test_of_a_session_alone_has_an_anchor_there_that_nobody_sees(self, here: World) -> None:
        session_id, session = await chat(here, here.alice)
        first, again = await resolve(here, session), await resolve(here, str(session_id))
        assert first == again
        assert (first.session_id, first.link) == (session_id, Link.CLIENT)
        [anchor] = await here.rows(chat_messages)
        assert (anchor.id, anchor.message_type, anchor.content, anchor.is_active) == (
            first.message_id,
            "system",
            "",
            False,
        )

    async def test_on_what_is_another_users_is_foreign(self, here: World) -> None:
        session_id, session = await chat(here, here.bob)
        _, message = await said(here, session_id)
        own_id, own = await chat(here, here.alice)
        for claimed in ((session, None), (str(session_id), None), (None, message), (session, message), (own, message)):
            linked = await resolve(here, *claimed)
            assert linked.link is Link.FOREIGN
            assert linked.session_id not in (session_id, own_id)

    async def test_on_what_does_not_exist_is_unknown(self, here: World) -> None:
        for nonsense in (
            "",
            "0",
            "-1",
            "12345",
            str(MAX_ID + 1),
            "9" * 30,
            "١",
            "no-such",
            uuid.uuid4().hex,
            "' OR 1=1",
            "\0",
        ):
            assert (await resolve(here, nonsense)).link is Link.UNKNOWN
            assert (await resolve(here, None, nonsense)).link is Link.UNKNOWN

    async def test_on_what_was_deleted_is_unknown(self, here: World) -> None:
        gone_id, gone = await chat(here, here.alice, is_active=False)
        _, orphan = await said(here, gone_id)
        session_id, session = await chat(here, here.alice)
        _, unsaid = await said(here, session_id, is_active=False)
        for claimed in ((gone, None), (None, orphan), (session, unsaid)):
            assert (await resolve(here, *claimed)).link is Link.UNKNOWN

    async def test_on_a_message_of_another_session_is_unknown(self, here: World) -> None:
        _, session = await chat(here, here.alice)
        other_id, _ = await chat(here, here.alice)
        _, message = await said(here, other_id)
        assert (await resolve(here, session, message)).link is Link.UNKNOWN


class TestTheAutomaticSession:
    async def test_is_one_per_user_key_client_and_legacy_session_or_day(self, here: World) -> None:
        base = here.started(started_us=10 * DAY_US)
        others = [
            here.started(started_us=11 * DAY_US),
            here.started(started_us=10 * DAY_US, caller=here.bob),
            here.started(started_us=10 * DAY_US, client_name="another"),
            here.started(started_us=10 * DAY_US, client_name=None),
            here.started(started_us=10 * DAY_US, auto_session="s1"),
            here.started(started_us=10 * DAY_US, auto_session="s2"),
            here.started(started_us=10 * DAY_US, caller=Caller(user_id=here.alice.user_id, user="alice", key=None)),
        ]
        same = [here.started(started_us=10 * DAY_US + 5), here.started(started_us=11 * DAY_US - 1, client_version="9")]
        linked = await Links(here.db).resolve([base, *others, *same])
        assert len({one.session_id for one in linked}) == 1 + len(others)
        assert linked[-2:] == [linked[0]] * 2
        assert {one.link for one in linked} == {Link.AUTO}
        assert len({one.message_id for one in linked}) == 1 + len(others)

    async def test_of_a_legacy_session_outlives_the_day(self, here: World) -> None:
        early, late = (here.started(started_us=day * DAY_US, auto_session="s") for day in (10, 12))
        first, second = await Links(here.db).resolve([early, late])
        assert first == second

    async def test_says_what_it_is_and_whose_but_no_secret(self, here: World) -> None:
        call = here.started(auto_session="legacy-session-secret", client_name="claude \0\ud800" + "x" * 300)
        await Links(here.db).resolve([call])
        [session] = await here.rows(chat_sessions)
        assert (session.kind, session.user_id, session.is_active) == ("mcp", here.alice.user_id, True)
        assert session.title.startswith("Calls of claude")
        assert session.client_key.startswith("alice's/claude")
        assert "legacy-session-secret" not in repr(session)

    async def test_has_the_same_id_for_every_writer(self, here: World) -> None:
        calls = [here.started(auto_session=str(n % 5)) for n in range(20)]
        found = await asyncio.gather(*(insisting(Links(here.db), calls) for _ in range(4)))
        assert all(one == found[0] for one in found)
        assert len(await here.rows(chat_sessions)) == len(await here.rows(chat_messages)) == 5

    def test_has_an_id_that_never_changes(self) -> None:
        caller = Caller(user_id=1, user="local")
        call = Started(
            call_uid="0" * 32, started_us=0, server_id=1, slug="s", method="tools/call", target=None, caller=caller,
            client_name="x", client_era="modern", operation_uid="0" * 32, request=b"{}",
        )  # fmt: skip
        assert automatic(call).public_id == "953e0cc49b9c59e9865f222ae2b10e4b"


class TestWhatIsRemembered:
    async def test_is_not_asked_for_again(self, here: World) -> None:
        _, session = await chat(here, here.alice)
        calls = [here.started(), here.started(claim=Claim(session=session))]
        db = Flaky(here.db._settings)
        links = Links(db)
        first = await links.resolve(calls)
        db.away = True
        assert await links.resolve(calls) == first
        with pytest.raises(DatabaseUnavailable):
            await links.resolve([here.started(auto_session="new")])
        await db.close()

    async def test_is_bounded(self, here: World) -> None:
        links = Links(here.db, cached=3)
        for n in range(10):
            await links.resolve([here.started(auto_session=str(n))])
        assert len(links._known) == 3

    async def test_is_no_verdict_against_a_claim_that_may_still_come_true(self, here: World) -> None:
        links, public_id = Links(here.db), uuid.uuid4().hex
        call = here.started(claim=Claim(session=public_id))
        assert (await links.resolve([call]))[0].link is Link.UNKNOWN
        session_id, _ = await chat(here, here.alice, public_id=public_id)
        [linked] = await links.resolve([call])
        assert (linked.session_id, linked.link) == (session_id, Link.CLIENT)


async def test_a_row_names_its_link(here: World) -> None:
    session_id, session = await chat(here, here.alice)
    _, foreign = await chat(here, here.bob)
    async with running(here.db) as writer:
        for claimed in (session, foreign, "nonsense", None):
            await here.record(writer, claim=Claim(session=claimed))
    rows = await here.rows()
    assert [row.link for row in rows] == ["client", "foreign", "unknown", "auto"]
    assert rows[0].session_id == session_id
    assert len({row.session_id for row in rows[1:]}) == 1
