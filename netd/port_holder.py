"""Keeps the process that holds the host's ports in step with the store.

The process is started for the first port and outlives the daemon. When it dies it is started anew
and holds everything again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from drivers.ports import Hold, PortRefusedError, PortsError
from netd.listeners import refusal

log = logging.getLogger(__name__)

RETRY_S = 1


class Connection(Protocol):
    """A connection to the process; see `drivers.ports.PortsClient`."""

    closed: asyncio.Event

    async def hold(self, holds: Sequence[Hold], /) -> None:
        """Hold all of these, or none."""

    async def release(self, holds: Sequence[Hold], /) -> None:
        """Give ports back; may be repeated."""

    async def synchronise(self, holds: Sequence[Hold], /) -> Sequence[PortRefusedError]:
        """Hold exactly these; return what could not be held."""

    async def shutdown(self) -> None:
        """End the process."""

    async def close(self) -> None:
        """Let go of the process; may be repeated."""


class Process(Protocol):
    """The ways to a connection."""

    async def open(self, socket_path: Path, log_path: Path, /) -> Connection:
        """Connect to the process, which is started where there is none."""

    async def adopt(self, socket_path: Path, /) -> Connection | None:
        """Connect to the process; absent: there is none."""


class PortHolder:
    """The daemon's side of the process.

    All calls but `stop` are made under `lock`, which the restart takes, too: between a change of
    the store and the call that belongs to it nothing is held anew.
    """

    def __init__(
        self,
        process: Process,
        paths: tuple[Path, Path],
        wanted: Callable[[], Mapping[Hold, str]],
        lock: asyncio.Lock,
    ) -> None:
        """Take the paths of socket and log; `wanted` is all to hold, with the containers' names."""
        self._process, self._wanted, self._lock = process, wanted, lock
        self._socket_path, self._log_path = paths
        self._connection: Connection | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Let a process that runs hold what is wanted; start one where that is anything."""
        try:
            self._connection = await self._process.adopt(self._socket_path)
            if self._connection is None:
                await self._connect()
            else:
                await self._synchronise(self._connection, self._wanted())
        except (PortsError, OSError) as error:
            # The firewall leads the ports to the containers all the same.
            log.error("the host's ports are not held: %s", error)  # noqa: TRY400
        self._watch_over()

    async def hold(self, holds: Sequence[Hold]) -> None:
        """Hold all of these or none; raises PortsError, PortRefusedError for one port."""
        connection = self._connection
        try:
            if connection is not None:
                await connection.hold(holds)
                return
        except PortRefusedError:
            raise
        except PortsError as error:
            if connection is not None and not connection.closed.is_set():
                raise
            log.warning("the process that holds ports is gone, starting it anew: %s", error)
        self._watch_over()
        await self._connect(holds)
        if self._connection is not None:
            await self._connection.hold(holds)

    async def release(self, holds: Sequence[Hold]) -> None:
        """Give ports back; repeatable, also when the process is gone."""
        if self._connection is None or not holds:
            return
        try:
            await self._connection.release(holds)
        except PortsError as error:
            if self._connection.closed.is_set():
                log.debug("the process is gone, and its ports with it: %s", error)
            else:
                log.error("ports are still held: %s", error)  # noqa: TRY400

    async def stop(self, *, shutdown: bool) -> None:
        """Let go of the process, which goes on; with `shutdown`, end it."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if shutdown:
                await connection.shutdown()
        except PortsError as error:
            log.debug("the process that holds ports is gone already: %s", error)
        await connection.close()

    async def _connect(self, beside: Collection[Hold] = ()) -> None:
        """Open a connection, unless nothing is wanted; what is `beside` is held by the caller."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        theirs = frozenset(beside)
        wanted = {each: name for each, name in self._wanted().items() if each not in theirs}
        if wanted or beside:
            self._connection = await self._process.open(self._socket_path, self._log_path)
            await self._synchronise(self._connection, wanted)

    async def _synchronise(self, connection: Connection, wanted: Mapping[Hold, str]) -> None:
        for refused in await connection.synchronise(tuple(wanted)):
            why = await asyncio.to_thread(refusal, refused)
            log.error("container %s: %s", wanted.get(refused.hold), why.sentence)

    def _watch_over(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            connection = self._connection
            if connection is not None:
                await connection.closed.wait()
            try:
                async with self._lock:
                    if self._connection is connection is not None:
                        log.warning("the process that holds ports ended; starting it anew")
                    if self._connection in (connection, None):
                        await self._connect()
                    if self._connection is None:  # nothing is wanted
                        self._watching = None
                        return
            except (PortsError, OSError) as error:
                log.error("the host's ports are not held: %s", error)  # noqa: TRY400
                await asyncio.sleep(RETRY_S)
