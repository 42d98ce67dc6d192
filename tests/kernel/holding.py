"""The process that holds ports, started inside a test's host, and sockets of that host."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.ports import Hold, PortsClient
from drivers.ports.protocol import Key

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

ANY4, ANY6 = ip_address("0.0.0.0"), ip_address("::")
LOCAL4, LOCAL6 = ip_address("127.0.0.1"), ip_address("::1")
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def start(host: "Host", path: Path, log: Path | None = None) -> None:
    """Start the process from a thread that is inside the host, as the daemon does."""

    async def started() -> None:
        client = await PortsClient.open(path, log)
        await client.close()

    host.inside(host.path, lambda: asyncio.run(started()))


@asynccontextmanager
async def holding(host: "Host", path: Path, log: Path | None = None) -> AsyncIterator[PortsClient]:
    """Give a client of the process; whatever serves on the path in the end is ended."""
    start(host, path, log)
    client = await PortsClient.adopt(path)
    assert client
    yield client
    await client.close()
    await end(path)


async def end(path: Path) -> None:
    """End the process on the path, if there is one."""
    if client := await PortsClient.adopt(path):
        await client.shutdown()


def new_socket(host: "Host", protocol: str, address: object) -> socket.socket:
    """Open a socket of the host, of the address's family, that does not block."""
    family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
    opened: socket.socket = host.run(socket.socket, family, KINDS[protocol])
    opened.setblocking(False)
    return opened


def bound(host: "Host", protocol: str, address: object, port: int) -> socket.socket:
    """Bind, and listen, as a server of the host would; raises OSError."""
    opened = new_socket(host, protocol, address)
    try:
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(address), port))
        if protocol == "tcp":
            opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def keys(*holds: Hold) -> set[Key]:
    """Return what is held when these are."""
    return {key for hold in holds for key in hold.keys}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def descriptors(pid: int) -> int:
    """Count a process's open files."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
