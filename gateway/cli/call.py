"""`mcp-gateway call`: call one tool through the running gateway, as any MCP client would.

Which question: does this tool work, and what does it say? Touches the gateway over HTTP, and no database. The rule:
the answer goes to stdout and everything about it to stderr; a tool that fails makes the command fail.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Raw

from gateway.cli import rendering
from gateway.cli.client import Client, Refused, Target, connected
from gateway.cli.durations import seconds
from gateway.cli.failures import Failed, Misused
from gateway.cli.invocation import program
from gateway.config import ConfigErrors
from gateway.protocol import headers, texts
from gateway.protocol.jsonrpc import Message
from gateway.protocol.mirrors import mirrored, mirrors_of
from gateway.protocol.versions import Era
from gateway.settings import Listen

KEY_VARIABLE = "MCP_GATEWAY_KEY"
FILE_VARIABLE = "MCP_GATEWAY_CONFIG"
DEFAULT_FILE = "config.yaml"
INVALID_PARAMS, HEADER_MISMATCH = -32602, -32020
SIMILAR = 3
"""Names that are offered for one that does not exist."""

EPILOG = f"""\
examples:
  mcp-gateway call time__get_current_time --input '{{"timezone": "Asia/Shanghai"}}'
  mcp-gateway call git__git_log --input @arguments.json --json
  {KEY_VARIABLE}=… mcp-gateway call get_current_time --url http://gw:8080/servers/time/mcp --input -
