"""`mcp-gateway calls show`: the whole story of one call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.calls.story import timing_bar
from storage.records import Outcome
from tests.gateway.cli.calls.conftest import Filled
from tests.support.recording import World, new_uid, now_us


@pytest.fixture
def uids() -> list[str]:
    """The uids of the calls that a test records, in order."""
    return []


def told(
    filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str], *words: str, **record: Any
) -> tuple[int, str, str]:
    settings = record.pop("settings", {})

    async def one(here: World, writer: Any) -> None:
        uids.append((await here.record(writer, **record)).call_uid)

    config = filled(one, **settings)
    capsys.readouterr()
    code = main(["calls", "show", uids[0], *words, "--config", config])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_who_where_when_and_how_stand_first(
    filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]
) -> None:
    end = {"outcome": Outcome.TIMEOUT, "reason": "first_byte", "error_message": "no answer\nfor 60 s", "attempts": 2}
    code, shown, _ = told(filled, capsys, uids, trace_id="ab" * 16, end={**end, "total_us": 2_000})
    assert code == 0
    lines = shown.splitlines()
    assert lines[0] == "time › get_current_time  timeout"
    assert lines[1] == uids[0]
    facts = {line[:10].strip(): line[10:] for line in lines[3:] if not line.startswith(" ")}
    assert facts["who"] == "alice (key alice's), with tester 1 (modern)"
    assert facts["where"] == "time (legacy), tools/call get_current_time"
    assert facts["error"] == "first_byte: no answer for 60 s"
    assert (facts["attempts"], facts["trace"]) == ("2", "ab" * 16)
    assert facts["chat"].endswith("(automatic)")
    assert facts["time"] == "████████████████░░░░░░░░░░░░░░░░ 2.0 ms"
    assert "          █ server 1.0 ms  ░ gateway 1.0 ms" in lines


def test_payloads_are_indented_and_their_texts_broken_where_their_lines_end(
    filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]
) -> None:
    response = rb'{"content":[{"type":"text","text":"one\ntwo"}],"price":1.10}'
    _, shown, _ = told(filled, capsys, uids, end={"response": response})
    assert '        "text": "one\\n\n        two"\n' in shown
    assert '"price": 1.10\n' in shown
    assert f"response  {len(response)} bytes" in shown


def test_what_is_long_is_cut_and_says_so(filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]) -> None:
    request = json.dumps({"lines": ["x" * 500, *range(60)]}).encode()

    async def one(here: World, writer: Any) -> None:
        uids.append((await here.record(writer, request=request)).call_uid)

    config = filled(one)
    assert main(["calls", "show", uids[0], "--config", config]) == 0
    shown = capsys.readouterr().out
    assert "… 107 more characters; --full shows them" in shown
    assert "… 25 more lines; --full shows them" in shown
    assert main(["calls", "show", uids[0], "--full", "--config", config]) == 0
    whole = capsys.readouterr().out
    assert "more lines" not in whole
    assert "x" * 500 in whole


def test_what_was_not_kept_says_how_much_and_why(
    filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]
) -> None:
    request = b'{"a":"%s"}' % (b"x" * 500)
    _, shown, _ = told(filled, capsys, uids, request=request, settings={"payload_bytes": 100})
    assert "… 408 more bytes were not kept (recording.payload_bytes)" in shown


def test_what_was_left_out_says_why(filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]) -> None:
    end = {"outcome": Outcome.REFUSED, "reason": "server_down", "response": None, "upstream_us": None}
    _, shown, _ = told(filled, capsys, uids, settings={"payload_bytes": 0}, end=end)
    assert "not kept: it is larger than what is kept" in shown
    assert "response  none: server_down" in shown
    assert "1.5 ms, none of it with the server" in shown


def test_rounds_stand_in_order_and_mark_where_we_are(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    operation = new_uid()

    async def rounds(here: World, writer: Any) -> None:
        asks = {"outcome": Outcome.INPUT_REQUIRED}
        await here.record(writer, call_uid=operation, operation_uid=operation, end=asks)
        await here.record(writer, operation_uid=operation, round=1, started_us=now_us() + 1_000_000)

    assert main(["calls", "show", operation, "--config", filled(rounds)]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("rounds")
    assert lines[at + 1].startswith(f"▸  0  {operation}")
    assert lines[at + 2].startswith("   1  ")
    assert [line.split()[-1] for line in lines[at + 1 : at + 3]] == ["input_required", "ok"]


def test_nothing_in_it_drives_the_terminal(filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]) -> None:
    evil = "\x1b[31m\x9b"
    end = {"error_message": evil, "response": json.dumps({"a": evil}, ensure_ascii=False).encode()}
    _, shown, _ = told(filled, capsys, uids, target=f"t{evil}", client_name=evil, request=b'{"a":1}', end=end)
    assert not {"\x1b", "\x9b"} & set(shown)


def test_json_is_everything_on_one_line(filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]) -> None:
    code, shown, _ = told(filled, capsys, uids, "--json")
    whole = json.loads(shown)
    assert (code, shown.count("\n"), whole["call_uid"]) == (0, 1, uids[0])
    assert whole["request"]["json"]["name"] == "get_current_time"
    assert {"chat", "rounds", "response"} <= whole.keys()


class TestAUid:
    def test_may_be_cut_as_long_as_no_other_begins_so(
        self, filled: Filled, capsys: pytest.CaptureFixture[str], uids: list[str]
    ) -> None:
        at = now_us()

        async def two(here: World, writer: Any) -> None:
            uids.extend([(await here.record(writer, started_us=at, target=name)).call_uid for name in "ab"])

        config = filled(two)
        assert main(["calls", "show", f"{uids[0][:8]}-{uids[0][8:20]}".upper(), "--config", config]) == 0
        assert capsys.readouterr().out.startswith("time › a  ok")
        assert main(["calls", "show", uids[0][:12], "--config", config]) == 2
        complaint = capsys.readouterr().err
        assert f"{uids[0][:12]} is the beginning of 2 calls: " in complaint
        assert all(f"{uid} (" in complaint for uid in uids)

    @pytest.mark.parametrize(
        ("uid", "code", "complaint"),
        [
            ("xyz1", 2, "'xyz1' is no uid, nor its beginning; `calls` shows them in the column UID"),
            ("01a", 2, "'01a' is no uid, nor its beginning; `calls` shows them in the column UID"),
            ("ffff0000", 1, "no call's uid begins with ffff0000; `calls` shows what is recorded"),
        ],
    )
    def test_that_is_nobodys_is_one_line(
        self, filled: Filled, capsys: pytest.CaptureFixture[str], uid: str, code: int, complaint: str
    ) -> None:
        assert main(["calls", "show", uid, "--config", filled()]) == code
        assert capsys.readouterr().err == f"mcp-gateway: {complaint}\n"


@pytest.mark.parametrize(
    ("total", "upstream", "server"), [(10.0, 5.0, 16), (10.0, 0.0, 0), (10.0, 9.999, 31), (10.0, 10.0, 32), (0, 0, 32)]
)
def test_the_bar_shows_whose_time_it_was_and_never_hides_the_gateways(
    total: float, upstream: float, server: int
) -> None:
    bar = timing_bar(total, upstream)
    assert (bar.count("█"), len(bar)) == (server, 32)
