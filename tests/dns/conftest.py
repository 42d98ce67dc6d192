import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from dnslib import RCODE, DNSRecord

from dns.control import EndpointRecords, NetworkRecords, Snapshot, View
from dns.forward import Forwarder
from dns.records import Records
from dns.view import OpenView

LOCAL = "127.0.0.1"


class Asker:
    """Asks questions as a container's program would; answers are dnslib's records."""

    def question(self, name: str, kind: str = "A") -> DNSRecord:
        return DNSRecord.question(name, kind)

    async def ask(self, port: int, question: DNSRecord | bytes) -> DNSRecord:
        return DNSRecord.parse(await self.ask_octets(port, question))

    async def ask_octets(self, port: int, question: DNSRecord | bytes) -> bytes:
        octets = bytes(question if isinstance(question, bytes) else question.pack())
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            await loop.sock_connect(asking, (LOCAL, port))
            await loop.sock_sendall(asking, octets)
            async with asyncio.timeout(10):
                return await loop.sock_recv(asking, 65535)

    async def ask_stream(self, port: int, *questions: DNSRecord) -> list[DNSRecord]:
        """Ask all on one connection, at once, and end the sending side."""
        reader, writer = await asyncio.open_connection(LOCAL, port)
        for question in questions:
            octets = bytes(question.pack())
            writer.write(len(octets).to_bytes(2) + octets)
        writer.write_eof()
        async with asyncio.timeout(10):
            octets = await reader.read()
        writer.close()
        await writer.wait_closed()
        answers = []
        while octets:
            end = 2 + int.from_bytes(octets[:2])
            answers.append(DNSRecord.parse(octets[2:end]))
            octets = octets[end:]
        return answers

    def values(self, answer: DNSRecord) -> list[str]:
        return [str(record.rdata) for record in answer.rr]

    def code(self, answer: DNSRecord) -> str:
        return str(RCODE[answer.header.rcode])


@dataclass
class Upstream:
    """A name server that does what `answers` says with each question; counts them."""

    port: int
    answers: Callable[[bytes], list[bytes]]
    by_udp: list[bytes] = field(default_factory=list)
    by_tcp: list[bytes] = field(default_factory=list)
    askers: set[object] = field(default_factory=set)

    @property
    def questions(self) -> list[bytes]:
        return self.by_udp + self.by_tcp


@contextmanager
def bound_sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((LOCAL, 0))
        udp.bind(tcp.getsockname())
        tcp.listen()
        yield udp, tcp


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    with bound_sockets() as both:
        yield both


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
def snapshot() -> Snapshot:
    def endpoint(key: str, network: str, names: str, *addresses: str) -> EndpointRecords:
        first, *_ = names.split()
        ptr = f"{first}.{network}"
        records = tuple(ip_address(address) for address in addresses)
        return EndpointRecords(key, network, tuple(names.split()), records, ptr)

    return Snapshot(
        networks=(NetworkRecords("front", "Front"), NetworkRecords("back", "back")),
        endpoints=(
            endpoint("e1", "front", "web www 0123456789ab", "10.1.0.2", "fd01::2"),
            endpoint("e2", "back", "web www", "10.2.0.2"),
            endpoint("e3", "front", "api www", "10.1.0.3"),
            endpoint("e4", "back", "db", "10.2.0.4"),
        ),
        views=(View("inside", ("front", "back")),),
    )


@pytest.fixture
def records(snapshot: Snapshot) -> Records:
    records = Records()
    records.replace(snapshot)
    return records


@pytest.fixture
async def opened(records: Records) -> AsyncIterator[Callable[[View], int]]:
    """Give what opens a view in this process and returns its port."""
    with ExitStack() as cleanup:
        forwarder = Forwarder(4096)

        def opened(view: View) -> int:
            udp, tcp = cleanup.enter_context(bound_sockets())
            port = int(udp.getsockname()[1])
            open_view = OpenView(view, udp, tcp, records, forwarder)
            cleanup.callback(open_view.close)
            return port

        yield opened
    await settled()


async def settled() -> None:
    """Let the cancelled tasks of this test end."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=5)


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Upstream]]:
    """Give what starts a name server with the given behaviour, on UDP and TCP."""
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Task[None]] = []
    with ExitStack() as cleanup:

        def started(answers: Callable[[bytes], list[bytes]]) -> Upstream:
            udp, tcp = cleanup.enter_context(bound_sockets())
            server = Upstream(udp.getsockname()[1], answers)
            udp.setblocking(False)
            tcp.setblocking(False)
            servers.append(loop.create_task(serve_datagrams(server, udp)))
            servers.append(loop.create_task(serve_streams(server, tcp)))
            return server

        yield started
        for server in servers:
            server.cancel()
        await asyncio.gather(*servers, return_exceptions=True)


async def serve_datagrams(server: Upstream, udp: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        packet, peer = await loop.sock_recvfrom(udp, 65535)
        server.by_udp.append(packet)
        server.askers.add(peer)
        for reply in server.answers(packet):
            await loop.sock_sendto(udp, reply, peer)


async def serve_streams(server: Upstream, tcp: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, peer = await loop.sock_accept(tcp)
        with connection:
            packet = (await loop.sock_recv(connection, 65535))[2:]
            server.by_tcp.append(packet)
            server.askers.add(peer)
            for reply in server.answers(packet):
                await loop.sock_sendall(connection, len(reply).to_bytes(2) + reply)
