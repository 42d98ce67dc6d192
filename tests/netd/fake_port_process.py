"""A process that holds ports in memory, for tests of what the daemon asks it."""

import asyncio
from collections.abc import Sequence
from errno import EADDRINUSE
from pathlib import Path

from drivers.ports import Hold, PortRefusedError, PortsError

Key = tuple[str, object, int, bool]


class FakePortProcess:
    """What is held, as `netd.port_holder.Process`; some ports are in use, and it can die."""

    def __init__(self) -> None:
        self.alive = False
        self.starts = 0
        self.broken = ""  # why it cannot be started
        self.held: dict[Key, Hold] = {}
        self.in_use: dict[int, int] = {}  # why a port is refused, by its number
        self.refuses = ""  # why, although it lives
        self.stalling = False  # it holds, and does not answer
        self.stalled = asyncio.Event()
        self.calls: list[str] = []
        self.released: list[Hold] = []
        self.connections: list[FakeConnection] = []

    async def open(self, socket_path: Path, log_path: Path, /) -> "FakeConnection":
        self.calls.append("open")
        if self.broken:
            raise PortsError(self.broken)
        if not self.alive:
            self.alive = True
            self.starts += 1
        return self._connected()

    async def adopt(self, socket_path: Path, /) -> "FakeConnection | None":
        self.calls.append("adopt")
        return self._connected() if self.alive else None

    def die(self) -> None:
        self.alive = False
        self.held.clear()
        for connection in self.connections:
            connection.closed.set()

    def _connected(self) -> "FakeConnection":
        self.connections.append(FakeConnection(self))
        return self.connections[-1]


class FakeConnection:
    def __init__(self, process: FakePortProcess) -> None:
        self.closed = asyncio.Event()
        self._process = process

    async def hold(self, holds: Sequence[Hold], /) -> None:
        held = await self._called("hold")
        if self._process.refuses:
            raise PortsError(self._process.refuses)
        refused = [each for hold in holds for each in self._refused(hold)]
        if refused:
            raise refused[0]
        held.update({key: hold for hold in holds for key in hold.keys})
        if self._process.stalling:
            self._process.stalled.set()
            await asyncio.Event().wait()

    async def release(self, holds: Sequence[Hold], /) -> None:
        held = await self._called("release")
        self._process.released += holds
        for hold in holds:
            for key in hold.keys:
                held.pop(key, None)

    async def synchronise(self, holds: Sequence[Hold], /) -> Sequence[PortRefusedError]:
        held = await self._called("synchronise")
        refused = [each for hold in holds for each in self._refused(hold)]
        wanted = {key: hold for hold in holds for key in hold.keys}
        for each in refused:
            del wanted[each.hold.protocol, each.hold.address, each.port, each.hold.dual]
        held.clear()
        held.update(wanted)
        return refused

    async def shutdown(self) -> None:
        await self._called("shutdown")
        self._process.die()

    async def close(self) -> None:
        self._process.calls.append("close")
        self.closed.set()

    async def _called(self, verb: str) -> dict[Key, Hold]:
        self._process.calls.append(verb)
        await asyncio.sleep(0)  # others run meanwhile, as they do beside a real connection
        if self.closed.is_set():
            raise PortsError(f"{verb} came after the end")
        return self._process.held

    def _refused(self, hold: Hold) -> list[PortRefusedError]:
        held = self._process.held
        clashes = {
            key[2] for key in held if key[0] == hold.protocol and key not in set(hold.keys)
        }  # no addresses: these tests publish at all of them
        return [
            PortRefusedError(hold, key[2], self._process.in_use.get(key[2], EADDRINUSE))
            for key in hold.keys
            if key not in held and key[2] in {*clashes, *self._process.in_use}
        ]
