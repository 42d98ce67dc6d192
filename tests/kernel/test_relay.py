"""TCP over IPv6 that is relayed from a held port, to a server that stands for a container's."""

import asyncio
import os
import resource
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from drivers.ports import Hold
from tests.kernel.holding import ANY6, LOCAL6, bound, descriptors, holding, new_socket, until

pytestmark = pytest.mark.kernel

CONTAINER, OTHER = ip_address("127.0.0.2"), ip_address("127.0.0.3")
TCP = Hold("tcp", ANY6, 8080, dual=True, target=CONTAINER, target_port=80)
OCTETS = os.urandom(1 << 20) * 8

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def client(host, tmp_path: Path):
    async with holding(host, tmp_path / "ports.sock", tmp_path / "ports.log") as client:
        yield client


async def call(host, address: object = LOCAL6, port: int = 8080) -> Stream:
    calling = new_socket(host, "tcp", address)
    try:
        await asyncio.get_running_loop().sock_connect(calling, (str(address), port))
    except OSError:
        calling.close()
        raise
    return await asyncio.open_connection(sock=calling)


@asynccontextmanager
async def calls(
    host, address: object = CONTAINER, port: int = 80
) -> AsyncIterator[Callable[[], "asyncio.Future[Stream]"]]:
    """Run a server, for half a minute; what is given returns the next connection to it."""
    arrived: asyncio.Queue[Stream] = asyncio.Queue()
    opened: list[asyncio.StreamWriter] = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        arrived.put_nowait((reader, writer))

    async with (
        asyncio.timeout(30),
        await asyncio.start_server(take, sock=bound(host, "tcp", address, port)),
    ):
        yield arrived.get
        for writer in opened:
            await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize("target", ["127.0.0.2", "::1"])
async def test_a_connection_is_relayed_with_each_end_of_it(host, client, target) -> None:
    await client.hold([replace(TCP, target=ip_address(target))])
    async with calls(host, target) as arrived:
        reader, writer = await call(host)
        inner_reader, inner_writer = await arrived()

        writer.write(OCTETS)
        writer.write_eof()
        asked = await inner_reader.read()
        inner_writer.write(OCTETS[::-1])
        inner_writer.write_eof()
        answered = await reader.read()

        assert asked == OCTETS and answered == OCTETS[::-1]
        await hang_up(writer)


async def test_the_target_may_be_the_first_to_end(host, client) -> None:
    await client.hold([TCP])
    async with calls(host) as arrived:
        reader, writer = await call(host)
        inner_reader, inner_writer = await arrived()

        inner_writer.write_eof()
        assert await reader.read() == b""
        writer.write(b"still here")
        writer.write_eof()

        assert await inner_reader.read() == b"still here"
        await hang_up(writer)


async def test_both_ways_flow_at_the_same_time(host, client) -> None:
    await client.hold([TCP])
    async with calls(host) as arrived:
        outside, inside = await call(host), await arrived()
        for _, writer in (outside, inside):
            writer.write(OCTETS)
            writer.write_eof()

        received = await asyncio.gather(outside[0].read(), inside[0].read())

        assert received == [OCTETS, OCTETS]
        await hang_up(outside[1])


async def test_one_who_does_not_read_holds_up_the_sender_and_no_one_else(host, client) -> None:
    await client.hold([TCP])
    async with calls(host) as arrived:
        with new_socket(host, "tcp", LOCAL6) as calling:
            await asyncio.get_running_loop().sock_connect(calling, (str(LOCAL6), 8080))
            inner_reader, _ = await arrived()
            before = resident_octets(client.pid)
            sent = 0
            while select.select([], [calling], [], 0.5)[1]:
                sent += calling.send(OCTETS)
                assert sent < 256 << 20

            _, other = await call(host)
            other_reader, _ = await arrived()
            other.write(b"next")
            assert await other_reader.readexactly(4) == b"next"
            assert resident_octets(client.pid) < before + (8 << 20)
            calling.shutdown(socket.SHUT_WR)
            assert len(await inner_reader.read()) == sent
            await hang_up(other)


