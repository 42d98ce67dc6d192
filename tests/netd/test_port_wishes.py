"""Where containers want to be reached: addresses of the host, by family, network and mode."""

from ipaddress import ip_address

import pytest
from makers import container, endpoint, network, subnet

from netd.model import Config, Container, Endpoint, HostConfig, Network, PortMapping, PortRequest
from netd.port_wishes import Gateways, Wish, targets, wishes

IPV6 = subnet("fd00::/64", "fd00::1")
MODE = "com.docker.network.bridge.gateway_mode_ipv"
BINDING = "com.docker.network.bridge.host_binding_ipv4"


def addresses(*texts: str) -> tuple[object, ...]:
    return tuple(ip_address(text) for text in texts)


def way_out(net: Network) -> tuple[Endpoint, Network]:
    texts = {4: "10.0.0.2/24", 6: "fd00::2/64"}
    return endpoint(net, *(texts[each.prefix.version] for each in net.subnets)), net


def gateways(*, ipv4: Network | None = None, ipv6: Network | None = None) -> Gateways:
    return {4: way_out(ipv4) if ipv4 else None, 6: way_out(ipv6) if ipv6 else None}


def ipv4(**options: str) -> Gateways:
    return gateways(ipv4=network(options=options))


def dual(**options: str) -> Gateways:
    net = network("dual", subnet(), IPV6, options=options)
    return gateways(ipv4=net, ipv6=net)


def asking(*requests: PortRequest, exposed: str = "", publish_all: bool = False) -> Container:
    return container(
        "web",
        config=Config(image="demo", exposed_ports=tuple(exposed.split())),
        host=HostConfig(ports=requests, publish_all=publish_all),
    )


def wished(
    asked: PortRequest,
    ways: Gateways,
    default: str = "",
    *,
    ipv6: bool = True,
) -> list[tuple[tuple[object, ...], tuple[object, ...]]]:
    found = wishes(asking(asked), ways, ip_address(default) if default else None, ipv6=ipv6)
    return [(each.addresses, each.routed) for each in found]


WEB = PortRequest(80, host_port=8080)


def at(text: str) -> PortRequest:
    return PortRequest(80, host_port=8080, host_address=ip_address(text))


@pytest.mark.parametrize("ways", [ipv4(), dual()])
def test_a_port_without_an_address_is_published_at_all_of_both_families(ways: Gateways) -> None:
    assert wished(WEB, ways) == [(addresses("0.0.0.0", "::"), ())]


def test_a_host_without_ipv6_publishes_at_all_ipv4_addresses() -> None:
    assert wished(WEB, dual(), ipv6=False) == [(addresses("0.0.0.0"), ())]


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "::", "::1"])
def test_an_address_that_is_asked_for_is_the_only_one(text: str) -> None:
    assert wished(at(text), ipv4(), "192.0.2.1") == [(addresses(text), ())]


@pytest.mark.parametrize("text", ["127.0.0.1", "::1"])
def test_the_daemons_default_is_taken_where_no_address_is_asked_for(text: str) -> None:
    assert wished(WEB, dual(), text) == [(addresses(text), ())]


def test_a_default_of_0_0_0_0_is_all_addresses_as_it_is_for_docker() -> None:
    assert wished(WEB, dual(), "0.0.0.0") == [(addresses("0.0.0.0", "::"), ())]


@pytest.mark.parametrize("text", ["127.0.0.1", "::1"])
def test_the_networks_own_default_comes_before_the_daemons(text: str) -> None:
    assert wished(WEB, dual(**{BINDING: text}), "192.0.2.1") == [(addresses(text), ())]


def test_each_family_has_the_default_of_its_own_network() -> None:
    local = network("local", options={BINDING: "127.0.0.1"})
    ways = gateways(ipv4=local, ipv6=network("six", IPV6))

    assert wished(WEB, ways) == [(addresses("127.0.0.1", "::"), ())]


def test_an_ipv4_address_needs_a_way_out_by_ipv4() -> None:
    only = gateways(ipv6=network("six", IPV6))

    assert wished(at("192.0.2.1"), only) == []
    assert wished(WEB, only) == [(addresses("::"), ())]


def test_without_a_way_out_nothing_is_published() -> None:
    assert wished(WEB, gateways()) == []


def test_only_bridges_publish() -> None:
    assert wished(WEB, gateways(ipv4=network(driver="macvlan"))) == []


