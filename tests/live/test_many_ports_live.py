"""Thousands of ports of one container: all are led, and all are given back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from labs.host import Host
from labs.outside import Outside
from tests.live.backends import BOTH_BACKENDS
from tests.live.reaching import bound, container_netns, free, opened
from tests.rawapi import Api

pytestmark = [pytest.mark.kernel, BOTH_BACKENDS]

Docker = Callable[..., str]

SLEEPS = ("demo", "sleep", "1000")


def test_a_thousand_ports_of_a_container_are_led_and_given_back(
    host: Host, outside: Outside
) -> None:
    ports = {20000 + 2 * number: 10000 + 3 * number for number in range(1000)}  # none adjoins
    settings = {
        "Image": "demo",
        "Cmd": SLEEPS[1:],
        "HostConfig": {
            "PortBindings": {f"{to}/tcp": [{"HostPort": str(at)}] for to, at in ports.items()}
        },
    }
    with Api(host.socket) as api, nothing_stays(host):
        api.call("POST", "/containers/create?name=web", settings)
        api.start("web")

        assert len(api.call("GET", "/containers/web/json")["NetworkSettings"]["Ports"]) == 1000
        assert_led(host, outside, {20000: 10000, 21000: 11500, 21998: 12997})

        api.remove("web")


@pytest.mark.parametrize("first", [20000, 30000], ids=["same", "shifted"])
def test_ten_thousand_ports_in_a_row_are_led_and_given_back(
    host: Host, outside: Outside, docker: Docker, first: int
) -> None:
    with nothing_stays(host):
        run = f"{first}-{first + 9999}:20000-29999"
        docker("run", "-d", "-p", run, "--name", "web", *SLEEPS)

        assert_led(host, outside, {20000 + at: first + at for at in (0, 5000, 9999)})
        assert docker("port", "web", "29999/tcp").splitlines()[0] == f"0.0.0.0:{first + 9999}"

        docker("rm", "-f", "web")


def assert_led(host: Host, outside: Outside, ports: Mapping[int, int]) -> None:
    """Connect from outside, and by the host's loopback, to these ports of the container."""
    for port, host_port in ports.items():
        assert not free(host.netns, host_port)
        with bound(container_netns(host, "web"), "tcp", "0.0.0.0", port) as server:
            for netns, address in (
                (outside.netns, outside.host_addresses[4]),
                (outside.netns, outside.host_addresses[6]),
                (host.netns, "127.0.0.1"),
            ):
                with opened(netns, "tcp", address) as client:
                    client.connect((str(address), host_port))
                    server.accept()[0].close()


@contextmanager
def nothing_stays(host: Host) -> Iterator[None]:
    """Compare rules and listening sockets after the block with those before."""
    before = rules(host), listening(host)
    yield
    assert (rules(host), listening(host)) == before


def rules(host: Host) -> Sequence[str]:
    return [
        host.inside("nft", "-s", "list", "ruleset"),
        *(
            host.inside(f"{each}-legacy", "-t", table, "-S")
            for each in ("iptables", "ip6tables")
            for table in ("raw", "filter", "nat")
        ),
    ]


def listening(host: Host) -> Sequence[str]:
    return sorted(host.inside("ss", "-HltunO").splitlines())