def resident_octets(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_target_that_refuses_ends_the_connection_with_a_reset(host, client) -> None:
    async def answer() -> None:
        loop = asyncio.get_running_loop()
        with new_socket(host, "tcp", LOCAL6) as calling:
            await loop.sock_connect(calling, (str(LOCAL6), 8080))
            await loop.sock_recv(calling, 1)

    await client.hold([TCP])

    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(answer(), 30)


async def test_a_reset_is_passed_on(host, client) -> None:
    await client.hold([TCP])
    async with calls(host) as arrived:
        reader, writer = await call(host)
        _, inner_writer = await arrived()

        reset(inner_writer)

        with pytest.raises(ConnectionResetError):
            await reader.read()
        await hang_up(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    linger = (1).to_bytes(4, "little") + bytes(4)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def test_releasing_a_port_cuts_off_its_connections_and_no_others(host, client) -> None:
    other = replace(TCP, port=8081)
    await client.hold([TCP, other])
    before = descriptors(client.pid)
    async with calls(host) as arrived:
        outside = await call(host)
        inside = await arrived()
        kept_outside, kept_inside = await call(host, port=8081), await arrived()

        await client.release([TCP])

        for reader, _ in (outside, inside):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        with pytest.raises(ConnectionRefusedError):
            await call(host)
        kept_outside[1].write(b"still here")
        assert await kept_inside[0].readexactly(10) == b"still here"
        for _, writer in (outside, kept_outside):
            await hang_up(writer)
    await until(lambda: descriptors(client.pid) < before)


async def test_holding_again_changes_the_target(host, client) -> None:
    await client.hold([TCP])
    async with calls(host) as arrived, calls(host, OTHER, 81) as other_arrived:
        former, _ = await call(host), await arrived()

        await client.hold([replace(TCP, target=OTHER, target_port=81)])

        with pytest.raises(ConnectionResetError):
            await former[0].read()
        _, writer = await call(host)
        writer.write(b"new")
        reader, _ = await other_arrived()
        assert await reader.readexactly(3) == b"new"
        for each in (former[1], writer):
            await hang_up(each)


async def test_holding_again_with_the_same_target_disturbs_no_connection(host, client) -> None:
    await client.hold([TCP])
    async with calls(host) as arrived:
        _, writer = await call(host)
        reader, _ = await arrived()

        await client.hold([TCP])
        await client.synchronise([TCP])

        writer.write(b"same")
        assert await reader.readexactly(4) == b"same"
        await hang_up(writer)


async def test_without_a_target_a_connection_waits_for_one(host, client) -> None:
    await client.hold([replace(TCP, target=None, target_port=0)])
    async with calls(host) as arrived:
        calling = asyncio.create_task(call(host))
        assert await asyncio.wait({calling}, timeout=0.2) == (set(), {calling})

        await client.hold([TCP])

        _, writer = await calling
        await arrived()
        await hang_up(writer)


async def test_the_targets_of_a_run_shift_with_its_ports(host, client) -> None:
    await client.hold([replace(TCP, count=3)])
    async with calls(host, port=82) as arrived:
        _, writer = await call(host, port=8082)

        await arrived()
        await hang_up(writer)


async def test_a_single_address_is_relayed_without_ipv4(host, client) -> None:
    await client.hold([replace(TCP, address=LOCAL6, dual=False)])
    async with calls(host) as arrived:
        _, writer = await call(host)

        await arrived()
        await hang_up(writer)
        with pytest.raises(ConnectionRefusedError):
            await call(host, "127.0.0.1")


async def test_connections_wait_while_no_descriptor_is_free(host, client, tmp_path) -> None:
    await client.hold([TCP])
    limits = resource.prlimit(client.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (descriptors(client.pid), limits[1]))
    async with calls(host) as arrived:
        _, writer = await call(host)
        assert await client.held()  # it goes on, and has seen the connection by now
        assert (tmp_path / "ports.log").read_text().count("port 8080 rests for 1.0 s") == 1

        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, limits)

        await arrived()
        await hang_up(writer)
