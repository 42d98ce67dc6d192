"""Who has a port of the host, and what the user is told of a port that the kernel refuses."""

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EMFILE, EPROTONOSUPPORT
from ipaddress import ip_address
from pathlib import Path

import pytest

from drivers.ports import Hold, PortRefusedError
from netd.listeners import Listener, listener, refusal
from tests.kernel.holding import bound, new_socket, until

pytestmark = pytest.mark.kernel

ANY4, ANY6 = ip_address("0.0.0.0"), ip_address("::")
LOCAL4, LOCAL6, OTHER4 = (ip_address(text) for text in ("127.0.0.1", "::1", "127.0.0.2"))
SELF = Listener(Path("/proc/self/comm").read_text().strip(), os.getpid())
DUAL = Hold("tcp", ANY6, 8080, dual=True)


@pytest.fixture(autouse=True)
def loopback(host) -> None:
    host.output("ip", "link", "set", "lo", "up")


def has(host, protocol: str, address: object, port: int = 8080) -> Listener | None:
    return host.run(listener, protocol, address, port)


def told(host, hold: Hold, errno: int) -> str:
    return host.run(refusal, PortRefusedError(hold, hold.port, errno)).sentence


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("at", "in_the_way_of", "not_of"),
    [
        (ANY4, [ANY4, LOCAL4], [ANY6, LOCAL6]),
        (LOCAL4, [ANY4, LOCAL4], [OTHER4, ANY6]),
        (LOCAL6, [ANY6, LOCAL6], [ANY4, LOCAL4]),
    ],
)
def test_a_socket_is_in_the_way_of_its_address_and_of_all_addresses(
    host, protocol: str, at: object, in_the_way_of: list[object], not_of: list[object]
) -> None:
    with bound(host, protocol, at, 8080):
        assert [has(host, protocol, each) for each in in_the_way_of] == [SELF] * len(in_the_way_of)
        assert [has(host, protocol, each) for each in not_of] == [None] * len(not_of)
        assert has(host, protocol, at, 8081) is None

    assert has(host, protocol, at) is None


def test_another_protocol_is_not_in_the_way(host) -> None:
    with bound(host, "tcp", ANY4, 8080):
        assert (has(host, "udp", ANY4), has(host, "sctp", ANY4)) == (None, None)


def test_a_socket_of_both_families_is_in_the_way_of_ipv4(host) -> None:
    with new_socket(host, "tcp", "::") as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 8080))
        both.listen()

        assert [has(host, "tcp", each) for each in (ANY4, LOCAL4, ANY6)] == [SELF] * 3


def test_an_ipv4_address_of_an_ipv6_socket_is_one(host) -> None:
    with new_socket(host, "tcp", "::") as mapped:
        mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        mapped.bind(("::ffff:127.0.0.1", 8080))
        mapped.listen()

        assert (has(host, "tcp", LOCAL4), has(host, "tcp", OTHER4)) == (SELF, None)


@contextmanager
def serving(host, end: str) -> Iterator[Listener]:
    """Run a server of another process: it is named by what it runs."""
    words = ("nsenter", f"--net={host.path}", "busybox", "httpd", "-f", "-h", "/proc", "-p", end)
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as server:
        try:
            yield Listener("busybox", server.pid)
        finally:
            server.kill()


async def test_another_process_is_named(host) -> None:
    with serving(host, "127.0.0.1:8080") as server:
        await until(lambda: has(host, "tcp", ANY4) is not None)

        found = has(host, "tcp", ANY4)

    assert (found, str(found)) == (server, f"busybox (pid {server.pid})")


async def test_of_two_families_the_one_that_is_asked_for_is_named(host) -> None:
    with bound(host, "tcp", ANY6, 8080), serving(host, "0.0.0.0:8080") as server:
        await until(lambda: has(host, "tcp", ANY4) == server)

        assert has(host, "tcp", ANY6) == SELF


async def test_who_listens_is_named_before_who_is_connected(host) -> None:
    with bound(host, "tcp", LOCAL4, 8000) as there, new_socket(host, "tcp", LOCAL4) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((str(LOCAL4), 8080))
        client.setblocking(True)
        client.connect((str(LOCAL4), 8000))
        with closing(there.accept()[0]), serving(host, "[::]:8080") as server:
            await until(lambda: has(host, "tcp", ANY4) == server)


def test_a_connection_from_the_port_is_in_the_way_when_nobody_listens(host) -> None:
    with bound(host, "tcp", LOCAL4, 8000) as server, new_socket(host, "tcp", LOCAL4) as client:
        client.bind((str(LOCAL4), 8080))
        client.setblocking(True)
        client.connect((str(LOCAL4), 8000))
        with closing(server.accept()[0]):
            assert has(host, "tcp", ANY4) == SELF

        client.close()
        # The end of the connection is kept by the kernel, and belongs to nobody.
        assert has(host, "tcp", ANY4) is None


def test_a_port_of_another_namespace_is_in_nobodys_way(host) -> None:
    sandbox = host.sandbox("web")

    def has_inside() -> Listener | None:
        return listener("tcp", ANY4, 8080)

    with bound(host, "tcp", ANY4, 8080):
        assert host.inside(sandbox, has_inside) is None


@pytest.mark.parametrize(
    ("at", "hold", "end"),
    [
        (ANY4, DUAL, "0.0.0.0:8080/tcp"),
        (LOCAL4, DUAL, "0.0.0.0:8080/tcp"),
        (LOCAL6, DUAL, "[::]:8080/tcp"),
        (ANY4, Hold("tcp", LOCAL4, 8080), "127.0.0.1:8080/tcp"),
    ],
)
def test_a_port_in_use_is_refused_with_the_name_of_who_has_it(
    host, at: object, hold: Hold, end: str
) -> None:
    with bound(host, "tcp", at, 8080):
        found = host.run(refusal, PortRefusedError(hold, 8080, EADDRINUSE))

    assert found.owner == f"{SELF.name}, pid {SELF.pid}"
    assert found.sentence == (
        f"failed to bind host port {end}: address already in use (by {found.owner})"
    )


@pytest.mark.parametrize(
    ("hold", "errno", "words"),
    [
        (DUAL, EADDRINUSE, "0.0.0.0:8080/tcp: address already in use"),
        (Hold("udp", LOCAL6, 53), EADDRINUSE, "[::1]:53/udp: address already in use"),
        (
            Hold("tcp", ip_address("192.0.2.9"), 80),
            EADDRNOTAVAIL,
            "192.0.2.9:80/tcp: cannot assign requested address",
        ),
        (Hold("sctp", ANY4, 80), EPROTONOSUPPORT, "0.0.0.0:80/sctp: this kernel has no SCTP"),
        (DUAL, EACCES, "0.0.0.0:8080/tcp: permission denied"),
    ],
)
def test_other_refusals_say_why(host, hold: Hold, errno: int, words: str) -> None:
    assert told(host, hold, errno) == f"failed to bind host port {words}"


def test_too_many_ports_are_refused_with_the_limit(host) -> None:
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert told(host, DUAL, EMFILE) == (
        "failed to bind host port 0.0.0.0:8080/tcp: the process that holds ports may have no more "
        f"than {limit} open files (ulimit -n)"
    )
