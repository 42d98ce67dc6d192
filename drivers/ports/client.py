"""The daemon's side: asks the holding process for ports, and starts it."""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from drivers.ports import protocol
from drivers.ports.protocol import (
    ANOTHER_HOLDS,
    LONGEST_ANSWER,
    PROTOCOL_VERSION,
    Hold,
    Key,
    PortRefusedError,
    PortsError,
    ProtocolError,
)

START_TIMEOUT_S = 10.0  # also for its end
_RETRY_S = 0.02
_PACKAGE_ROOT = Path(protocol.__file__).resolve().parents[2]


class PortsClient:
    """A connection to the holding process; its calls may be made from many tasks at once.

    All raise PortsError. `closed` is set when the connection is over, as when the process died or
    another client came; `pid` is the process's. A call that is cancelled may still take effect.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.closed = asyncio.Event()
        self.pid = 0
        self._writer = writer
        self._unanswered: deque[asyncio.Future[object]] = deque()
        self._listening = asyncio.create_task(self._listen(reader))

    @classmethod
    async def open(cls, socket_path: Path, log_path: Path | None = None) -> Self:
        """Connect to the process on this path; start one if there is none of this version.

        A new one lives in the network namespace of the calling thread.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while (client := await cls._connected(socket_path)) is None:
                    await _start(socket_path, log_path or Path(os.devnull))
        except TimeoutError as error:
            raise PortsError(f"port holder on {socket_path} does not answer") from error
        return client

    @classmethod
    async def adopt(cls, socket_path: Path) -> Self | None:
        """Connect to the process on this path; None if there is none.

        One of another version is ended: it could not be spoken to.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await cls._connected(socket_path)
        except TimeoutError as error:
            raise PortsError(f"port holder on {socket_path} does not answer") from error

    async def hold(self, holds: Sequence[Hold]) -> None:
        """Hold all of these ports; or none, and raise PortRefusedError for the first that cannot.

        What is held already gets its target, which may be another one; what was relayed to the
        former is cut off.
        """
        for refused in await self._refusals("hold", holds):
            raise refused

    async def release(self, holds: Sequence[Hold]) -> None:
        """Let go of these ports, and cut off what is relayed there; may be repeated."""
        await self._call("release", holds=[protocol.hold_fields(hold) for hold in holds])

    async def synchronise(self, holds: Sequence[Hold]) -> Sequence[PortRefusedError]:
        """Hold these ports and no others; return what was refused."""
        return await self._refusals("synchronise", holds)

    async def held(self) -> frozenset[Key]:
        """Return all ports that are held: protocol, address, port, and whether it is dual."""
        answer = {"held": await self._call("held")}
        return frozenset(protocol.key(each) for each in protocol.values(answer, "held"))

    async def shutdown(self) -> None:
        """End the process, which lets go of everything, and return when it is gone."""
        process = None
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self.pid)
        try:
            await self._call("shutdown")
            if process is not None:
                await _readable(process)
        except TimeoutError as error:
            raise PortsError(f"port holder {self.pid} does not end") from error
        finally:
            if process is not None:
                os.close(process)
            await self.close()

    async def close(self) -> None:
        """Close this connection; the process goes on. May be repeated."""
        self._listening.cancel()
        await asyncio.wait({self._listening})
        self._end("the connection was closed")
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    @classmethod
    async def _connected(cls, socket_path: Path) -> Self | None:
        try:
            reader, writer = await asyncio.open_unix_connection(socket_path, limit=LONGEST_ANSWER)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise PortsError(f"no way to the port holder on {socket_path}: {error}") from error
        return await cls(reader, writer)._greeted()

    async def _greeted(self) -> Self | None:
        """Return self if the process is alive and of this version; see to its end if not."""
        try:
            process = protocol.record(await self._call("hello"), "hello's result")
            self.pid = protocol.number(process, "pid")
            if process.get("version") == PROTOCOL_VERSION:
                return self
            await self.shutdown()
        except PortsError:  # it is ending, or not to be understood
            await self.close()
        except BaseException:
            await self.close()
            raise
        return None

    async def _refusals(self, verb: str, holds: Sequence[Hold]) -> Sequence[PortRefusedError]:
        fields = [protocol.hold_fields(hold) for hold in holds]
        answer = {"refused": await self._call(verb, holds=fields)}
        refused = protocol.values(answer, "refused")
        return [protocol.refusal(protocol.record(each, "refusal")) for each in refused]

    async def _call(self, verb: str, **rest: object) -> object:
        if self.closed.is_set():
            raise PortsError(f"{verb} came after the end of the port holder's connection")
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._unanswered.append(answer)
        self._writer.write(protocol.encoded({"verb": verb, **rest}))
        return await answer

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        reason = "it closed the connection"
        try:
            while line := await reader.readline():
                self._take(protocol.decoded(line))
        except (OSError, ValueError, ProtocolError) as error:
            reason = str(error)
        finally:
            self._end(reason)

    def _take(self, fields: protocol.Fields) -> None:
        if not self._unanswered:
            raise ProtocolError("it answered what nobody asked")
        answer = self._unanswered.popleft()
        if answer.done():  # its caller was cancelled
            return
        if "error" in fields:
            answer.set_exception(PortsError(str(fields["error"])))
        else:
            answer.set_result(fields.get("result"))

    def _end(self, reason: str) -> None:
        self.closed.set()
        self._writer.transport.abort()
        while self._unanswered:
            answer = self._unanswered.popleft()
            if not answer.done():
                answer.set_exception(PortsError(f"port holder {self.pid} is lost: {reason}"))


async def _start(socket_path: Path, log_path: Path) -> None:
    """Start a process that outlives this one, and return when it answers."""
    words = (sys.executable, "-P", "-s", "-m", __package__, str(socket_path.absolute()))
    starting = await asyncio.create_subprocess_exec(
        *words,
        *("--detach", str(log_path.absolute())),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        # Its package must be found from any folder, and before another one of that name.
        env={"PYTHONPATH": str(_PACKAGE_ROOT), "PATH": os.defpath, "LANG": "C.UTF-8"},
    )
    try:
        _, complaint = await starting.communicate()
    finally:
        if starting.returncode is None:
            starting.kill()
            await starting.wait()
    if starting.returncode == ANOTHER_HOLDS:  # one that is just starting or ending
        await asyncio.sleep(_RETRY_S)
    elif starting.returncode:
        lines = complaint.decode(errors="replace").split("\n")
        raise PortsError(f"port holder did not start: {' '.join(lines[-2:]).strip()}")


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await readable.wait()
    finally:
        loop.remove_reader(descriptor)
