"""Real packets through the bridge driver and its firewall: who reaches whom, and who does not.

      outside (198.51.100.9) --- host --- front: one, two
                                     |--- back: three
                                     |--- in (internal): four, five

Each refusal has a control run: with the guard taken away the same packet passes.
"""

import socket
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import iptables
from drivers.addressing import mac_of
from drivers.contract import Endpoint, Network, Subnet
from drivers.firewall import FirewallState, firewall_network
from drivers.iptables_rules import ruleset
from drivers.sandbox import set_gateways

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel


def network(number: int, name: str, **said: object) -> Network:
    return Network(
        id=f"{number:02x}" * 32,
        name=name,
        subnets=(
            Subnet(ip_network(f"10.{number}.0.0/24"), ip_address(f"10.{number}.0.1")),
            Subnet(ip_network(f"fd00:{number}::/64"), ip_address(f"fd00:{number}::1")),
        ),
        **said,  # type: ignore[arg-type]
    )


FRONT, BACK = network(10, "front"), network(11, "back")
INTERNAL = network(12, "in", internal=True)
OUTSIDE = {4: "198.51.100.9", 6: "2001:db8::9"}
HOST = {4: "198.51.100.1", 6: "2001:db8::1"}


def address(network: Network, number: int, family: int) -> str:
    (subnet,) = [s for s in network.subnets if s.prefix.version == family]
    return str(subnet.prefix[number])


def join(host: "Host", network: Network, number: int) -> Path:
    """Make a sandbox with a default route, as containers have it; in internal ones by force."""
    box = host.sandbox(f"{network.name}{number}")
    endpoint = Endpoint(
        id=f"{number:02x}" * 32,
        network_id=network.id,
        interface="eth0",
        mac=mac_of(ip_address(address(network, number, 4))),
        addresses=tuple(
            ip_interface(f"{s.prefix[number]}/{s.prefix.prefixlen}") for s in network.subnets
        ),
    )
    host.run(host.bridge.join, network, endpoint, box)
    gateways = {s.prefix.version: ("eth0", s.gateway) for s in network.subnets if s.gateway}
    host.run(set_gateways, host.links, box, gateways)
    return box


def create(host: "Host", *networks: Network) -> None:
    for made in networks:
        host.run(host.bridge.create, made)
    host.run(
        iptables.apply, ruleset(FirewallState(tuple(firewall_network(made) for made in networks)))
    )


@pytest.fixture(params=["0", "1"], ids=["bridge-nf-off", "bridge-nf-on"])
def bridged(request: pytest.FixtureRequest, host: "Host") -> str:
    """Whether bridged packets are shown to iptables; both must do."""
    for tool in ("iptables", "ip6tables"):
        try:
            host.setting(f"bridge/bridge-nf-call-{tool}", request.param)
        except FileNotFoundError:
            pytest.skip("the kernel has no br_netfilter")
    return str(request.param)


@pytest.fixture
def outside(host: "Host") -> Path:
    """A machine on the other side of the host's uplink, with routes to everything behind it."""
    box = host.sandbox("outside")
    host.output("ip", "link", "add", "up0", "type", "veth", "peer", "up1", "netns", str(box))
    for inside, interface, addresses in ((host.path, "up0", HOST), (box, "up1", OUTSIDE)):
        host.setting(f"ipv6/conf/{interface}/accept_dad", "0", inside=inside)
        host.output("ip", "addr", "add", f"{addresses[4]}/24", "dev", interface, inside=inside)
        words = ("ip", "addr", "add", f"{addresses[6]}/64", "dev", interface, "nodad")
        host.output(*words, inside=inside)
        host.output("ip", "link", "set", interface, "up", inside=inside)
    return box


def route_to_containers(host: "Host", outside: Path) -> None:
    for prefix, family in (("10.0.0.0/8", 4), ("fd00::/8", 6)):
        host.output("ip", "route", "add", prefix, "via", HOST[family], inside=outside)


@pytest.mark.parametrize("family", [4, 6])
def test_containers_of_a_network_talk(host: "Host", bridged: str, family: int) -> None:
    create(host, FRONT)
    for tool in ("iptables-legacy", "ip6tables-legacy"):
        host.output(tool, "-P", "FORWARD", "DROP")  # as other programs leave it
    one, _ = join(host, FRONT, 2), join(host, FRONT, 3)

    assert host.reaches(one, address(FRONT, 3, family))
    assert host.reaches(one, address(FRONT, 1, family))


@pytest.mark.parametrize("family", [4, 6])
def test_networks_are_kept_apart(host: "Host", bridged: str, family: int) -> None:
    create(host, FRONT, BACK)
    one, three = join(host, FRONT, 2), join(host, BACK, 2)

    assert host.cut_off(one, address(BACK, 2, family))
    assert host.cut_off(three, address(FRONT, 2, family))

    without(host, family, "no way in from elsewhere")
    without(host, family, "apart from the networks of other daemons")
    assert host.reaches(one, address(BACK, 2, family))