def test_ipv6_is_relayed_where_another_driver_gives_the_way_out_by_ipv6() -> None:
    ways = gateways(ipv4=network(), ipv6=network("six", IPV6, driver="macvlan"))

    assert wished(at("::1"), ways) == [(addresses("::1"), ())]
    assert targets(ways) == {4: ip_address("10.0.0.2")}


@pytest.mark.parametrize("text", ["", "0.0.0.0"])
def test_a_routed_network_takes_no_port_of_the_host(text: str) -> None:
    asked = at(text) if text else WEB

    assert wished(asked, ipv4(**{MODE + "4": "routed"}), "127.0.0.1") == [
        ((), addresses("0.0.0.0"))
    ]


def test_a_routed_port_keeps_the_address_that_was_asked_for() -> None:
    assert wished(at("192.0.2.1"), ipv4(**{MODE + "4": "routed"})) == [((), addresses("192.0.2.1"))]


def test_families_may_differ_in_their_mode() -> None:
    (wish,) = wishes(asking(WEB), dual(**{MODE + "6": "routed"}), None, ipv6=True)

    assert wish.mappings(8080) == (
        PortMapping(ip_address("0.0.0.0"), 8080, 80),
        PortMapping(ip_address("::"), 0, 80),
    )


def test_an_unprotected_network_publishes_as_any_other() -> None:
    ways = ipv4(**{MODE + "4": "nat-unprotected"})

    assert wished(WEB, ways) == [(addresses("0.0.0.0", "::"), ())]


def test_an_isolated_network_publishes_nothing() -> None:
    assert wished(WEB, dual(**{MODE + "4": "isolated", MODE + "6": "isolated"})) == []


def test_addresses_of_one_port_with_one_choice_share_a_wish() -> None:
    first, second = ip_address("127.0.0.1"), ip_address("192.0.2.1")
    asked = asking(
        PortRequest(80, host_address=first),
        PortRequest(81, host_address=first),
        PortRequest(80, host_address=second),
    )

    assert wishes(asked, ipv4(), None, ipv6=True) == (
        Wish(80, "tcp", 1, 0, 0, (first, second)),
        Wish(81, "tcp", 1, 0, 0, (first,)),
    )


def test_another_protocol_or_choice_is_another_wish() -> None:
    asked = asking(WEB, PortRequest(80, "udp", host_port=8080), PortRequest(80))

    found = wishes(asked, ipv4(), None, ipv6=False)

    assert [(each.protocol, each.first) for each in found] == [
        ("tcp", 8080), ("udp", 8080), ("tcp", 0)
    ]  # fmt: skip


def test_an_address_within_all_of_its_family_is_published_once() -> None:
    (wish,) = wishes(asking(at("127.0.0.1"), WEB, at("::1"), WEB), ipv4(), None, ipv6=True)

    assert wish.addresses == addresses("0.0.0.0", "::")


@pytest.mark.parametrize(
    ("request_", "choices", "exact"),
    [
        (PortRequest(80, host_port=8080), (8080, 8080), True),
        (PortRequest(80, host_port=8000, host_last=8000), (8000, 8000), True),
        (PortRequest(80, host_port=8000, host_last=8010), (8000, 8010), False),
        (PortRequest(80), (0, 0), False),
    ],
)
def test_choices_are_exact_a_range_or_free(
    request_: PortRequest, choices: tuple[int, int], exact: bool
) -> None:
    (wish,) = wishes(asking(request_), ipv4(), None, ipv6=True)

    assert ((wish.first, wish.last), wish.exact) == (choices, exact)


def test_every_exposed_port_that_is_not_asked_for_is_published_on_demand() -> None:
    run = PortRequest(80, count=2, host_port=8080)
    exposed = "80/tcp 81/tcp 82/tcp 80/udp 9000-9001/UDP 53 sctp 0/tcp 70000/tcp"
    asked = asking(run, exposed=exposed, publish_all=True)

    found = wishes(asked, ipv4(), None, ipv6=True)

    assert [(each.port, each.protocol, each.first) for each in found] == [
        (80, "tcp", 8080), (82, "tcp", 0), (80, "udp", 0), (9000, "udp", 0), (9001, "udp", 0),
        (53, "tcp", 0),
    ]  # fmt: skip


def test_exposed_ports_stay_closed_unless_all_are_to_be_published() -> None:
    assert wishes(asking(exposed="80/tcp"), ipv4(), None, ipv6=True) == ()


def test_ports_lead_to_the_containers_address_of_each_family_that_publishes() -> None:
    assert targets(dual()) == {4: ip_address("10.0.0.2"), 6: ip_address("fd00::2")}
    assert targets(ipv4()) == {4: ip_address("10.0.0.2")}
