"""What the sections of a file owe to each other.

Which question: may a gateway run with this? Pure. The rule: what is not safe is refused unless the file says it in
words; a doubt counts as unsafe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from gateway.access import is_loopback
from gateway.config.keys import Path, listed, nearest, shown
from gateway.config.problems import Place
from gateway.config.server_rules import bad_paths
from gateway.naming import RESERVED_SLUGS
from gateway.settings import ApiKey, Group, Listen
from storage.settings import Captured

Finding = tuple[Path, str]
"""The key, and the whole sentence about it."""


def exposure(listen: Listen, keys: Sequence[ApiKey]) -> Iterator[Finding]:
    """A gateway that other machines reach authenticates its callers, or its file says that it does not."""
    if not (is_loopback(listen.host) or keys or listen.unauthenticated):
        yield (
            ("listen", "host"),
            "listen.host lets other machines in, and nobody has to prove who they are; add auth.keys "
            "(`mcp-gateway key` makes one), or write listen.unauthenticated: true to let everybody call every tool",
        )


def repeated_keys(keys: Sequence[ApiKey], places: Sequence[Place]) -> Iterator[Finding]:
    """Two API keys with one name, or with one secret, could not be told apart."""
    for field in ("name", "sha256"):
        first: dict[str, int] = {}
        for index, key in enumerate(keys):
            earlier = first.setdefault(getattr(key, field), index)
            if earlier != index:
                path: Path = ("auth", "keys", index, field)
                yield path, f"{shown(path)} is that of the key on line {places[earlier].line}; keep one of them"


def slugs(servers: Mapping[Path, tuple[str, str]], places: Mapping[Path, Place]) -> Iterator[Finding]:
    """`servers`: path → name and slug. No two servers may share a slug, nor use a word that is the gateway's."""
    first: dict[str, Path] = {}
    for path, (name, slug) in servers.items():
        if slug in RESERVED_SLUGS:
            yield (
                path,
                f"{shown(path)} has the slug {slug}, a word that the gateway uses itself; add another slug to it",
            )
        earlier = first.setdefault(slug, path)
        if earlier != path:
            other, line = servers[earlier][0], places[earlier].line
            message = f"{shown(path)} has the slug {slug}, and so has {other!r} on line {line}"
            yield path, f"{message}; add a slug of its own to {name!r}"


def groups(groups: Mapping[str, Group], servers: Sequence[str], unread: Collection[str]) -> Iterator[Finding]:
    """A group names servers of the file, each once; `unread` are those that are there and could not be read."""
    for name, group in groups.items():
        for index, server in enumerate(group.servers):
            path: Path = ("groups", name, "servers", index)
            if server in group.servers[:index]:
                yield path, f"{shown(path)} is {server[:100]!r} once more; keep one"
            elif server not in servers and server not in unread:
                yield path, f"{shown(path)} is {server[:100]!r}, which is no server; {_advice(server, servers)}"


def _advice(server: str, servers: Sequence[str]) -> str:
    if (meant := nearest(server, servers)) is not None:
        return f"did you mean {meant}?"
    return f"known here: {listed(servers)}" if servers else "add it under servers"


def hidden(recording: Captured) -> Iterator[Finding]:
    """JSON paths that cannot be read, and why."""
    for path, message in bad_paths(recording):
        yield ("recording", *path), message


def metrics_address(listen: str | None) -> Iterator[Finding]:
    """`metrics.listen` is `host:port`, an IPv6 host in brackets."""
    if listen is None:
        return
    host, _, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        yield ("metrics", "listen"), "metrics.listen must be host:port, such as 127.0.0.1:9090 or [::1]:9090"
