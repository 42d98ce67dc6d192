"""Published ports follow a container's way out, and what its networks say of them."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from labs.host import Host
from labs.outside import Outside
from tests.live.backends import BOTH_BACKENDS
from tests.live.reaching import cut_off, free, reached

pytestmark = [pytest.mark.kernel, BOTH_BACKENDS]

Docker = Callable[..., str]

BRIDGE = "com.docker.network.bridge"


@pytest.fixture
def web(host: Host, docker: Docker) -> Callable[..., None]:
    """Start the container web, which serves on its ports 80 and 81, and publishes 8080."""

    def start(*words: str) -> None:
        serve = "httpd -h /www -p 81; exec httpd -f -h /www -p 80"
        docker("run", "-d", "-p", "8080:80", "--name", "web", *words, "demo", "sh", "-c", serve)

    return start


def address_of(docker: Docker, network: str, version: int) -> IPv4Address | IPv6Address:
    key = {4: "IPAddress", 6: "GlobalIPv6Address"}[version]
    path = f'(index .NetworkSettings.Networks "{network}").{key}'
    return ip_address(docker("inspect", "-f", f"{{{{{path}}}}}", "web"))


def created(docker: Docker, name: str, **options: str) -> None:
    words = [word for key, value in options.items() for word in ("-o", f"{BRIDGE}.{key}={value}")]
    docker("network", "create", "--ipv6", *words, name)


def test_by_nat_only_the_published_port_is_reached_and_only_by_the_host(
    outside: Outside, docker: Docker, web: Callable[..., None]
) -> None:
    created(docker, "front")
    web("--network", "front")

    for version, address in outside.host_addresses.items():
        assert reached(outside.netns, address)
        for port in (80, 81):
            assert cut_off(outside.netns, address_of(docker, "front", version), port)


def test_unprotected_all_ports_are_reached_at_the_containers_own_address(
    outside: Outside, docker: Docker, web: Callable[..., None]
) -> None:
    mode = "nat-unprotected"
    created(docker, "front", gateway_mode_ipv4=mode, gateway_mode_ipv6=mode)
    web("--network", "front")

    for version, address in outside.host_addresses.items():
        assert reached(outside.netns, address)
        for port in (80, 81):
            assert reached(outside.netns, address_of(docker, "front", version), port)


def test_routed_the_published_port_is_reached_at_the_containers_own_address(
    host: Host, outside: Outside, docker: Docker, web: Callable[..., None]
) -> None:
    created(docker, "front", gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")
    web("--network", "front")

    assert free(host.netns, 8080)
    for version, address in outside.host_addresses.items():
        own = address_of(docker, "front", version)
        assert reached(outside.netns, own, 80)
        assert cut_off(outside.netns, own, 81)
        assert cut_off(outside.netns, address)
        # The container is reached as itself, and is seen as itself.
        outside.inside("busybox", "ping", "-c", "1", "-W", "2", str(own))


def test_a_network_says_where_its_ports_are_published(
    host: Host, outside: Outside, docker: Docker, web: Callable[..., None]
) -> None:
    created(docker, "front", host_binding_ipv4=str(outside.host_addresses[4]))
    web("--network", "front")

    assert docker("port", "web") == f"80/tcp -> {outside.host_addresses[4]}:8080"
    assert reached(outside.netns, outside.host_addresses[4])
    assert cut_off(host.netns, "127.0.0.1")
    assert free(host.netns, 8080)


def test_the_port_moves_with_the_way_out(
    host: Host, outside: Outside, docker: Docker, web: Callable[..., None]
) -> None:
    for network in ("front", "back"):
        created(docker, network)
    web("--network", "front")
    docker("network", "connect", "back", "web")
    address = outside.host_addresses[4]
    assert reached(outside.netns, address)

    docker("network", "disconnect", "front", "web")

    assert reached(outside.netns, address) and reached(outside.netns, outside.host_addresses[6])
    assert reached(host.netns, "127.0.0.1")
    assert docker("port", "web").splitlines() == ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]

    docker("network", "disconnect", "back", "web")

    assert cut_off(outside.netns, address)
    assert free(host.netns, 8080)


def test_an_internal_network_publishes_nothing_until_there_is_a_way_out(
    host: Host, outside: Outside, docker: Docker, web: Callable[..., None]
) -> None:
    docker("network", "create", "--internal", "inner")
    created(docker, "front")
    web("--network", "inner")
    address = outside.host_addresses[4]
    assert free(host.netns, 8080) and docker("port", "web") == ""

    docker("network", "connect", "front", "web")

    assert not free(host.netns, 8080)
    assert reached(outside.netns, address) and reached(host.netns, "::1")

    docker("network", "disconnect", "front", "web")

    assert free(host.netns, 8080) and cut_off(outside.netns, address)
