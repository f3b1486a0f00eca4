"""The transport of 2024-11-05, recognised so that it can be named.

Which question: is this URL an HTTP+SSE server, which we do not speak? Touches one GET. The rule: only asked once a
server has denied both eras; whatever goes wrong here means no.

MCP 2024-11-05 `basic/transports` (HTTP with SSE): the first event of the stream is `endpoint`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from yarl import URL

from gateway.errors import GatewayError
from gateway.upstream.connection import Wire

PATIENCE = 3.0
MOST_BYTES = 4_096


class OldTransport:
    """Looks at `url` the way a client of 2024-11-05 would; `headers` are the server's configured ones."""

    def __init__(self, wire: Wire, url: str, headers: Mapping[str, str]) -> None:
        self._wire = wire
        self._url = URL(url)
        self._headers = {**headers, "Accept": "text/event-stream"}

    async def recognised(self) -> bool:
        """Whether the stream at the URL begins with an `endpoint` event."""
        try:
            async with asyncio.timeout(PATIENCE):
                response = await self._wire.send("GET", self._url, self._headers, None)
                try:
                    return await _begins_with_endpoint(response)
                finally:
                    response.close()
        except (GatewayError, TimeoutError, aiohttp.ClientError):
            return False


async def _begins_with_endpoint(response: aiohttp.ClientResponse) -> bool:
    if response.content_type != "text/event-stream":
        return False
    heard = b""
    while b"event:" not in heard and len(heard) < MOST_BYTES and (chunk := await response.content.readany()):
        heard += chunk
    return any(line.replace(b" ", b"") == b"event:endpoint" for line in heard.splitlines())
