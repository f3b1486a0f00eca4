"""What we believe about a server's era.

Which question: does this server speak the modern or the legacy era? Pure. The rule: modern is proven by an answer to
`server/discover`, legacy by an answer to `initialize`, and nothing else proves an era; a belief that proved nothing
is dropped at the first failure.
"""

from __future__ import annotations

from gateway.protocol.versions import Era


class Eras:
    """One server's era. `pinned` comes from the admin and is never doubted; `known` from an earlier proof."""

    def __init__(self, pinned: Era | None, known: Era | None) -> None:
        self._pinned = pinned
        self._belief = known
        self._proven = known is not None

    def __repr__(self) -> str:
        return f"<Eras {self.belief}{'' if self._proven else ', not proven'}>"

    @property
    def pinned(self) -> Era | None:
        return self._pinned

    @property
    def belief(self) -> Era | None:
        """The era to try; None when the server must be asked."""
        return self._pinned or self._belief

    @property
    def proven(self) -> Era | None:
        """The era to show and to store."""
        return self._pinned or (self._belief if self._proven else None)

    @property
    def doubtable(self) -> bool:
        """The belief comes from memory, and the server may have changed since."""
        return self._pinned is None and self._proven

    def presume(self, era: Era) -> None:
        """The other era was denied. Proves nothing yet."""
        if self._belief is not era:
            self._belief, self._proven = era, False

    def prove(self, era: Era) -> None:
        """The server has just spoken `era`."""
        self._belief, self._proven = era, True

    def forget(self, era: Era) -> None:
        """The server's answer contradicts `era`."""
        if self._belief is era:
            self._belief, self._proven = None, False

    def fail(self) -> None:
        """The server could not be reached in the believed era; a mere presumption does not survive that."""
        if not self._proven:
            self._belief = None
