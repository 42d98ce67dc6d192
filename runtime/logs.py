"""Read the log that conmon writes of a container: all of it, its end, and what comes yet.

Each record is `2026-11-23T16:57:59.350030562+00:00 stdout F text`. F ends a line; P is a part that
the process had not ended when conmon read it, and is joined with what follows on its stream.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from pathlib import Path

from runtime.inotify import FolderWatch
from runtime.logrecords import Joiner, LogFile, LogLine, StreamName
from runtime.readiness import readable

_LOOK_EVERY_S = 0.1  # where there is no inotify left
_SECOND = 1_000_000_000
BOTH: frozenset[StreamName] = frozenset({"stdout", "stderr"})


async def read_log(
    path: Path,
    *,
    streams: frozenset[StreamName] = BOTH,
    tail: int | None = None,
    since_ns: int = 0,
    until_ns: int = 0,
    ended: asyncio.Event | None = None,
) -> AsyncGenerator[LogLine, None]:
    """Yield the lines of a log; a log that is not there yet is empty, damaged lines are left out.

    `tail` keeps that many of the lines that are there now, absent all; `until_ns` zero is no end.
    With `ended` the lines that come are yielded too, until that is set and everything is read, or
    until `until_ns` has passed. Close the iterator (`contextlib.aclosing`) when it is left early.
    """
    reading = _Reading(path, streams, tail)
    with closing(reading):
        async with aclosing(reading.lines(ended, until_ns)) as lines:
            async for line in lines:
                if line.time_ns >= since_ns and not 0 < until_ns < line.time_ns:
                    yield line


class _Reading:
    def __init__(self, path: Path, streams: frozenset[StreamName], tail: int | None) -> None:
        self._watch = FolderWatch(path.parent)
        self._file = LogFile(path, streams)
        self._joiner = Joiner()
        self._tail = tail

    async def lines(
        self, ended: asyncio.Event | None, until_ns: int
    ) -> AsyncGenerator[LogLine, None]:
        if self._tail is not None:
            self._file.seek_last(self._tail)
            last = deque[LogLine](maxlen=self._tail)
            async for line in self._available():
                last.append(line)
            if ended is None:
                last.extend(self._joiner.rest())
            for line in last:
                yield line
        async with aclosing(self._following(ended, until_ns)) as following:
            async for line in following:
                yield line

    def close(self) -> None:
        self._watch.close()
        self._file.close()

    async def _following(
        self, ended: asyncio.Event | None, until_ns: int
    ) -> AsyncGenerator[LogLine, None]:
        over = asyncio.ensure_future(_set(ended)) if ended else None
        try:
            while True:
                # Asked before reading, so that what was written before it is read after it.
                done = over is None or over.done() or 0 < until_ns < time.time_ns()
                self._watch.forget()
                async for line in self._available():
                    yield line
                if done:
                    break
                assert over
                await self._changed(over, until_ns)
        finally:
            if over:
                over.cancel()
        for line in self._joiner.rest():
            yield line

    async def _available(self) -> AsyncGenerator[LogLine, None]:
        for block in self._file.blocks():
            for record in block:
                for line in self._joiner.joined(record):
                    yield line
            await asyncio.sleep(0)  # a long log must not hold everybody up

    async def _changed(self, over: asyncio.Future[None], until_ns: int) -> None:
        left = (until_ns - time.time_ns()) / _SECOND if until_ns else None
        if self._watch.descriptor < 0:
            await asyncio.wait([over], timeout=min(_LOOK_EVERY_S, left or _LOOK_EVERY_S))
            return
        written = asyncio.ensure_future(readable(self._watch.descriptor))
        try:
            await asyncio.wait([written, over], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            written.cancel()
            await asyncio.gather(written, return_exceptions=True)


async def _set(event: asyncio.Event) -> None:
    await event.wait()
