"""What people do with records: the real command line beside a running gateway."""

import asyncio
import hashlib
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web

from gateway.protocol.headers import encode
from tests.support.gateway import running_gateway
from tests.support.mcp_http import McpServer

PATIENCE = 60
READS = {"annotations": {"readOnlyHint": True}, "inputSchema": {}}
WRITES = {"annotations": {"readOnlyHint": False}, "inputSchema": {}}
ERAS = [{"modern": True}, {"legacy": True}]


@dataclass
class Ended:
    code: int
    out: str
    err: str


async def cli(gateway, *words, **env):
    """Run `mcp-gateway calls …` as a shell does."""
    config = ("--config", str(gateway.file))
    url = ("--url", gateway.url) if words[0] == "replay" else ()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "calls", *words, *config, *url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", **env},
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def demo(folder, era=ERAS[0], **more):
    """A gateway before two servers whose tools answer what the test puts into `says`."""
    async with McpServer(**era) as one, McpServer(**era) as other:
        for server in (one, other):
            server.says = "same"
            server.capabilities = {"tools": {}, "resources": {}}
            server.tools = {name: _saying(server) for name in ("read", "write", "plain")}
            server.definitions = [
                {"name": "read", **READS},
                {"name": "write", **WRITES},
                {"name": "plain", "inputSchema": {}},
            ]
        servers = {"one": {"url": one.url}, "second": {"url": other.url}}
        async with running_gateway({"servers": servers, **more}, folder) as gateway:
            await gateway.until(lambda: _listed(gateway))
            yield gateway, one, other


def _saying(server):
    async def tool(asked):
        result = {"content": [{"type": "text", "text": server.says}]}
        return asked.result({"resultType": "complete", **result} if asked.modern else result)

    return tool


async def _listed(gateway):
    return len(await gateway.tools()) == 6


async def recorded(gateway, name, arguments=None, **more):
    await gateway.call(name, arguments, **more)
    return (await gateway.rows())[-1]["call_uid"]


@pytest.mark.parametrize("era", ERAS, ids=["modern", "legacy"])
async def test_a_replayed_call_is_sent_again_as_it_was_and_compared(tmp_path, era):
    async with demo(tmp_path, era) as (gateway, one, _):
        uid = await recorded(gateway, "one__read", {"price": 1.5, "名": "é"})
        same = await cli(gateway, "replay", uid)
        assert (same.code, same.out) == (0, "")
        assert same.err.startswith("one › read: the same answer (")
        first, second = one.named("tools/call")
        assert first.params["arguments"] == second.params["arguments"]
        one.says = "another\nanswer"
        differs = await cli(gateway, "replay", uid[:16])
        assert differs.code == 1
        assert [line for line in differs.out.splitlines()[2:] if line[0] in "+-"] == [
            '-      "text": "same"',
            '+      "text": "another\\n',
            '+      answer"',
        ]
        assert "one › read: another answer" in differs.err
        assert [row["target"] for row in await gateway.rows()] == ["read"] * 3


async def test_a_call_may_be_replayed_on_another_server(tmp_path):
    async with demo(tmp_path) as (gateway, one, other):
        uid = await recorded(gateway, "one__read", {"n": 1})
        other.says = "new"
        ended = await cli(gateway, "replay", uid, "--server", "second", "--json")
        told = json.loads(ended.out)
        assert (ended.code, told["same"], told["server"]) == (1, False, "second")
        assert told["replayed"]["content"][0]["text"] == "new"
        assert (len(one.named("tools/call")), other.named("tools/call")[0].params["arguments"]) == (1, {"n": 1})


async def test_an_error_of_the_protocol_is_an_answer_too(tmp_path):
    async with demo(tmp_path) as (gateway, one, _):

        async def refuse(asked):
            return asked.error(-32050, one.says, data={"a": 1})

        one.tools["read"] = refuse
        uid = await recorded(gateway, "one__read")
        assert (await cli(gateway, "replay", uid)).code == 0
        one.says = "another"
        ended = await cli(gateway, "replay", uid)
        assert (ended.code, '+  "message": "another"' in ended.out) == (1, True)


async def test_where_there_was_no_answer_any_is_another(tmp_path):
    async with demo(tmp_path, timeouts={"first_byte": 0.2}) as (gateway, one, _):
        good = one.tools["read"]

        async def hang(asked):
            await asked.gone.wait()
            return web.Response()

        one.tools["read"] = hang
        uid = await recorded(gateway, "one__read")
        one.tools["read"] = good
        ended = await cli(gateway, "replay", uid)
        assert (ended.code, "then there was none (timeout)" in ended.err) == (1, True)


