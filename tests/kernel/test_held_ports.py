"""The process that holds ports: what it holds, and what gets in there."""

import asyncio
import resource
import select
import socket
from contextlib import suppress
from dataclasses import replace
from errno import EADDRINUSE, EADDRNOTAVAIL, EMFILE, EPROTONOSUPPORT
from ipaddress import ip_address
from pathlib import Path

import pytest

from drivers.ports import Hold, PortRefusedError, PortsClient, PortsError
from tests.kernel.holding import (
    ANY4,
    ANY6,
    LOCAL4,
    LOCAL6,
    bound,
    descriptors,
    holding,
    keys,
    new_socket,
    until,
)

pytestmark = pytest.mark.kernel

OTHER4 = ip_address("127.0.0.2")
EVERYWHERE = (ANY4, LOCAL4, OTHER4, ANY6, LOCAL6)
DUAL = Hold("tcp", ANY6, 8080, dual=True)


@pytest.fixture
async def client(host, tmp_path: Path):
    async with holding(host, tmp_path / "ports.sock") as client:
        yield client


def is_free(host, protocol: str, address: object, port: int) -> bool:
    with suppress(OSError), bound(host, protocol, address, port):
        return True
    return False


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("address", "dual", "taken"),
    [
        (ANY4, False, {ANY4, LOCAL4, OTHER4}),
        (LOCAL4, False, {ANY4, LOCAL4}),
        (ANY6, False, {ANY6, LOCAL6}),
        (LOCAL6, False, {ANY6, LOCAL6}),
        (ANY6, True, {ANY4, LOCAL4, OTHER4, ANY6, LOCAL6}),
    ],
    ids=["0.0.0.0", "127.0.0.1", "::", "::1", "both"],
)
async def test_nobody_else_can_bind_a_held_port(
    host, client, protocol, address, dual, taken
) -> None:
    hold = Hold(protocol, address, 8080, dual=dual)
    await client.hold([hold])

    refused = {each for each in EVERYWHERE if not is_free(host, protocol, each, 8080)}
    await client.release([hold])

    assert refused == taken
    assert all(is_free(host, protocol, each, 8080) for each in EVERYWHERE)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_port_of_somebody_else_is_refused_by_name(host, client, protocol) -> None:
    run = Hold(protocol, ANY6, 8000, count=10, dual=True)
    first = Hold(protocol, LOCAL4, 80)
    with bound(host, protocol, OTHER4, 8003), pytest.raises(PortRefusedError) as refusal:
        await client.hold([first, run])

    assert (refusal.value.hold, refusal.value.port, refusal.value.errno) == (run, 8003, EADDRINUSE)
    assert str(refusal.value) == f"cannot hold port 8003/{protocol} of ::: Address already in use"
    assert await client.held() == set()
    assert all(is_free(host, protocol, ANY6, port) for port in range(8000, 8010))


async def test_what_was_held_before_a_refusal_stays_held(host, client) -> None:
    await client.hold([DUAL])
    with bound(host, "tcp", ANY4, 80), pytest.raises(PortRefusedError):
        await client.hold([DUAL, Hold("tcp", ANY4, 80)])

    assert await client.held() == keys(DUAL)


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
async def test_an_address_that_the_host_has_not_is_refused(client, address) -> None:
    with pytest.raises(PortRefusedError) as refusal:
        await client.hold([Hold("tcp", ip_address(address), 80)])

    assert refusal.value.errno == EADDRNOTAVAIL


async def test_an_interface_that_the_host_has_not_is_named(client) -> None:
    with pytest.raises(PortRefusedError, match="there is no interface nd9"):
        await client.hold([Hold("tcp", ip_address("fe80::1%nd9"), 80)])


def kernel_has_sctp() -> bool:
    with suppress(OSError), socket.socket(type=socket.SOCK_STREAM, proto=socket.IPPROTO_SCTP):
        return True
    return False


@pytest.mark.skipif(kernel_has_sctp(), reason="this kernel has SCTP")
async def test_a_kernel_without_sctp_is_told(client) -> None:
    with pytest.raises(PortRefusedError, match="this kernel has no SCTP") as refusal:
        await client.hold([Hold("sctp", ANY4, 5060)])

    assert refusal.value.errno == EPROTONOSUPPORT


async def test_a_hold_that_can_be_none_is_refused(client) -> None:
    with pytest.raises(PortsError, match="ports are not within 1 to 65535: 2 from 65535 on"):
        await client.hold([Hold("tcp", ANY4, 65535, count=2)])

    assert await client.held() == set()


