"""The daemon's side of the control connection, and the start of the server's process."""

import asyncio
import contextlib
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dns import control
from dns.channel import Channel, ChannelError
from dns.control import (
    ANOTHER_SERVES,
    PROTOCOL_VERSION,
    ControlError,
    EndpointRecords,
    NetworkRecords,
    Snapshot,
    View,
)

START_TIMEOUT_S = 10.0  # also for its end
_RETRY_S = 0.02
_PACKAGE_ROOT = Path(control.__file__).resolve().parents[1]


class DnsServerError(Exception):
    """The server did not start, has ended, or refused a request."""


@dataclass(frozen=True, slots=True)
class _Request:
    payload: bytes
    descriptors: tuple[int, ...]
    reply: asyncio.Future[object]

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class DnsClient:
    """A connection to the server; its calls may be made from many tasks at once.

    All raise DnsServerError. `closed` is set when the connection is over, as when the server died
    or another client came; `pid` is the server's.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.closed = asyncio.Event()
        self.pid = 0
        self._channel = Channel(connection)
        self._outbox: asyncio.Queue[_Request] = asyncio.Queue()
        self._unanswered: deque[asyncio.Future[object]] = deque()
        self._conversation = asyncio.create_task(self._converse())

    @classmethod
    async def open(cls, socket_path: Path, log_path: Path | None = None) -> Self:
        """Connect to the server on this path; start one if there is none of this version."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while (client := await cls._connected(socket_path)) is None:
                    await _start(socket_path, log_path or Path(os.devnull))
        except TimeoutError as error:
            raise DnsServerError(f"dns server on {socket_path} does not answer") from error
        return client

    async def synchronise(self, snapshot: Snapshot) -> frozenset[str]:
        """Replace all records at once and close the views that are not in the snapshot.

        Returns the ids of the views that have open sockets.
        """
        views = await self._call("synchronise", snapshot=control.snapshot_fields(snapshot))
        assert isinstance(views, list)
        return frozenset(views)

    async def put_network(self, network: NetworkRecords) -> None:
        """Add the network or change its name."""
        await self._call("put_network", network=control.network_fields(network))

    async def remove_network(self, id: str) -> None:  # noqa: A002  # as the records call it
        """Forget the network and its endpoints; may be repeated."""
        await self._call("remove_network", id=id)

    async def put_endpoint(self, endpoint: EndpointRecords) -> None:
        """Add the endpoint, on a known network, or replace its records."""
        await self._call("put_endpoint", endpoint=control.endpoint_fields(endpoint))

    async def remove_endpoint(self, id: str) -> None:  # noqa: A002
        """Forget the endpoint; may be repeated."""
        await self._call("remove_endpoint", id=id)

    async def put_view(self, view: View) -> None:
        """Change what an open view sees; without effect on one that is not open."""
        await self._call("put_view", view=control.view_fields(view))

    async def open_view(self, view: View, udp: socket.socket, tcp: socket.socket) -> None:
        """Let the view be answered on these sockets, bound and listening; a repeat replaces them.

        The server gets its own descriptors: the caller's may be closed at once.
        """
        await self._call("open_view", (udp, tcp), view=control.view_fields(view))

    async def close_view(self, id: str) -> None:  # noqa: A002
        """Close the view's sockets; may be repeated."""
        await self._call("close_view", id=id)

    async def shutdown(self) -> None:
        """End the server's process and return when it is gone."""
        process = None
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self.pid)
        try:
            await self._call("shutdown")
            if process is not None:
                await _readable(process)
        except TimeoutError as error:
            raise DnsServerError(f"dns server {self.pid} does not end") from error
        finally:
            if process is not None:
                os.close(process)
            await self.close()

    async def close(self) -> None:
        """Close this connection; the server goes on. May be repeated."""
        self._conversation.cancel()
        await asyncio.wait({self._conversation})
        if not self.closed.is_set():  # cancelled before it began
            self._end(DnsServerError("the connection to the dns server was closed"))

    @classmethod
    async def _connected(cls, socket_path: Path) -> Self | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, str(socket_path))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise DnsServerError(f"no way to the dns server on {socket_path}: {error}") from error
        except BaseException:
            connection.close()
            raise
        return await cls(connection)._greeted()

    async def _greeted(self) -> Self | None:
        """Return self if the server is alive and of this version; see to its end if not."""
        try:
            server = control.record(await self._call("hello"), "hello's result")
            self.pid = control.number(server, "pid")
            if server.get("version") == PROTOCOL_VERSION:
                return self
            await self.shutdown()
        except (DnsServerError, ControlError):  # it is ending, or not to be understood
            await self.close()
        except BaseException:
            await self.close()
            raise
        return None

    async def _call(
        self, verb: str, sockets: Sequence[socket.socket] = (), **rest: object
    ) -> object:
        if self.closed.is_set():
            raise DnsServerError(f"{verb} came after the end of the dns server's connection")
        request = _Request(
            control.encoded({"verb": verb, **rest}),
            tuple(os.dup(each.fileno()) for each in sockets),
            asyncio.get_running_loop().create_future(),
        )
        self._outbox.put_nowait(request)
        return await request.reply

    async def _converse(self) -> None:
        reason = "its connection was closed"
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._send())
                both_ways.create_task(self._receive())
        except* (OSError, ChannelError, ControlError) as errors:
            reason = str(errors.exceptions[0])
        finally:
            self._end(DnsServerError(f"dns server {self.pid} is lost: {reason}"))

    async def _send(self) -> None:
        while True:
            request = await self._outbox.get()
            try:
                if not request.reply.cancelled():
                    self._unanswered.append(request.reply)
                    await self._channel.send(request.payload, request.descriptors)
            finally:
                request.close()

    async def _receive(self) -> None:
        while (frame := await self._channel.receive()) is not None:
            with contextlib.closing(frame):
                fields = control.decoded(frame.payload)
            if not self._unanswered:
                raise ChannelError("it answered what nobody asked")
            reply = self._unanswered.popleft()
            if reply.done():  # its caller was cancelled
                continue
            if "error" in fields:
                reply.set_exception(DnsServerError(str(fields["error"])))
            else:
                reply.set_result(fields.get("result"))
        raise ConnectionError("it closed the connection")

    def _end(self, error: DnsServerError) -> None:
        self.closed.set()
        self._channel.close()
        while not self._outbox.empty():
            request = self._outbox.get_nowait()
            request.close()
            self._unanswered.append(request.reply)
        for reply in self._unanswered:
            if not reply.done():
                reply.set_exception(error)


async def _start(socket_path: Path, log_path: Path) -> None:
    """Start a server that outlives this process, and return when it answers."""
    # Its package must be found from any folder, and before another package named dns.
    words = (sys.executable, "-P", "-s", "-m", "dns.server", str(socket_path.absolute()))
    starting = await asyncio.create_subprocess_exec(
        *words,
        *("--detach", str(log_path.absolute())),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        env={"PYTHONPATH": str(_PACKAGE_ROOT), "PATH": os.defpath, "LANG": "C.UTF-8"},
    )
    try:
        _, complaint = await starting.communicate()
    finally:
        if starting.returncode is None:
            starting.kill()
            await starting.wait()
    if starting.returncode == ANOTHER_SERVES:  # one that is just starting or ending
        await asyncio.sleep(_RETRY_S)
    elif starting.returncode:
        lines = complaint.decode(errors="replace").split("\n")
        raise DnsServerError(f"dns server did not start: {' '.join(lines[-2:]).strip()}")


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await readable.wait()
    finally:
        loop.remove_reader(descriptor)