async def test_resources_are_read_again_and_need_no_word_of_the_server(tmp_path):
    async with demo(tmp_path) as (gateway, one, _):

        async def read(asked):
            return asked.result({"resultType": "complete", "contents": [{"uri": asked.params["uri"], "text": "x"}]})

        one.served["resources/read"] = read
        path, named = "/servers/one/mcp", {"Mcp-Name": encode("file:///é")}
        answer = await gateway.modern("resources/read", {"uri": "file:///é"}, path=path, headers=named)
        assert answer.status == 200, await answer.text()
        uid = (await gateway.rows())[-1]["call_uid"]
        assert (await cli(gateway, "replay", uid)).code == 0


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("write", {}, "the tool write of one does not call itself read-only (annotations.readOnlyHint)"),
        ("plain", {}, "the tool plain of one does not call itself read-only (annotations.readOnlyHint)"),
        ("read", {"api_key": "sk-verysecretvalue1234567890"}, "the request holds [redacted] where a secret was"),
        ("read", {"big": "x" * 3_000}, "the request was not kept (size)"),
    ],
)
async def test_what_might_do_harm_or_is_not_whole_is_not_sent(tmp_path, tool, arguments, reason):
    recording = {"payload_bytes": 2_000, "exact": "never"}
    async with demo(tmp_path, recording=recording) as (gateway, one, _):
        uid = await recorded(gateway, f"one__{tool}", arguments)
        ended = await cli(gateway, "replay", uid)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"mcp-gateway: {reason}")
        assert len(one.named("tools/call")) == 1


async def test_a_server_that_nobody_knows_is_told_with_those_that_are_known(tmp_path):
    async with demo(tmp_path) as (gateway, one, _):
        uid = await recorded(gateway, "one__read")
        ended = await cli(gateway, "replay", uid, "--server", "zzz")
        assert (ended.code, ended.err) == (2, "mcp-gateway: --server: 'zzz' is not known; there is one, second\n")
        assert len(one.named("tools/call")) == 1


async def test_a_gateway_that_is_not_there_is_exit_code_2(tmp_path):
    async with demo(tmp_path) as (gateway, *_):
        uid = await recorded(gateway, "one__read")
    ended = await cli(gateway, "replay", uid)
    assert ended.code == 2
    assert "nothing answers at" in ended.err


async def test_a_replay_needs_the_callers_key_and_shows_nobody_elses_answer(tmp_path):
    digest = hashlib.sha256(b"secret-key").hexdigest()
    auth = {"keys": [{"name": "ci", "user": "ci", "sha256": digest}]}
    async with McpServer(modern=True) as server:
        server.definitions = [{"name": "echo", **READS}]
        server.tools["echo"] = _saying_hello
        config = {"servers": {"one": {"url": server.url}}, "auth": auth}
        async with running_gateway(config, tmp_path) as gateway:
            headers = {"Authorization": "Bearer secret-key"}
            await gateway.call("one__echo", headers=headers)
            [row] = await gateway.rows()
            refused = await cli(gateway, "replay", row["call_uid"])
            assert (refused.code, "wants an API key" in refused.err) == (2, True)
            assert (await cli(gateway, "replay", row["call_uid"], MCP_GATEWAY_KEY="secret-key")).code == 0


async def _saying_hello(asked):
    return asked.result({"resultType": "complete", "content": [{"type": "text", "text": "hello"}]})


async def test_the_story_the_list_the_export_and_the_api_tell_of_the_same_calls(tmp_path):
    async with demo(tmp_path) as (gateway, *_):
        uids = [await recorded(gateway, "one__read", {"n": n}) for n in range(3)]
        listed = await cli(gateway, "--json", "--tool", "one__read")
        exported = await cli(gateway, "export", "--server", "one", "--payloads")
        answer = await gateway.client.get(f"{gateway.root}/api/calls?tool=one__read")
        api = [call["call_uid"] for call in json.loads(await answer.text())["calls"]]
        assert [json.loads(line)["call_uid"] for line in listed.out.splitlines()] == uids == api[::-1]
        lines = [json.loads(line) for line in exported.out.splitlines()]
        assert [line["request"]["json"]["arguments"]["n"] for line in lines] == [0, 1, 2]
        shown = await cli(gateway, "show", uids[0], "--json")
        whole = json.loads(await (await gateway.client.get(f"{gateway.root}/api/calls/{uids[0]}")).text())
        assert json.loads(shown.out) == whole
