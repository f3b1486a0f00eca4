"""Streams that nobody reads, kept for clients that come back.

Which question: which stream is this event id of, and is it still kept? Touches memory, and the clock that it is
given. The rule: a stream is found through its own session alone, so that an id means nothing to anybody else; what
is kept is bounded in time, for each session, and for the worker.

MCP 2025-11-25 `basic/transports` §Resumability and Redelivery: ids are unique in a session, and name their stream.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.streams import Stream

KEPT_SECONDS = 300.0
"""How long a stream is kept after its end, and a standing one after its reader has left."""

FOLDER_STREAMS = 64
FOLDER_BYTES = 16_000_000
"""Of one session's ended streams; more than a ring, since the answer that a client missed may be large."""

ARCHIVE_BYTES = 256_000_000
"""Of all that a worker keeps."""

_STANDING = "get-"
_DIGITS = 15


@dataclass(frozen=True, slots=True)
class _Slip:
    """What the archive notes of a stream."""

    folder: Folder
    until: float
    size: int


class Archive:
    """What this worker keeps, whose time ends first standing first. `now()` gives seconds, `entropy(n)` n random
    bytes.
    """

    def __init__(self, now: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._now = now
        self._entropy = entropy
        self._slips: OrderedDict[Stream, _Slip] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._slips)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    def folder(self) -> Folder:
        """An empty folder for a session. Its names are its own, also after a session was forgotten and came back."""
        return Folder(self, self._entropy(4).hex())

    def keep(self, stream: Stream, folder: Folder) -> None:
        """Keep the stream from now on; called again when it has grown."""
        slip = self._slips.get(stream)
        until = self._now() + KEPT_SECONDS if slip is None else slip.until
        self._bytes += stream.size - (0 if slip is None else slip.size)
        self._slips[stream] = _Slip(folder, until, stream.size)
        while self._bytes > ARCHIVE_BYTES:
            self.drop(next(iter(self._slips)))

    def take(self, stream: Stream) -> None:
        """Somebody reads the stream: its time begins anew when they leave."""
        if (slip := self._slips.pop(stream, None)) is not None:
            self._bytes -= slip.size

    def drop(self, stream: Stream) -> None:
        """Forget the stream before its time."""
        slip = self._slips[stream]
        self.take(stream)
        slip.folder.forget(stream)
        stream.drop()

    def sweep(self) -> None:
        """Forget what has had its time."""
        now = self._now()
        while self._slips and next(iter(self._slips.values())).until <= now:
            self.drop(next(iter(self._slips)))


class Folder:
    """The streams of one session that its client knows by name (`gateway.streams.Keeper`)."""

    def __init__(self, archive: Archive, prefix: str) -> None:
        self._archive = archive
        self._prefix = prefix
        self._named = 0
        self._streams: dict[str, Stream] = {}
        self._kept: dict[Stream, None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def name(self, stream: Stream) -> str:
        self._named += 1
        name = f"{_STANDING}{self._prefix}" if stream.standing else f"{self._prefix}-{self._named}"
        if not self._closed:
            self._streams[name] = stream
        return name

    def keep(self, stream: Stream) -> None:
        if self._closed:
            return
        self._kept[stream] = None
        self._archive.keep(stream, self)
        ended = [one for one in self._kept if not one.standing]
        while len(ended) > FOLDER_STREAMS or sum(one.size for one in ended) > FOLDER_BYTES:
            self._archive.drop(ended.pop(0))

    def take(self, stream: Stream) -> None:
        self._archive.take(stream)
        self._kept.pop(stream, None)

    def forget(self, stream: Stream) -> None:
        """The archive has dropped the stream."""
        self._kept.pop(stream, None)
        self._streams.pop(stream.name, None)

    def find(self, event_id: str) -> tuple[Stream, int] | None:
        """The stream of that event, and the event's number; None when it is not kept, or never was."""
        name, _, number = event_id.rpartition(".")
        stream = self._streams.get(name)
        if stream is None or len(number) > _DIGITS or not (number.isascii() and number.isdigit()):
            return None
        return (stream, int(number)) if stream.has(int(number)) else None

    def close(self) -> None:
        """The session is no more: keep nothing of it, now or later."""
        self._closed = True
        for stream in tuple(self._kept):
            self.take(stream)
        self._streams.clear()


def is_standing(event_id: str) -> bool:
    """Whether the id is of an event that belonged to no exchange, of this life of the session or an earlier one."""
    return event_id.startswith(_STANDING)