"""


def add_parser(subparsers: Any) -> None:
    """Add `call` to the command line."""
    parser = subparsers.add_parser(
        "call",
        help="call a tool through the running gateway",
        description="Call a tool through the running gateway.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", type=_name, help="the tool, as `mcp-gateway servers --tools` shows it")
    parser.add_argument(
        "--input", default="{}", metavar="JSON", help="its arguments: a JSON object, @FILE, or - (stdin)"
    )
    parser.add_argument("--url", help="the MCP endpoint (default: where config.yaml listens)")
    parser.add_argument(
        "--config", metavar="FILE", help=f"take the URL from this file (default: {DEFAULT_FILE}, or ${FILE_VARIABLE})"
    )
    parser.add_argument("--key", help=f"API key (default: ${KEY_VARIABLE})")
    parser.add_argument(
        "--era", choices=[era.value for era in Era], default=Era.MODERN.value, help="protocol era to speak"
    )
    parser.add_argument("--json", action="store_true", help="print the result as the JSON that arrived")
    parser.add_argument("--timeout", type=seconds, default=300.0, metavar="S", help="seconds to wait (default: 300)")
    parser.set_defaults(handler=call)


async def call(arguments: argparse.Namespace) -> int:
    """Call, print, and tell by the exit code whether the tool did its work."""
    given = read_arguments(arguments.input)
    target = Target(
        arguments.url or default_url(arguments.config), usable_key(arguments.key or os.environ.get(KEY_VARIABLE))
    )
    try:
        async with asyncio.timeout(arguments.timeout):
            result = await _called(target, Era(arguments.era), arguments.name, given)
    except TimeoutError as error:
        raise Failed(f"no answer within {arguments.timeout:g} s; --timeout waits longer") from error
    return _show(result, as_json=arguments.json)


def read_arguments(text: str) -> Raw:
    """The tool's arguments, byte for byte as they were given. Raises Misused, naming the place of a mistake."""
    where, text = _read(text)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=float)
    except json.JSONDecodeError as error:
        raise Misused(f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise Misused(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise Misused(f"{where} is nested too deep") from error
    if not isinstance(value, dict):
        raise Misused(f"{where} must be a JSON object: a tool's arguments have names")
    return Raw(text.strip().encode("utf-8", "surrogateescape"))


def default_url(file: str | None) -> str:
    """The endpoint of the gateway that runs on this configuration file, or on config.yaml here, or on no file.

    A file that nobody named may need variables of the gateway's own environment: then the default address has to do.
    Raises ConfigErrors for a file that was named.
    """
    path = file or os.environ.get(FILE_VARIABLE, DEFAULT_FILE)
    if file is None and not Path(path).exists():
        return url_of(Listen())
    from gateway.cli.common import section_of  # with all that reads and checks a file, it takes half a second

    try:
        return url_of(section_of(path, "listen", Listen).value)
    except ConfigErrors:
        if file is not None:
            raise
        print(f"{path} cannot be used here (see `{program()} check`); trying {url_of(Listen())}", file=sys.stderr)
        return url_of(Listen())


def url_of(listen: Listen) -> str:
    """Where a gateway that binds this address is reached from the same machine."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{listen.port}/mcp"


async def _called(target: Target, era: Era, name: str, given: Raw) -> bytes:
    try:
        async with connected(target, era, hear) as client:
            return await answered(client, name, given)
    except Refused as error:
        raise Failed(refusal(error)) from error


async def answered(client: Client, name: str, given: Raw) -> bytes:
    """The JSON text of the tool's result. Raises Refused, and Failed for a tool that does not exist. Its definition is
    asked for only when the call was refused: it may not exist, or want its arguments in headers too (MCP 2026-07-28
    `basic/transports/streamable-http`).
    """
    params = {"name": name, "arguments": given}
    try:
        return await client.request("tools/call", params, {headers.NAME: headers.encode(name)})
    except Refused as error:
        if error.code not in (INVALID_PARAMS, HEADER_MISMATCH):
            raise
        tools = await _tools(client)
        if name not in tools:
            raise Failed(_unknown(name, list(tools))) from error
        mirrors = mirrored(mirrors_of(tools[name]), given)
        if error.code == INVALID_PARAMS or not mirrors:
            raise
        return await client.request("tools/call", params, {headers.NAME: headers.encode(name), **mirrors})


async def _tools(client: Client) -> dict[str, Raw]:
    """The definitions of what the endpoint offers by name, every page of it."""
    found: dict[str, Raw] = {}
    cursor: dict[str, object] = {}
    while True:
        page = texts.members(await client.request("tools/list", cursor))
        for tool in texts.elements(page.get("tools", b"[]")):
            found[texts.word(texts.members(tool).get("name", b'""')) or ""] = tool
        if (following := page.get("nextCursor")) is None:
            return found
        cursor = {"cursor": following}


def _show(text: bytes, *, as_json: bool) -> int:
    result = rendering.value_of(text)
    if not isinstance(result, dict):
        raise Failed("the result is no JSON object: this is no MCP server")
    if result.get("resultType") == "input_required":
        asked = ", ".join(sorted({one["method"] for one in (result.get("inputRequests") or {}).values()}))
        raise Failed(f"the tool asks for input ({asked or 'later'}), which this command cannot give; use a chat client")
    failed = bool(result.get("isError"))
    shown = text.decode("utf-8", "replace") if as_json else rendering.answer(text)
    if shown:
        print(shown, file=sys.stderr if failed and not as_json else sys.stdout)
    return Failed.exit_code if failed else 0


def hear(message: Message) -> None:
    """Show what precedes an answer, on stderr."""
    params = {} if message.params is None else rendering.value_of(bytes(message.params))
    if (line := rendering.notification(message.method, params)) is not None:
        print(line, file=sys.stderr)


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=SIMILAR, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"`{program()} servers --tools` lists what there is"
    return f"no tool {name}; {hint}"


def refusal(error: Refused) -> str:
    """A JSON-RPC error in words."""
    data = "" if error.data is None else f" {json.dumps(error.data, ensure_ascii=False)}"
    return f"{error.message} (JSON-RPC error {error.code}){data}"


def _read(given: str) -> tuple[str, str]:
    """Where the arguments come from, in words, and their text."""
    where = "stdin" if given == "-" else f"--input {given}" if given.startswith("@") else "--input"
    try:
        if given == "-":
            return where, sys.stdin.buffer.read().decode("utf-8")
        return where, Path(given[1:]).read_text("utf-8") if given.startswith("@") else given
    except UnicodeDecodeError as error:
        raise Misused(f"{where}: no UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise Misused(f"{where}: {error.strerror}") from error


def usable_key(text: str | None) -> str | None:
    """`text` if a header can carry it. Raises Misused."""
    if text is not None and not (text.isascii() and text.isprintable()):
        raise Misused("the API key holds characters that no HTTP header can carry")
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number (RFC 8259 §6)")


def _name(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no UTF-8 text") from error
    return text
