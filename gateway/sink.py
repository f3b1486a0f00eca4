"""Where the frames of one exchange go: the seam between the data path and whoever reads.

Which question: what may the data path do with a reader? Imports nothing. The rule: any number of `send`, then
exactly one `finish`; the sink chooses JSON or SSE from what comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an exchange. `status` counts only while no frame was sent; `body` None is an empty answer (202)."""

    body: bytes | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Sink(Protocol):
    """The reader of one exchange."""

    async def send(self, frame: bytes) -> None:
        """Pass on one JSON-RPC message that precedes the answer; waits while the reader is slow. Raises
        `GatewayError` (ABANDONED) when nobody reads any more.
        """

    async def finish(self, answer: Answer) -> None:
        """Pass on the answer and end."""
