"""The DNS server answers inside namespaces it knows nothing of, through the sockets alone."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest
from dnslib import DNSRecord

from dns.client import DnsClient
from dns.control import EndpointRecords, NetworkRecords, Snapshot, View

pytestmark = pytest.mark.kernel

SNAPSHOT = Snapshot(
    (NetworkRecords("front", "front"), NetworkRecords("back", "back")),
    (
        EndpointRecords("e1", "front", ("web",), (ip_address("10.1.0.2"),), "web.front"),
        EndpointRecords("e2", "back", ("db",), (ip_address("10.2.0.2"),), "db.back"),
    ),
)


@pytest.fixture
async def client(tmp_path: Path):
    client = await DnsClient.open(tmp_path / "dns.sock")
    yield client
    await client.shutdown()


def bound() -> tuple[socket.socket, socket.socket]:
    tcp = socket.create_server(("127.0.0.11", 0))
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    return udp, tcp


def ask_datagram(port: int, name: str) -> list[str]:
    with socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.connect(("127.0.0.11", port))
        asking.send(bytes(DNSRecord.question(name).pack()))
        return [str(record.rdata) for record in DNSRecord.parse(asking.recv(512)).rr]


def ask_stream(port: int, name: str) -> list[str]:
    octets = bytes(DNSRecord.question(name).pack())
    with socket.create_connection(("127.0.0.11", port), timeout=5) as asking:
        asking.sendall(len(octets).to_bytes(2) + octets)
        return [str(record.rdata) for record in DNSRecord.parse(asking.recv(512)[2:]).rr]


async def test_each_sandbox_sees_the_names_of_its_own_view(host, client) -> None:
    await client.synchronise(SNAPSHOT)
    answers = {}
    for network, own, other in (("front", "web", "db"), ("back", "db", "web")):
        sandbox = host.sandbox(network)
        udp, tcp = host.inside(sandbox, bound)
        with udp, tcp:
            port = udp.getsockname()[1]
            await client.open_view(View(network, (network,)), udp, tcp)

        answers[network] = [
            host.inside(sandbox, ask, port, name)
            for ask in (ask_datagram, ask_stream)
            for name in (own, other)
        ]

    assert answers == {
        "front": [["10.1.0.2"], [], ["10.1.0.2"], []],
        "back": [["10.2.0.2"], [], ["10.2.0.2"], []],
    }


async def test_a_closed_view_does_not_keep_its_namespace(host, client) -> None:
    sandbox = host.sandbox("front")
    udp, tcp = host.inside(sandbox, bound)
    with udp, tcp:
        await client.open_view(View("front", ("front",)), udp, tcp)
    assert len(host.inside(sandbox, sockets_inside)) == 2

    await client.close_view("front")

    assert host.inside(sandbox, sockets_inside) == set()


def sockets_inside() -> set[str]:
    tables = [Path("/proc/thread-self/net", name).read_text() for name in ("udp", "tcp")]
    return {f"socket:[{line.split()[9]}]" for table in tables for line in table.splitlines()[1:]}