async def test_holding_and_releasing_may_be_repeated(host, client) -> None:
    other = Hold("udp", ANY6, 8080, dual=True)
    for _ in range(2):
        await client.hold([DUAL, other])
    held = await client.held()
    for _ in range(2):
        await client.release([DUAL])

    assert held == keys(DUAL, other)
    assert await client.held() == keys(other)
    assert is_free(host, "tcp", ANY4, 8080) and not is_free(host, "udp", ANY4, 8080)


async def test_a_part_of_a_run_may_be_released(host, client) -> None:
    await client.hold([Hold("tcp", ANY4, 8000, count=3)])

    await client.release([Hold("tcp", ANY4, 8001)])

    assert [is_free(host, "tcp", ANY4, port) for port in (8000, 8001, 8002)] == [False, True, False]


async def test_ten_thousand_ports_are_held_within_moments(host, client) -> None:
    before = descriptors(client.pid)
    run = Hold("tcp", ANY6, 20000, 10000, dual=True, target=OTHER4, target_port=20000)
    async with asyncio.timeout(5):  # it takes less than one second
        await client.hold([run])
        held = await client.held()
        await client.release([run])

    assert held == keys(run)
    assert descriptors(client.pid) == before


async def test_the_limit_of_descriptors_is_named_and_nothing_is_held(client) -> None:
    await client.hold([DUAL])
    resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (100, 100))

    with pytest.raises(PortRefusedError, match="no more than 100 open files") as refusal:
        await client.hold([Hold("udp", ANY4, 1000, count=100)])

    assert refusal.value.errno == EMFILE
    assert await client.held() == keys(DUAL)


async def test_a_full_process_still_takes_the_next_client(client, tmp_path) -> None:
    resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (100, 100))
    run = Hold("udp", ANY4, 1000, count=100)
    refused = await client.synchronise([run])

    newest = await PortsClient.adopt(tmp_path / "ports.sock")

    assert newest and len(await newest.held()) == 100 - len(refused) > 0
    await newest.close()


async def test_synchronising_holds_exactly_what_is_said(host, client) -> None:
    old, kept, new = (Hold("tcp", ANY4, 8000), Hold("tcp", ANY4, 8001), Hold("udp", ANY4, 8000))
    await client.hold([old, kept])

    refused = await client.synchronise([kept, new])

    assert list(refused) == []
    assert await client.held() == keys(kept, new)
    assert is_free(host, "tcp", ANY4, 8000)


async def test_synchronising_goes_on_past_what_is_refused(host, client) -> None:
    run = Hold("tcp", ANY4, 8000, count=4)
    with bound(host, "tcp", LOCAL4, 8001), bound(host, "tcp", LOCAL4, 8002):
        refused = await client.synchronise([run, DUAL])

    assert [(each.hold, each.port, each.errno) for each in refused] == [
        (run, 8001, EADDRINUSE),
        (run, 8002, EADDRINUSE),
    ]
    assert await client.held() == keys(Hold("tcp", ANY4, 8000), Hold("tcp", ANY4, 8003), DUAL)


@pytest.mark.parametrize(
    "hold",
    [Hold("tcp", ANY4, 8080), DUAL, replace(DUAL, target=OTHER4, target_port=9090)],
    ids=["IPv4", "both", "relayed"],
)
async def test_an_ipv4_connection_is_neither_refused_nor_taken_but_waits(
    host, client, hold
) -> None:
    await client.hold([hold])
    with new_socket(host, "tcp", LOCAL4) as calling:
        assert calling.connect_ex((str(LOCAL4), 8080)) > 0
        assert select.select([], [calling], [], 0.2)[1] == []

        # As when the rules are back: its next attempt arrives.
        await client.release([hold])
        with bound(host, "tcp", LOCAL4, 8080):
            await until(lambda: bool(select.select([], [calling], [], 0)[1]))
            assert calling.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize("dual", [False, True], ids=["IPv4", "both"])
async def test_ipv4_datagrams_do_not_fill_a_held_port(host, client, dual) -> None:
    await client.hold([Hold("udp", ANY6 if dual else ANY4, 8080, dual=dual)])
    table = "udp6" if dual else "udp"
    with new_socket(host, "udp", LOCAL4) as calling:
        calling.connect((str(LOCAL4), 8080))
        for _ in range(10):
            calling.send(b"x")

    await until(lambda: queue_and_drops(host, table, 8080)[1] == 10)
    assert queue_and_drops(host, table, 8080) == (0, 10)


def queue_and_drops(host, table: str, port: int) -> tuple[int, int]:
    """Read the octets that wait in a socket, and the datagrams it did not take."""
    text = host.run(Path("/proc/thread-self/net", table).read_text)
    line = next(line.split() for line in text.splitlines() if f":{port:04X} " in line)
    return int(line[4].partition(":")[2], 16), int(line[-1])