@pytest.mark.parametrize("family", [4, 6])
def test_containers_reach_outside_as_the_host(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    create(host, FRONT)
    one = join(host, FRONT, 2)

    # Outside knows no way back to the containers, so an answer proves the masquerade.
    assert host.reaches(one, OUTSIDE[family])

    without(host, family, "goes out as the host", table="nat")
    assert host.cut_off(one, OUTSIDE[family])


@pytest.mark.parametrize("family", [4, 6])
def test_containers_go_out_with_the_address_given(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    given = {4: "198.51.100.77", 6: "2001:db8::77"}
    options = {f"com.docker.network.host_ipv{n}": text for n, text in given.items()}
    create(host, replace(FRONT, options=options))
    one = join(host, FRONT, 2)
    words = ("ip", "addr", "add", f"{given[family]}/{32 if family == 4 else 128}", "dev", "up0")
    host.output(*words, *(["nodad"] if family == 6 else []))

    with host.inside(outside, listening, family, OUTSIDE[family]) as server:
        host.inside(one, said, family, OUTSIDE[family], server.getsockname()[1])
        _, asker = server.recvfrom(100)

    assert asker[0] == given[family]


@pytest.mark.parametrize("family", [4, 6])
def test_outside_does_not_reach_containers(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    create(host, FRONT)
    join(host, FRONT, 2)
    route_to_containers(host, outside)

    assert host.cut_off(outside, address(FRONT, 2, family))

    without(host, family, "no way in from elsewhere")
    assert host.reaches(outside, address(FRONT, 2, family))


@pytest.mark.parametrize("family", [4, 6])
def test_an_internal_network_has_no_way_out_and_none_in(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    create(host, FRONT, INTERNAL)
    one, four, _ = join(host, FRONT, 2), join(host, INTERNAL, 2), join(host, INTERNAL, 3)
    route_to_containers(host, outside)

    assert host.reaches(four, address(INTERNAL, 3, family))
    assert host.reaches(four, address(INTERNAL, 1, family))
    assert host.cut_off(four, OUTSIDE[family])
    assert host.cut_off(four, address(FRONT, 2, family))
    assert host.cut_off(one, address(INTERNAL, 2, family))
    assert host.cut_off(outside, address(INTERNAL, 2, family))

    without(host, family, "internal, no way out")
    assert host.reaches(four, OUTSIDE[family])


@pytest.mark.parametrize("family", [4, 6])
def test_without_icc_containers_reach_the_host_but_not_each_other(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    apart = replace(FRONT, options={"com.docker.network.bridge.enable_icc": "false"})
    create(host, apart)
    one, _ = join(host, apart, 2), join(host, apart, 3)

    assert host.reaches(one, address(apart, 1, family))
    assert host.reaches(one, OUTSIDE[family])
    assert host.cut_off(one, address(apart, 3, family))

    create(host, FRONT)  # the same network, icc on; joining again puts the ports right
    join(host, FRONT, 2), join(host, FRONT, 3)
    assert host.reaches(one, address(apart, 3, family))


@pytest.mark.parametrize("family", [4, 6])
def test_a_routed_network_may_be_pinged_with_its_own_addresses(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    options = {f"com.docker.network.bridge.gateway_mode_ipv{n}": "routed" for n in (4, 6)}
    routed = replace(FRONT, options=options)
    create(host, routed)
    one = join(host, routed, 2)
    route_to_containers(host, outside)

    assert host.reaches(outside, address(routed, 2, family))
    with host.inside(outside, listening, family, OUTSIDE[family]) as server:
        host.inside(one, said, family, OUTSIDE[family], server.getsockname()[1])
        _, asker = server.recvfrom(100)
    assert asker[0] == address(routed, 2, family)
    with host.inside(one, listening, family, address(routed, 2, family)) as server:
        host.inside(outside, said, family, *server.getsockname()[:2])
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.recv(100)


@pytest.mark.parametrize("family", [4, 6])
def test_a_network_of_unprotected_nat_is_open_to_all(
    host: "Host", bridged: str, outside: Path, family: int
) -> None:
    options = {f"com.docker.network.bridge.gateway_mode_ipv{n}": "nat-unprotected" for n in (4, 6)}
    create(host, replace(FRONT, options=options))
    join(host, FRONT, 2)
    route_to_containers(host, outside)

    assert host.reaches(outside, address(FRONT, 2, family))


def test_large_packets_cross_the_bridge_whole(host: "Host", bridged: str) -> None:
    jumbo = replace(FRONT, options={"com.docker.network.driver.mtu": "9000"})
    create(host, jumbo)
    one, two = join(host, jumbo, 2), join(host, jumbo, 3)

    def sent(text: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: never fragment
            client.sendto(text, server.getsockname())

    with host.inside(two, listening, 4, address(jumbo, 3, 4)) as server:
        host.inside(one, sent, b"x" * 8972)
        assert len(server.recv(10000)) == 8972


def without(host: "Host", family: int, comment: str, table: str = "filter") -> None:
    """Take the rules with a comment away."""
    tool = "iptables-legacy" if family == 4 else "ip6tables-legacy"
    lines = host.output(tool, "-t", table, "-S").splitlines()
    removed = [line for line in lines if comment in line]
    assert removed
    for line in removed:
        chain = line.split()[1]
        rules = host.output(tool, "-t", table, "-S", chain).splitlines()[1:]
        host.output(tool, "-t", table, "-D", chain, str(rules.index(line) + 1))


def listening(family: int, address: str) -> socket.socket:
    server = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    server.settimeout(5)
    server.bind((address, 0))
    return server


def said(family: int, address: str, port: int) -> None:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with socket.socket(kind, socket.SOCK_DGRAM) as client, suppress(OSError):
        client.sendto(b"hello", (address, port))
