"""From the bytes of a child's stdout to messages at their readers.

Which question: what did the child say? Touches nothing but the switchboard. The rule: whatever arrives is either a
message or is counted and thrown away; no byte that a server writes raises an error here.
"""

from __future__ import annotations

from functools import partial

from gateway.protocol.jsonrpc import PARSE_ERROR, Malformed
from gateway.upstream.exchange import Dropped, OnDropped
from gateway.upstream.framing import Edges, LineSplitter
from gateway.upstream.switchboard import Switchboard
from gateway.upstream.unpack import malformed, messages, too_large


class Intake:
    """Reads lines of at most `limit` bytes, one message in each, and passes the messages to `board`."""

    def __init__(self, board: Switchboard, on_dropped: OnDropped, limit: int) -> None:
        self.board = board
        self._lines = LineSplitter(limit)
        self._on_dropped = on_dropped
        self._limit = limit

    def hear(self, chunk: bytes) -> None:
        """Take in what the child wrote."""
        for line in self._lines.feed(chunk):
            self._read(line)

    def end(self) -> None:
        """Nothing more will come: what stands after the last LF is a line, too."""
        self._read(self._lines.end())

    def _read(self, line: bytes | Edges) -> None:
        if isinstance(line, Edges):
            self._on_dropped(Dropped.OVERLONG)
            self.board.unreadable(line, too_large(self._limit), guess=True)
        elif line and not line.isspace():
            for message in messages(line, partial(self._malformed, line)):
                self.board.deliver(message)

    def _malformed(self, line: bytes, error: Malformed) -> None:
        self._on_dropped(Dropped.NOT_JSON if error.code == PARSE_ERROR else Dropped.NOT_A_MESSAGE)
        self.board.unreadable(Edges.of(line), malformed(error))
