"""Ports that are published and taken away while a container runs, and daemons that come and go."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from labs.host import Host
from labs.outside import Outside
from tests.live.backends import BOTH_BACKENDS
from tests.live.reaching import (
    ECHO,
    SERVES,
    answered,
    conversation,
    cut_off,
    free,
    goes_on,
    reached,
    until,
)

pytestmark = [pytest.mark.kernel, BOTH_BACKENDS]

Docker = Callable[..., str]

SLEEPS = ("demo", "sleep", "1000")


def port_lines(port: int, host_port: int) -> list[str]:
    return [f"{port}/tcp -> 0.0.0.0:{host_port}", f"{port}/tcp -> [::]:{host_port}"]


def test_a_port_is_added_to_a_running_container_and_taken_away(
    host: Host, outside: Outside, docker: Docker
) -> None:
    address = outside.host_addresses[4]
    docker("run", "-d", "-p", "8080:80", "--name", "web", "demo", *SERVES)
    assert reached(outside.netns, address)

    both = sorted((*port_lines(80, 8080), *port_lines(80, 8081)))
    assert sorted(host.netd("port", "add", "web", "8081:80").splitlines()) == both

    for port in (8080, 8081):
        assert answered(outside.netns, address, port)
        assert answered(host.netns, "::1", port)
    assert not free(host.netns, 8081)
    assert sorted(docker("port", "web").splitlines()) == both
    bindings = docker("inspect", "-f", "{{json .HostConfig.PortBindings}}", "web")
    assert '"HostPort":"8081"' in bindings

    docker("restart", "-t", "0", "web")
    assert reached(outside.netns, address, 8081)

    host.netd("port", "rm", "web", "8080:80")

    assert cut_off(outside.netns, address, 8080) and cut_off(host.netns, "::1", 8080)
    assert answered(outside.netns, address, 8081)
    assert free(host.netns, 8080)
    assert docker("port", "web").splitlines() == port_lines(80, 8081)
    docker("stop", "-t", "0", "web")
    docker("start", "web")
    assert docker("port", "web").splitlines() == port_lines(80, 8081)


def test_a_connection_ends_with_its_port(host: Host, outside: Outside, docker: Docker) -> None:
    docker("run", "-d", "-p", "7000:7", "--name", "echo", "demo", *ECHO)
    clients = [
        conversation(outside.netns, address, 7000) for address in outside.host_addresses.values()
    ]  # the second by the process that holds the port

    host.netd("port", "rm", "echo", "7")

    for client in clients:
        with client:
            until(partial(ended, client), "the connection stands")


def ended(client: socket.socket) -> bool:
    return not goes_on(client)


def test_a_port_that_cannot_be_added_changes_nothing(host: Host, docker: Docker) -> None:
    docker("run", "-d", "-p", "8080:80", "--name", "one", "demo", *SERVES)
    docker("run", "-d", "--name", "two", *SLEEPS)

    taken = host.netd("port", "add", "two", "8081:81", "8080:80", check=False)
    assert "port is already allocated (by container one)" in taken
    unknown = host.netd("port", "rm", "one", "8080:81", check=False)
    assert "container one does not publish 8080->81/tcp" in unknown
    missing = host.netd("port", "add", "three", "8082:80", check=False)
    assert "three" in missing

    assert docker("port", "two") == ""
    assert free(host.netns, 8081) and free(host.netns, 8082)
    assert reached(host.netns, "127.0.0.1", 8080)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_port_is_held_and_reached_while_the_daemon_is_away(
    host: Host, outside: Outside, docker: Docker, number: signal.Signals
) -> None:
    docker("network", "create", "--ipv6", "front")
    docker("run", "-d", "-p", "8080:80", "--network", "front", "--name", "web", "demo", *SERVES)
    assert reached(outside.netns, outside.host_addresses[6])
    pids = port_holders(host)

    with always_there(host, outside):
        host.stop_daemon(number)
        host.start_daemon()

    assert port_holders(host) == pids
    assert docker("port", "web").splitlines() == port_lines(80, 8080)
    docker("rm", "-f", "web")
    assert free(host.netns, 8080) and free(host.netns, 8080, address="::1")


@contextmanager
def always_there(host: Host, outside: Outside) -> Iterator[None]:
    """Look over and over whether the port is reached, and nobody else's."""
    done, lapses = threading.Event(), list[str]()

    def look() -> None:
        while not done.is_set():
            lapses.extend(
                f"not reached by {address}"
                for address in outside.host_addresses.values()
                if not answered(outside.netns, address, 8080)
            )
            lapses.extend(
                f"free at {address}"
                for address in ("127.0.0.1", "::1")
                if free(host.netns, 8080, address=address)
            )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert lapses == []


def test_a_process_that_holds_ports_is_started_anew_when_it_is_killed(
    host: Host, outside: Outside, docker: Docker
) -> None:
    docker("run", "-d", "-p", "8080:80", "--name", "web", "demo", *SERVES)
    assert reached(host.netns, "::1")
    (pid,) = port_holders(host)

    os.kill(pid, signal.SIGKILL)

    assert answered(outside.netns, outside.host_addresses[4])  # the kernel leads there
    until(lambda: port_holders(host) not in ([], [pid]), "nobody holds ports")
    until(lambda: not free(host.netns, 8080, address="::1"), "the port is not held again")
    assert reached(host.netns, "::1")
    assert "the process that holds ports ended" in (host.folder / "daemon.log").read_text()


def test_ports_are_held_again_when_their_process_died_while_the_daemon_was_away(
    host: Host, docker: Docker
) -> None:
    docker("run", "-d", "-p", "8080:80", "--name", "web", "demo", *SERVES)
    assert reached(host.netns, "::1")
    (pid,) = port_holders(host)

    host.stop_daemon()
    os.kill(pid, signal.SIGKILL)
    host.start_daemon()

    assert not free(host.netns, 8080) and reached(host.netns, "::1")


def test_an_idle_daemon_that_ends_leaves_nobody_holding_ports(host: Host, docker: Docker) -> None:
    docker("run", "-d", "-p", "8080:80", "--name", "web", *SLEEPS)
    docker("stop", "-t", "0", "web")
    assert len(port_holders(host)) == 1

    host.stop_daemon()

    until(lambda: port_holders(host) == [], "the process stays")
    host.start_daemon()
    docker("start", "web")
    assert not free(host.netns, 8080)


def port_holders(host: Host) -> list[int]:
    """Return the processes that hold the host's ports: one, but while it is started anew."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            words = path.read_bytes().split(b"\0")
            if b"drivers.ports" in words and bytes(host.folder / "run/ports.sock") in words:
                found.append(int(path.parent.name))
    return found
