"""What the keys of one server owe to each other, to RFC 9110 and to MCP.

Which question: can this server be reached as it is written? Pure. The rule: no message quotes a value, because any of
them may hold a secret; names of headers and variables are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.config.keys import Path
from gateway.settings import ServerSpec
from storage.paths import BadPath, parsed
from storage.settings import Captured

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""RFC 9110 §7.6.1."""

FRAMING = frozenset(
    {"accept", "accept-encoding", "content-encoding", "content-length", "content-type", "expect", "host"}
)
"""What describes the message, which is the gateway's to say."""

PROTOCOL = frozenset({"last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id"})
PROTOCOL_PREFIX = "mcp-param-"
"""MCP 2025-11-25 `basic/transports`, MCP 2026-07-28 `basic/transports/streamable-http`."""

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""What clients show to the gateway; it is nobody else's business."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
"""RFC 9110 §5.5; what lies above ASCII travels as Latin-1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the value at `path`, counted from the server. `message` follows the key's name."""

    path: Path
    message: str
    concerns: tuple[str, ...] = ()
    """Keys whose own problems would explain this one."""


Rule = Callable[[ServerSpec], Iterator[Finding]]


def findings(spec: ServerSpec) -> Iterator[Finding]:
    """Everything that is wrong with a server whose variables are filled in."""
    for rule in RULES:
        yield from rule(spec)


def unserved(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """What is right in a spec, as written, and yet nothing that the gateway serves: the path, and what to do."""
    if spec.get("transport") == "sse":
        yield (
            ("transport",),
            "is sse, which the gateway does not speak: calls are refused; use the server's /mcp endpoint",
        )


def _target(spec: ServerSpec) -> Iterator[Finding]:
    both = ("command", "url")
    if spec.command is None and spec.url is None:
        yield Finding((), "needs a command (a program to start) or a url (an endpoint to call)", (*both, "transport"))
    if spec.command is not None and spec.url is not None:
        yield Finding(("url",), "stands beside a command; a server has one of them", both)


def _transport(spec: ServerSpec) -> Iterator[Finding]:
    if spec.transport == "stdio" and spec.command is None and spec.url is not None:
        yield Finding(("transport",), "is stdio, but the server has a url; remove transport, or write http or sse")
    if spec.transport in ("http", "sse") and spec.command is not None and spec.url is None:
        yield Finding(("transport",), f"is {spec.transport}, but the server has a command; remove transport")


def _hidden(spec: ServerSpec) -> Iterator[Finding]:
    """JSON paths that can be read."""
    if spec.recording is None:
        return
    places: list[tuple[Path, Captured]] = [(("recording",), spec.recording)]
    places += [(("recording", "tools", index), tool) for index, tool in enumerate(spec.recording.tools)]
    for place, words in places:
        for path, message in bad_paths(words):
            yield Finding((*place, *path), message)


def bad_paths(words: Captured) -> Iterator[tuple[Path, str]]:
    """Those of `hide` that cannot be read: where they stand, and why."""
    for index, text in enumerate(words.hide):
        try:
            parsed(text)
        except BadPath as bad:
            yield ("hide", index), str(bad)


def _company(spec: ServerSpec) -> Iterator[Finding]:
    """Keys that only the other kind of server uses."""
    wrong, kind = (
        (("args", "env", "cwd"), "command") if spec.command is None else (("headers", "forward_headers"), "url")
    )
    if (spec.command is None) is not (spec.url is None):
        for key in wrong:
            if getattr(spec, key):
                yield Finding((key,), f"is for servers with a {kind}; remove it", ("command", "url"))


def _url(spec: ServerSpec) -> Iterator[Finding]:
    if spec.url is not None and (fault := _fault_of_url(spec.url)):
        yield Finding(("url",), fault)


def _fault_of_url(url: str) -> str | None:
    if re.search(r"[\x00-\x20\x7f]", url):
        return "holds blanks or control characters; remove them"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        return "is no URL; write https://host/path"
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// or http://"
    if parts.username is not None or parts.password is not None:
        return "holds a user or password; send them in headers, as Authorization"
    if not host or port == 0:
        return "names no host to connect to; write https://host/path"
    if parts.fragment:
        return "has a fragment (#…), which is never sent; remove it"
    return None


def _headers(spec: ServerSpec) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, value in spec.headers.items():
        path = ("headers", name)
        if fault := _fault_of_header(name):
            yield Finding(path, fault)
        if not _FIELD_VALUE.fullmatch(value):
            yield Finding(
                path, "holds what no header may: a line break, another control character, or what is not Latin-1"
            )
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield Finding(path, f"is the same header as {first}; keep one of them")


def _forwarded(spec: ServerSpec) -> Iterator[Finding]:
    fixed = {name.lower() for name in spec.headers}
    for index, name in enumerate(spec.forward_headers):
        path = ("forward_headers", index)
        if fault := _fault_of_header(name):
            yield Finding(path, f"names {name[:60]!r}, which {fault}")
        elif name.lower() in CREDENTIALS:
            yield Finding(path, f"names {name}, by which clients prove themselves to the gateway; it never passes on")
        elif name.lower() in fixed:
            yield Finding(path, f"names {name}, which headers sets already; keep one of them")


def _fault_of_header(name: str) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "is no header name; use letters, digits and hyphens"
    lower = name.lower()
    if lower in HOP_BY_HOP or lower in FRAMING:
        return "belongs to the connection; the gateway sets it"
    if lower in PROTOCOL or lower.startswith(PROTOCOL_PREFIX):
        return "belongs to MCP; the gateway sets it"
    return None


def _child(spec: ServerSpec) -> Iterator[Finding]:
    for name, value in spec.env.items():
        if not name or "=" in name or "\0" in name:
            yield Finding(("env", name), "is no name of an environment variable")
        if "\0" in value:
            yield Finding(("env", name), "holds a NUL character")
    for key, text in (("command", spec.command), ("cwd", spec.cwd)):
        if text is not None and ("\0" in text or not text.strip()):
            yield Finding((key,), "must be a visible text")
    for index, argument in enumerate(spec.args):
        if "\0" in argument:
            yield Finding(("args", index), "holds a NUL character")


def _description(spec: ServerSpec) -> Iterator[Finding]:
    """PostgreSQL stores no NUL."""
    if "\0" in (spec.description or ""):
        yield Finding(("description",), "holds a NUL character")


RULES: tuple[Rule, ...] = (_hidden, _target, _transport, _company, _url, _headers, _forwarded, _child, _description)
