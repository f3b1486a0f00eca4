"""`mcp-gateway calls replay`, as far as it gets without a gateway; the rest is in tests/e2e/test_calls.py."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from storage import catalogs
from storage.catalogs import StoredCatalog
from storage.database import Database
from storage.records import Outcome
from storage.settings import DatabaseSettings
from tests.gateway.cli.calls.conftest import Filled
from tests.support.recording import World

READS = b'{"name":"get_current_time","annotations":{"readOnlyHint":true}}'
NOWHERE = "http://127.0.0.1:9/mcp"


async def _offer(folder: Path, *tools: bytes) -> None:
    db = Database(DatabaseSettings(url=f"sqlite:///{folder}/calls.db"))
    try:
        found = StoredCatalog(
            "modern", "2026-07-28", None, None, None, tools, hashlib.sha256(repr(tools).encode()).digest(), 0
        )
        await catalogs.store(db, 1, found)
    finally:
        await db.close()


@pytest.mark.parametrize(
    ("tools", "record", "complaint"),
    [
        ([READS], {}, "nothing answers at http://127.0.0.1:9/servers/time/mcp"),
        ([], {}, "time offers no tool get_current_time, as far as is known"),
        ([b'{"name":"get_current_time"}'], {}, "the tool get_current_time of time does not call itself read-only"),
        (
            [b'{"name":"get_current_time","annotations":{"readOnlyHint":"true"}}'],
            {},
            "the tool get_current_time of time does not call itself read-only",
        ),
        (
            [b'{"name":"get_current_time","annotations":[true]}'],
            {},
            "the tool get_current_time of time does not call itself read-only",
        ),
        (
            [READS],
            {"method": "tasks/cancel"},
            "tasks/cancel is not sent again; tools/call, prompts/get, resources/read",
        ),
        ([READS], {"request": b'{"arguments":{}}'}, "the request names no name"),
        ([READS], {"request": b"[1]"}, "the request is no JSON object"),
        ([READS], {"request": b'{"name":"x","inputResponses":{}}', "round": 2}, "the call is round 2 of an operation"),
        ([READS], {"end": {"response": b"[1]"}}, "the answer is no JSON object"),
        ([READS], {"end": {"response": b"[1]", "outcome": Outcome.PROTOCOL_ERROR}}, "the answer is no JSON object"),
    ],
)
def test_what_cannot_be_compared_says_why_in_one_line_and_is_exit_code_2(
    filled: Filled,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tools: list[bytes],
    record: dict[str, Any],
    complaint: str,
) -> None:
    uids: list[str] = []

    async def one(here: World, writer: Any) -> None:
        uids.append((await here.record(writer, **record)).call_uid)

    config = filled(one)
    asyncio.run(_offer(tmp_path, *tools))
    capsys.readouterr()
    assert main(["calls", "replay", uids[0], "--url", NOWHERE, "--config", config]) == 2
    printed, said = capsys.readouterr()
    assert (printed, said.count("\n")) == ("", 1)
    assert said.startswith(f"mcp-gateway: {complaint}")


def test_a_call_that_is_not_recorded_is_exit_code_2_too(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "replay", "ffff0000", "--url", NOWHERE, "--config", filled()]) == 2
    assert "no call's uid begins with ffff0000" in capsys.readouterr().err
