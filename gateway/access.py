"""Who may come in: API keys, Host names and browser origins.

Which question: may this request enter, and on whose behalf? Pure. The rule: decided from headers alone, before a
byte of the body is read; a key is known only by its SHA-256, and no message repeats what the client sent as one.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.errors import GatewayError, Kind
from storage.records import Caller

ANY = "*"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The API keys by their SHA-256 in hexadecimal; `local` is the caller without a key, where that is allowed."""

    callers: Mapping[str, Caller]
    local: Caller | None = None

    def authenticate(self, authorization: str | None, api_key: str | None) -> Caller:
        """The caller behind `Authorization: Bearer …` or `X-API-Key: …`. Raises UNAUTHENTICATED (RFC 9110 §15.5.2)."""
        if self.local is not None:
            return self.local
        presented = _bearer(authorization) or api_key
        if not presented:
            raise GatewayError(
                Kind.UNAUTHENTICATED, "an API key is needed: send it as Authorization: Bearer <key>", reason="no_key"
            )
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()
        if (caller := self.callers.get(digest)) is None:
            raise GatewayError(Kind.UNAUTHENTICATED, "this API key is not known here", reason="unknown_key")
        return caller


@dataclass(frozen=True, slots=True)
class Frontier:
    """The Host names and origins that may talk to us, lower case, without ports.

    A loopback gateway is reached under loopback names only, which is what stops DNS rebinding (MCP 2025-11-25
    `basic/transports` §Security Warning).
    """

    hosts: frozenset[str]
    origins: frozenset[str]

    def check(self, host: str | None, origin: str | None) -> None:
        """Raises FORBIDDEN_HOST or FORBIDDEN_ORIGIN. A request without Origin comes from no browser and passes."""
        if ANY not in self.hosts and _hostname(host) not in self.hosts:
            raise GatewayError(
                Kind.FORBIDDEN_HOST, f"Host {_shown(host)} is not served here; the key listen.hosts allows more names"
            )
        self._check_origin(origin)

    def check_monitor(self, host: str | None, origin: str | None) -> None:
        """The same for what monitors read. They may also come by any address, as the probes of orchestrators do, and
        without a Host, as health checks in HTTP/1.0 do: the page of a rebound name can do neither.
        """
        if not host or _is_address(_hostname(host)):
            self._check_origin(origin)
        else:
            self.check(host, origin)

    def _check_origin(self, origin: str | None) -> None:
        if origin is not None and not self._knows_origin(origin):
            raise GatewayError(
                Kind.FORBIDDEN_ORIGIN,
                f"Origin {_shown(origin)} may not call this gateway; the key listen.origins allows more",
            )

    def _knows_origin(self, origin: str) -> bool:
        if ANY in self.origins or origin.lower() in self.origins:
            return True
        try:
            name = urlsplit(origin).hostname
        except ValueError:
            return False
        return name is not None and _bracketed(name) in self.hosts


def frontier(bound: str, hosts: tuple[str, ...], origins: tuple[str, ...]) -> Frontier:
    """The frontier of a gateway bound to `bound`, with the admin's additions.

    Bound to loopback: loopback names. Bound to every address: any Host, unless `hosts` narrows it. Bound to one
    address: that address and loopback names.
    """
    names = {_hostname(name) for name in hosts}
    if not names and _is_unspecified(bound):
        names = {ANY}
    elif ANY not in names:
        names |= LOOPBACK_NAMES | {_bracketed(bound.lower())}
    return Frontier(frozenset(names), frozenset(origin.lower().rstrip("/") for origin in origins))


def is_loopback(host: str) -> bool:
    """Whether a bind address reaches this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bearer(authorization: str | None) -> str | None:
    scheme, _, credentials = (authorization or "").partition(" ")
    return credentials.strip() or None if scheme.lower() == "bearer" else None


def _hostname(host: str | None) -> str:
    """The name of a Host header without its port, lower case; IPv6 addresses keep their brackets."""
    text = (host or "").strip().lower()
    if text.startswith("["):
        return text[: text.find("]") + 1] or text
    return text.partition(":")[0]


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""


def _shown(value: str | None) -> str:
    return repr((value or "")[:100])
