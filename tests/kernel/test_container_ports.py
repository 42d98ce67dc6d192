"""Ports of the host for containers, held by the real process: what others can bind then."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from netd.errors import InternalError
from netd.model import Container, HostConfig, PortRequest
from netd.ports import PublishedPorts
from netd.store import Store
from tests.kernel.holding import ANY4, LOCAL4, LOCAL6, bound, until
from tests.netd.makers import container, endpoint, network, running

pytestmark = pytest.mark.kernel

FRONT = network()
WEB = PortRequest(80, host_port=8080)


@pytest.fixture(autouse=True)
def loopback(host) -> None:
    host.output("ip", "link", "set", "lo", "up")


@pytest.fixture
def daemon(host, tmp_path: Path):
    """Run a daemon's life in the host: its ports, and the process's pid; ended behind it."""

    def run(life: Callable[[PublishedPorts, Store], Awaitable[None]]) -> None:
        async def lives() -> None:
            store = Store(tmp_path / "netd.db")
            store.networks.put(FRONT)
            paths = (tmp_path / "ports.sock", tmp_path / "ports.log")
            ports = PublishedPorts(store, *paths, None)
            try:
                await ports.start()
                await life(ports, store)
            finally:
                await ports.stop(shutdown=True)
                store.close()

        host.inside(host.path, lambda: asyncio.run(lives()))

    return run


def asking(store: Store, *requests: PortRequest) -> Container:
    made = container("web", endpoint(FRONT, "10.0.0.2/24"), host=HostConfig(ports=requests))
    store.containers.put(running(made))
    return running(made)


def free(host, protocol: str, address: object, port: int) -> bool:
    with suppress(OSError), bound(host, protocol, address, port):
        return True
    return False


def test_published_ports_are_nobody_elses_until_they_are_given_back(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        asked = (WEB, PortRequest(53, "udp", host_port=5353, host_address=LOCAL4))
        web = await ports.publish(asking(store, *asked))

        ends = [("tcp", LOCAL4, 8080), ("tcp", LOCAL6, 8080), ("udp", LOCAL4, 5353)]
        assert [free(host, *end) for end in ends] == [False] * 3
        assert free(host, "udp", LOCAL6, 5353)

        await ports.withdraw(web)

        assert [free(host, *end) for end in ends] == [True] * 3

    daemon(life)


def test_a_process_of_the_host_that_has_the_port_is_named(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        web = asking(store, WEB, PortRequest(81, host_port=8081))
        name = Path("/proc/self/comm").read_text().strip()
        with bound(host, "tcp", LOCAL6, 8080), pytest.raises(InternalError) as refused:
            await ports.publish(web)

        assert str(refused.value).endswith(
            "failed to bind host port [::]:8080/tcp: address already in use "
            f"(by {name}, pid {os.getpid()})"
        )
        assert free(host, "tcp", ANY4, 8081)
        assert store.containers.get(web.id) == web

    daemon(life)


def test_a_range_and_free_ports_go_round_ports_of_the_host(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        host.setting("ipv4/ip_local_port_range", "9000 9001")
        in_range = PortRequest(80, host_port=8080, host_last=8081)
        with bound(host, "tcp", LOCAL4, 8080), bound(host, "tcp", LOCAL4, 9000):
            web = await ports.publish(asking(store, in_range, PortRequest(81)))

        assert [each.host_port for each in web.published] == [8081, 8081, 9001, 9001]

    daemon(life)


def test_reserved_ports_are_not_given_by_themselves(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        host.setting("ipv4/ip_local_port_range", "9000 9003")
        host.setting("ipv4/ip_local_reserved_ports", "9000-9001,9003")

        web = await ports.publish(asking(store, PortRequest(80)))

        assert {each.host_port for each in web.published} == {9002}

    daemon(life)


def test_a_host_without_ipv6_publishes_by_ipv4(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        host.setting("ipv6/conf/all/disable_ipv6", "1")

        web = await ports.publish(asking(store, WEB))

        assert [each.host_address for each in web.published] == [ip_address("0.0.0.0")]
        assert not free(host, "tcp", LOCAL4, 8080)

    daemon(life)


def test_one_family_becomes_both_and_one_again(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        ipv4 = replace(WEB, host_address=ANY4)
        web = await ports.publish(asking(store, ipv4))
        assert free(host, "tcp", LOCAL6, 8080)

        web = await ports.publish(replace(web, host=HostConfig(ports=(WEB,))))
        assert not free(host, "tcp", LOCAL6, 8080)

        await ports.publish(replace(web, host=HostConfig(ports=(ipv4,))))
        assert free(host, "tcp", LOCAL6, 8080) and not free(host, "tcp", LOCAL4, 8080)

    daemon(life)


def test_ports_stay_held_while_the_daemon_is_away(host, daemon, tmp_path: Path) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        web = await ports.publish(asking(store, WEB))
        await ports.stop(shutdown=False)
        assert not free(host, "tcp", LOCAL4, 8080)

        await ports.start()

        assert not free(host, "tcp", LOCAL4, 8080)
        assert store.containers.get(web.id) == web

    daemon(life)


def test_a_process_that_is_killed_comes_back_with_all_ports(host, daemon, tmp_path) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        await ports.publish(asking(store, WEB))
        os.kill(_holder(tmp_path / "ports.sock"), signal.SIGKILL)

        await until(lambda: free(host, "tcp", LOCAL4, 8080))
        await until(lambda: not free(host, "tcp", LOCAL4, 8080))

    daemon(life)


def test_a_transport_that_the_kernel_lacks_is_said_to_be_missing(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        with pytest.raises(InternalError, match=r"0\.0\.0\.0:8080/sctp: this kernel has no SCTP$"):
            await ports.publish(asking(store, replace(WEB, protocol="sctp")))

    if Path("/proc/net/sctp").exists():
        pytest.skip("this kernel has SCTP")
    daemon(life)


def test_ten_thousand_ports_are_one_publication(host, daemon) -> None:
    async def life(ports: PublishedPorts, store: Store) -> None:
        run = PortRequest(20000, count=10000, host_port=20000)

        web = await ports.publish(asking(store, run))

        assert len(web.published) == 2
        assert not free(host, "tcp", LOCAL4, 29999)

    daemon(life)


def _holder(path: Path) -> int:
    """Return the pid of the process that holds ports, by its words."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if os.fsencode(path) in words and os.fsencode(sys.executable) in words:
                    return int(folder.name)
    raise AssertionError(f"nothing holds ports for {path}")
