"""Published ports with real clients: who reaches them, and who has the port of the host."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EADDRINUSE

import pytest

from labs.host import Host
from labs.outside import Outside
from tests.live.backends import BOTH_BACKENDS
from tests.live.reaching import (
    PAGE,
    SERVES,
    bound,
    container_netns,
    cut_off,
    echoed,
    free,
    opened,
    reached,
    until,
)

pytestmark = [pytest.mark.kernel, BOTH_BACKENDS]

Docker = Callable[..., str]
RunDocker = Callable[..., subprocess.CompletedProcess[str]]

LOCAL = ("127.0.0.1", "::1")
ENDS = [(protocol, address) for protocol in ("tcp", "udp") for address in LOCAL]
SLEEPS = ("demo", "sleep", "1000")
MOVE_S = 2


def test_a_published_port_is_reached_from_everywhere_and_shown(
    host: Host, outside: Outside, docker: Docker, run_docker: RunDocker
) -> None:
    for network in ("front", "back"):
        docker("network", "create", "--ipv6", network)
    docker("run", "-d", "-p", "8080:80", "--name", "web", "--network", "front", "demo", *SERVES)
    for name, network in (("near", "front"), ("far", "back")):
        docker("run", "-d", "--name", name, "--network", network, *SLEEPS)

    own = [*outside.host_addresses.values()]
    for address in (*LOCAL, *own):
        assert reached(host.netns, address), f"the host, by {address}"
    for address in own:
        assert reached(outside.netns, address), f"outside, by {address}"
        for name in ("near", "far", "web"):
            assert reached(container_netns(host, name), address), f"{name}, by {address}"
    url = f"http://{outside.host_addresses[4]}:8080/"
    assert docker("exec", "far", "wget", "-qO-", url) == PAGE.strip()

    assert docker("port", "web").splitlines() == ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]
    shown = docker("ps", "--filter", "name=web", "--format", "{{.Ports}}")
    assert shown == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    ports = docker("inspect", "-f", '{{json (index .NetworkSettings.Ports "80/tcp")}}', "web")
    assert '"HostPort":"8080"' in ports and '"HostIp":"::"' in ports
    log = run_docker("logs", "web").stderr
    assert f"[::ffff:{outside.addresses[4]}]:" in log, "the client's own address, by IPv4"
    assert f"[{outside.addresses[6]}]:" in log, "the client's own address, by IPv6"


def test_ipv6_leads_to_a_container_that_has_none(
    host: Host, outside: Outside, docker: Docker, run_docker: RunDocker
) -> None:
    docker("run", "-d", "-p", "8080:80", "--name", "web", "demo", *SERVES)

    for netns in (host.netns, outside.netns):
        for address in outside.host_addresses.values():
            assert reached(netns, address)
    assert reached(host.netns, "::1")
    assert f"[::ffff:{outside.addresses[4]}]:" in run_docker("logs", "web").stderr


def test_datagrams_are_led_and_answered(host: Host, outside: Outside, docker: Docker) -> None:
    docker("network", "create", "--ipv6", "front")
    docker("run", "-d", "-p", "5000:6000/udp", "--name", "web", "--network", "front", *SLEEPS)
    own = container_netns(host, "web")

    for version, local in zip((4, 6), LOCAL, strict=True):
        address, any_ = outside.host_addresses[version], {4: "0.0.0.0", 6: "::"}[version]
        with bound(own, "udp", any_, 6000) as server:
            seen = echoed(outside.netns, address, 5000, server)
            assert seen == str(outside.addresses[version])
            assert echoed(host.netns, address, 5000, server), f"the host, by {address}"
            assert echoed(host.netns, local, 5000, server), f"the host, by {local}"


def test_a_port_of_the_loopback_is_the_hosts_alone(
    host: Host, outside: Outside, docker: Docker
) -> None:
    docker("run", "-d", "-p", "127.0.0.1:8080:80", "--name", "web", "demo", *SERVES)
    docker("run", "-d", "--name", "near", *SLEEPS)

    assert reached(host.netns, "127.0.0.1")
    assert cut_off(outside.netns, outside.host_addresses[4])
    assert cut_off(container_netns(host, "near"), outside.host_addresses[4])
    assert free(host.netns, 8080, address=outside.host_addresses[4])
    assert docker("port", "web") == "80/tcp -> 127.0.0.1:8080"


def test_a_port_of_one_address_is_reached_there_alone(
    host: Host, outside: Outside, docker: Docker
) -> None:
    docker("network", "create", "--ipv6", "front")
    ends = [f"{outside.host_addresses[4]}:8080:80", f"[{outside.host_addresses[6]}]:8080:80"]
    published = [word for end in ends for word in ("-p", end)]
    docker("run", "-d", *published, "--network", "front", "--name", "web", "demo", *SERVES)

    for address in outside.host_addresses.values():
        assert reached(outside.netns, address) and reached(host.netns, address)
    for address in LOCAL:
        assert cut_off(host.netns, address)
        assert free(host.netns, 8080, address=address)


def test_a_published_port_is_nobody_elses_until_the_container_is_gone(
    host: Host, docker: Docker
) -> None:
    ports = ("-p", "8080:80", "-p", "8080:80/udp")
    docker("run", "-d", *ports, "--name", "web", *SLEEPS)
    for protocol, address in ENDS:
        with pytest.raises(OSError, match=os.strerror(EADDRINUSE)):
            bound(host.netns, protocol, address, 8080)

    docker("rm", "-f", "web")

    with ExitStack() as stack:
        for protocol, address in ENDS:
            stack.enter_context(bound(host.netns, protocol, address, 8080))


def test_a_stop_gives_the_port_back_and_a_start_takes_it_again(
    host: Host, outside: Outside, docker: Docker
) -> None:
    address = outside.host_addresses[4]
    docker("run", "-d", "-p", "8080:80", "--name", "web", "demo", *SERVES)
    assert reached(outside.netns, address)

    docker("stop", "-t", "0", "web")
    assert free(host.netns, 8080) and cut_off(outside.netns, address)
    assert docker("port", "web") == ""

    docker("start", "web")
    assert not free(host.netns, 8080) and reached(outside.netns, address)

    docker("restart", "-t", "0", "web")
    assert not free(host.netns, 8080) and reached(outside.netns, address)


def test_a_container_that_removes_itself_gives_its_port_back(host: Host, docker: Docker) -> None:
    docker("run", "-d", "--rm", "-p", "8080:80", "--name", "web", *SLEEPS)
    assert not free(host.netns, 8080)

    docker("kill", "web")

    until(lambda: free(host.netns, 8080), "the port is not given back")


def test_a_client_that_keeps_sending_reaches_the_next_container(
    host: Host, outside: Outside, docker: Docker
) -> None:
    ports = ("-p", "5000:6000/udp")
    docker("run", "-d", *ports, "--name", "one", *SLEEPS)
    old = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "one")
    sender = opened(outside.netns, "udp", outside.host_addresses[4])
    with sender, sending(sender, (str(outside.host_addresses[4]), 5000)):
        with bound(container_netns(host, "one"), "udp", "0.0.0.0", 6000) as server:
            server.recvfrom(64)
        docker("rm", "-f", "one")
        docker("run", "-d", *ports, "--name", "two", *SLEEPS)
        assert docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "two") != old

        with bound(container_netns(host, "two"), "udp", "0.0.0.0", 6000) as server:
            server.settimeout(MOVE_S)
            assert server.recvfrom(64)[1] == (str(outside.addresses[4]), sender.getsockname()[1])


def test_on_the_hosts_network_ports_are_not_published(
    host: Host, run_docker: RunDocker, docker: Docker
) -> None:
    done = run_docker("run", "-d", "--network", "host", "-p", "8080:80", "--name", "web", *SLEEPS)
    assert done.returncode == 0
    assert "Published ports are discarded when using host network mode" in done.stderr
    assert free(host.netns, 8080)

    docker("run", "-d", "--network", "none", "-p", "8080:80", "--name", "alone", *SLEEPS)
    assert free(host.netns, 8080)
    assert docker("port", "alone") == ""


@contextmanager
def sending(client: socket.socket, to: tuple[str, int]) -> Iterator[None]:
    """Send to one place from one socket, every 10 ms, until the block ends."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.01):
            with suppress(OSError):  # nobody is there for a moment
                client.sendto(b"again", to)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
