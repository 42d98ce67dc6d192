"""UDP over IPv6 that is relayed from a held port, to a server that stands for a container's."""

import asyncio
import os
import select
import socket
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from drivers.ports import Hold
from drivers.ports.datagrams import MOST_CLIENTS, DatagramRelay
from tests.kernel.holding import ANY6, bound, descriptors, holding, new_socket, until

pytestmark = pytest.mark.kernel

CONTAINER = ip_address("127.0.0.2")
UDP = Hold("udp", ANY6, 8080, dual=True, target=CONTAINER, target_port=80)


@pytest.fixture
async def client(host, tmp_path: Path):
    async with holding(host, tmp_path / "ports.sock") as client:
        yield client


@pytest.fixture
def datagrams(host):
    """Give what opens a socket that is bound, or one that asks a held port."""
    with ExitStack() as cleanup:

        def opened(
            *, serves: object = None, asks: object = None, source: str = "::", port: int
        ) -> socket.socket:
            if serves:
                return cleanup.enter_context(bound(host, "udp", serves, port))
            asking = cleanup.enter_context(new_socket(host, "udp", asks))
            asking.bind((source, 0))
            address = socket.getaddrinfo(str(asks), port, flags=socket.AI_NUMERICHOST)[0][4]
            asking.connect(address)
            return asking

        yield opened


async def received(waiting: socket.socket) -> bytes:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(waiting, 65535)


async def received_from(waiting: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recvfrom(waiting, 65535)


@pytest.mark.parametrize("target", ["127.0.0.2", "::1"])
async def test_datagrams_and_answers_find_their_way(client, datagrams, target) -> None:
    await client.hold([replace(UDP, target=ip_address(target))])
    server = datagrams(serves=target, port=80)
    askers = [datagrams(asks="::1", port=8080) for _ in range(3)]
    contents = [b"one", b"", os.urandom(60000)]
    for asker, octets in zip(askers, contents, strict=True):
        asker.send(octets)

    for _ in askers:
        octets, peer = await received_from(server)
        server.sendto(octets[::-1], peer)

    assert [await received(asker) for asker in askers] == [each[::-1] for each in contents]


async def test_one_client_is_one_client_to_the_server(client, datagrams) -> None:
    await client.hold([UDP])
    server, asker = datagrams(serves=CONTAINER, port=80), datagrams(asks="::1", port=8080)
    for octets in (b"1", b"2"):
        asker.send(octets)

    (first, peer), (second, same) = [await received_from(server) for _ in range(2)]

    assert (first, second) == (b"1", b"2") and peer == same


async def test_an_answer_comes_from_the_address_that_was_asked(host, client, datagrams) -> None:
    host.output("ip", "link", "add", "v0", "up", "type", "veth", "peer", "v1")
    host.output("ip", "link", "set", "v1", "up")
    for address in ("fd00::1/64", "fd00::2/64", "fe80::1/64"):
        host.output("ip", "address", "add", address, "dev", "v0", "nodad")
    await client.hold([UDP])
    server = datagrams(serves=CONTAINER, port=80)
    local = f"fe80::1%{host.run(socket.if_nametoindex, 'v0')}"
    # Left to itself, the kernel would answer from the asker's own address, which is the host's too.
    for source, asked in (("fd00::1", "fd00::2"), ("::", local), ("fd00::1", local)):
        asker = datagrams(asks=asked, source=source, port=8080)  # it takes no answer from elsewhere
        asker.send(b"question")
        _, peer = await received_from(server)
        server.sendto(b"answer", peer)

        assert await received(asker) == b"answer"


async def test_a_server_that_comes_late_is_found(client, datagrams) -> None:
    await client.hold([UDP])
    asker = datagrams(asks="::1", port=8080)
    for _ in range(3):
        asker.send(b"nobody is there")
        await client.held()  # by now it is passed on, and refused

    server = datagrams(serves=CONTAINER, port=80)
    asker.send(b"somebody?")

    assert await received(server) == b"somebody?"


async def test_a_released_port_forgets_its_clients(host, client, datagrams) -> None:
    before = descriptors(client.pid)
    await client.hold([UDP])
    server, asker = datagrams(serves=CONTAINER, port=80), datagrams(asks="::1", port=8080)
    asker.send(b"question")
    _, peer = await received_from(server)

    await client.release([UDP])

    assert descriptors(client.pid) == before
    server.connect(peer)
    server.send(b"late")
    with pytest.raises(ConnectionRefusedError):
        await received(server)


async def test_clients_beyond_the_limit_displace_the_longest_idle(client, datagrams) -> None:
    await client.hold([UDP])
    server = datagrams(serves=CONTAINER, port=80)
    before = descriptors(client.pid)
    askers = [datagrams(asks="::1", port=8080) for _ in range(MOST_CLIENTS + 2)]
    peers = []
    for number, asker in enumerate(askers):
        asker.send(b"x")
        peers.append((await received_from(server))[1])
        if number == MOST_CLIENTS - 1:
            askers[0].send(b"again")  # so that the second is the longest idle
            await received(server)

    assert descriptors(client.pid) == before + MOST_CLIENTS
    for number in (0, 1, 2, 3):
        server.sendto(b"%d" % number, peers[number])
    assert await received(askers[0]) == b"0"
    assert await received(askers[3]) == b"3"
    assert select.select(askers[1:3], [], [], 0)[0] == []


def test_an_idle_client_is_forgotten(host) -> None:
    host.inside(host.path, lambda: asyncio.run(a_client_becomes_idle()))


async def a_client_becomes_idle() -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as held,
        socket.socket(type=socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker,
    ):
        for each in (held, server, asker):
            each.setblocking(False)
        held.bind(("::1", 8080))
        server.bind((str(CONTAINER), 80))
        relay = DatagramRelay(held, CONTAINER, 80, idle_s=0.05)
        asker.connect(("::1", 8080))
        own, peers = os.getpid(), []
        for _ in range(2):
            before = descriptors(own)
            asker.send(b"question")
            peers.append((await received_from(server))[1])
            await until(lambda before=before: descriptors(own) == before)
        relay.close()

    assert peers[0] != peers[1]
