"""The text that Prometheus scrapes.

Which question: what does one scrape read? Touches the registry, and a thread. The rule: nothing is rendered on the
event loop: 1,000 series take 6 ms, 20,000 take 180 ms, and every call would wait for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


@dataclass(frozen=True, slots=True)
class Page:
    """One rendering. `content_type` holds version and character set."""

    body: bytes
    content_type: str


class Exposition:
    """Renders a registry in the format that the scraper accepts: OpenMetrics or the Prometheus text format."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def page(self, accept: str) -> Page:
        """The page for an `Accept` header; an empty one gets the Prometheus text format."""
        encode, content_type = choose_encoder(accept)
        return Page(await asyncio.to_thread(encode, self._registry), content_type)
