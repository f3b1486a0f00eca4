"""Several hosts of one database, and the one that is asked.

Which question: which hosts does this URL name, and to which of them goes the next connection? Touches what it is given
to open connections with. The rule: everybody stays with the host that answered last, for as long as it does, so that
writers do not meet on two nodes of a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

_URL = re.compile(r"(?P<before>[^:/]+://(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?@]*)(?P<after>.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Host:
    """`port` is None for the engine's usual one."""

    name: str
    port: int | None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


def split(url: str) -> tuple[str, tuple[Host, ...]]:
    """The URL with its first host alone, and the hosts, if it names several (`mysql://u:p@one:3306,two,three/name`).
    Raises `ValueError` when one of them is none.
    """
    parts = _URL.fullmatch(url)
    if parts is None or "," not in parts["hosts"]:
        return url, ()
    hosts = tuple(_host(word) for word in parts["hosts"].split(","))
    return f"{parts['before']}{hosts[0]}{parts['after']}", hosts


class Failover(Generic[T]):
    """Opens connections with `connect`, which takes the driver's options; `failures` are those of a host that has to be
    left, `seconds` is how long each may take.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        connect: Callable[..., Awaitable[T]],
        failures: tuple[type[Exception], ...],
        seconds: float,
    ) -> None:
        self._hosts = tuple(hosts)
        self._connect = connect
        self._failures: tuple[type[Exception], ...] = (*failures, TimeoutError)
        self._seconds = seconds
        self._last = 0

    async def open(self, **options: Any) -> T:
        """A connection to the host that answered last, or to the next that does. Raises what the last of them said."""
        problem: Exception | None = None
        for index in self._in_turn():
            host = self._hosts[index]
            place = {"host": host.name, "port": host.port if host.port is not None else options.get("port")}
            try:
                async with asyncio.timeout(self._seconds):
                    connection = await self._connect(**{**options, **place})
            except self._failures as error:
                log.debug("%s is passed over: %s", host, error)
                problem = error
                continue
            if index != self._last:
                log.warning("the database's host %s cannot be used; %s takes its place", self._hosts[self._last], host)
                self._last = index
            return connection
        raise problem if problem is not None else ValueError("there are no hosts")

    def _in_turn(self) -> Iterator[int]:
        count = len(self._hosts)
        return iter([(self._last + step) % count for step in range(count)])


def _host(word: str) -> Host:
    parts = _HOST.fullmatch(word)
    if parts is None:
        raise ValueError(f"{word!r} is no host")
    return Host(parts["v6"] or parts["name"], int(parts["port"]) if parts["port"] else None)
