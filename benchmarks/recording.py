"""What a record costs, and how many a second reach each database.

    .venv/bin/python -m benchmarks.recording [--calls 20000]

In one run: the journal alone in each of its modes, then the whole writer, journal included, over each database that is
here. A call is two frames and one row, with 1 kB on each side. CPU is this process's, user and system; a database
server's own is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from storage.journal.bodies import Ended, Opened
from storage.journal.diary import Diary, Volatile
from storage.journal.journal import Journal
from storage.payloads import kept
from storage.settings import JournalSettings
from storage.tasks import Tasks
from tests.support.engines import Engines, made, names
from tests.support.recording import World, new_writer, world

REQUEST = b'{"name":"echo","arguments":{"text":"' + b"q" * 950 + b'"}}'
RESPONSE = b'{"content":[{"type":"text","text":"' + b"r" * 950 + b'"}],"isError":false}'
SIDE_BY_SIDE = 64
"""Calls that begin before the first of them ends."""


@dataclass
class Stopwatch:
    """CPU and wall clock seconds since it was made."""

    cpu: float = 0.0
    wall: float = 0.0

    def __post_init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        self.cpu, self.wall = time.process_time() - self._cpu, time.perf_counter() - self._wall


async def recorded(here: World, diary: Diary, calls: int) -> Stopwatch:
    """All of them, until the last row is committed."""
    writer, tasks = new_writer(here.db, diary=diary), Tasks("benchmark")
    tasks.spawn(writer.run(), "writer")
    pairs = [(call := here.started(request=REQUEST), here.finished(call, response=RESPONSE)) for _ in range(calls)]
    watch = Stopwatch()
    for at in range(0, calls, SIDE_BY_SIDE):
        some = pairs[at : at + SIDE_BY_SIDE]
        for begun, _ in some:
            await writer.started(begun)
        await asyncio.sleep(0)
        for _, end in some:
            await writer.finished(end)
    await writer.flush()
    watch.stop()
    await writer.close()
    await tasks.close()
    return watch


def journalled(here: World, folder: Path, fsync: str, calls: int) -> Stopwatch:
    """The journal alone."""
    journal = Journal.create(folder, JournalSettings(fsync=fsync, bytes=1 << 32))
    pairs = [(call := here.started(request=b""), here.finished(call, response=None)) for _ in range(calls)]
    watch = Stopwatch()
    for seq, (begun, end) in enumerate(pairs, 1):
        journal.started(Opened(seq=seq, started=begun, request=kept(REQUEST, 1 << 20)))
        journal.finished(Ended(finished=end, response=kept(RESPONSE, 1 << 20)))
    watch.stop()
    journal.close()
    return watch


@asynccontextmanager
async def scene(engines: Engines, name: str) -> AsyncIterator[World]:
    async with made(engines[name], migrated=True) as db:
        yield await world(db)


def row(what: str, calls: int, watch: Stopwatch) -> None:
    print(f"{what:34}{calls / watch.wall:12,.0f}{watch.cpu / calls * 1e6:16.1f}", flush=True)


async def main(calls: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="recording-"))
    engines = Engines(folder)
    print(f"{'':34}{'records/s':>12}{'CPU µs/record':>16}")
    try:
        async with scene(engines, "sqlite") as here:
            for fsync, number in (("off", calls), ("batch", calls), ("call", calls // 20)):
                row(f"journal alone, fsync {fsync}", number, journalled(here, folder / fsync, fsync, number))
        for name in names():
            async with scene(engines, name) as here:
                row(f"{name}, in memory", calls, await recorded(here, Volatile(), calls))
            async with scene(engines, name) as here:
                diary = Journal.create(folder / name, JournalSettings(bytes=1 << 32))
                row(f"{name}, journalled", calls, await recorded(here, diary, calls))
    finally:
        engines.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000)
    uvloop.run(main(parser.parse_args().calls))
