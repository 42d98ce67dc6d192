"""What the firewall is told of networks, containers and published ports."""

from ipaddress import ip_address, ip_interface

import pytest
from makers import container, endpoint, network, subnet
from msgspec.structs import replace

from drivers import spoofing
from drivers.firewall import BridgePort, FirewallState, Publication
from netd.model import Container, Endpoint, Network, PortMapping
from netd.plumbing import plumbed
from netd.publications import Known, firewall_state, publications

MODE = "com.docker.network.bridge.gateway_mode_ipv"
V4, V6 = ip_address("0.0.0.0"), ip_address("::")
DUAL = network("dual", subnet(), subnet("fd00::/64", "fd00::1"))
BACK = network("back", subnet("10.1.0.0/24", "10.1.0.1"))
ROUTED = replace(DUAL, options={f"{MODE}4": "routed", f"{MODE}6": "routed"})
PUBLISHED = (PortMapping(V4, 8080, 80), PortMapping(V6, 8080, 80))
OPENED = (PortMapping(V4, 0, 80), PortMapping(V6, 0, 80))


def plugged(net: Network, *addresses: str, number: int = 0) -> Endpoint:
    """Return an endpoint as it is while its container runs."""
    taken = [f"eth{n}" for n in range(number)]
    joined = plumbed(endpoint(net), net, tuple(ip_interface(each) for each in addresses), taken)
    return replace(joined, host_interface=f"nd-{net.name}")


IN_DUAL = plugged(DUAL, "10.0.0.2/24", "fd00::2/64")
IN_BACK = plugged(BACK, "10.1.0.2/24", number=1)


def state(*containers: Container, networks: tuple[Network, ...] = (DUAL, BACK)) -> FirewallState:
    return firewall_state(networks, containers)


def led(made: Container, *networks: Network) -> list[Publication]:
    return [*publications(made, {each.id: each for each in networks or (DUAL, BACK)})]


def targets(made: Container, *networks: Network) -> list[str]:
    return [f"{each.network} {each.address}" for each in led(made, *networks)]


def test_a_published_port_is_told_with_all_that_is_known_of_it() -> None:
    mapping = PortMapping(ip_address("192.0.2.1"), 7000, 6000, protocol="udp", count=3)

    assert led(container("web", IN_DUAL, published=(mapping,))) == [
        Publication(
            network="dual",
            container="web",
            protocol="udp",
            address=ip_address("10.0.0.2"),
            port=6000,
            host_address=ip_address("192.0.2.1"),
            host_port=7000,
            count=3,
        )
    ]


@pytest.mark.parametrize("endpoints", [(IN_DUAL, IN_BACK), (IN_BACK, IN_DUAL)])
def test_each_family_leads_to_the_endpoint_that_gives_its_default_route(
    endpoints: tuple[Endpoint, ...],
) -> None:
    first = {"dual": "dual 10.0.0.2", "back": "back 10.1.0.2"}[endpoints[0].network_name]

    web = container("web", *endpoints, published=PUBLISHED)

    assert targets(web) == [first, "dual fd00::2"]


def test_a_port_leads_to_the_endpoint_of_the_highest_gateway_priority() -> None:
    wanted = replace(IN_BACK, request=replace(IN_BACK.request, gateway_priority=1))

    web = container("web", IN_DUAL, wanted, published=PUBLISHED)

    assert targets(web) == ["back 10.1.0.2", "dual fd00::2"]


def test_the_kernel_leads_no_ipv6_to_a_container_without() -> None:
    assert targets(container("web", IN_BACK, published=PUBLISHED)) == ["back 10.1.0.2"]


def test_an_internal_network_is_led_to_by_no_port() -> None:
    inside = replace(DUAL, internal=True)
    web = container("web", plugged(inside, "10.0.0.2/24", "fd00::2/64"), published=PUBLISHED)

    assert targets(web, inside) == []


def test_routed_ports_are_open_at_every_endpoint_that_is_routed() -> None:
    other = replace(BACK, options={f"{MODE}4": "routed"})
    plain = network("plain", subnet("10.2.0.0/24", "10.2.0.1"))
    endpoints = (plugged(plain, "10.2.0.2/24"), IN_BACK, IN_DUAL)

    web = container("web", *endpoints, published=OPENED)

    told = ["back 10.1.0.2", "dual 10.0.0.2", "dual fd00::2"]
    assert targets(web, ROUTED, other, plain) == told
    assert {each.host_port for each in led(web, ROUTED, other, plain)} == {0}


def test_nothing_is_translated_into_a_routed_network_nor_open_in_another() -> None:
    assert targets(container("web", IN_DUAL, published=PUBLISHED), ROUTED) == []
    assert targets(container("web", IN_DUAL, published=OPENED), DUAL) == []


def test_each_family_has_its_own_mode() -> None:
    mixed = replace(DUAL, options={f"{MODE}6": "routed"})
    web = container("web", IN_DUAL, published=(*PUBLISHED, *OPENED))

    assert [(each.address.version, each.host_port) for each in led(web, mixed)] == [
        (4, 8080),
        (6, 0),
    ]


def test_ports_of_containers_are_told_by_container() -> None:
    web, db = (container(name, IN_DUAL, published=PUBLISHED[:1]) for name in ("web", "db"))
    quiet = container("quiet", IN_BACK)

    told = state(web, db, quiet).published

    assert {id_: [each.container for each in group] for id_, group in told.items()} == {
        web.id: ["web"],
        db.id: ["db"],
    }


def test_what_a_container_may_speak_as_is_told_of_every_endpoint() -> None:
    assert state(container("web", IN_DUAL, IN_BACK)).ports == (
        BridgePort(
            "nd-dual",
            "02:42:0a:00:00:02",
            (ip_interface("10.0.0.2/24"), ip_interface("fd00::2/64")),
            "dual",
            "web",
        ),
        BridgePort("nd-back", "02:42:0a:01:00:02", (ip_interface("10.1.0.2/24"),), "back", "web"),
    )


def test_endpoints_that_are_not_plumbed_do_not_count() -> None:
    stopped = container("stopped", endpoint(DUAL), published=PUBLISHED)
    half = container("half", endpoint(DUAL), IN_BACK, published=PUBLISHED)

    told = state(stopped, half)

    assert [each.host_interface for each in told.ports] == ["nd-back"]
    assert {*told.published} == {half.id}
    assert targets(half) == ["back 10.1.0.2"]


@pytest.mark.parametrize(
    ("options", "guarded"),
    [({}, True), ({"netd.anti_spoofing": "true"}, True), ({"netd.anti_spoofing": "false"}, False)],
)
def test_the_option_of_the_network_takes_the_guard_away(
    options: dict[str, str], guarded: bool
) -> None:
    lab = replace(DUAL, options=options)

    told = state(container("web", IN_DUAL, IN_BACK), networks=(lab, BACK))

    assert [each.guarded for each in told.ports] == [guarded, True]
    rules = {"guard": True, "port nd-dual": guarded, "port nd-back": True}
    assert {*spoofing.pieces(told.ports)} == {name for name, there in rules.items() if there}


def test_networks_of_other_drivers_do_not_count() -> None:
    far = network("far", subnet("10.9.0.0/24", "10.9.0.1"), driver="overlay")
    host = network("host", driver="host", subnets=())
    web = container("web", plugged(far, "10.9.0.2/24"), IN_BACK, published=(*PUBLISHED, *OPENED))

    told = state(web, networks=(far, host, BACK))

    assert [each.name for each in told.networks] == ["back"]
    assert [each.host_interface for each in told.ports] == ["nd-back"]
    assert told.published == {web.id: ()}


def test_what_has_not_changed_is_the_same_object_again() -> None:
    web = container("web", IN_DUAL, published=PUBLISHED)
    known: Known = {}

    first, again = (firewall_state([DUAL], [web], known) for _ in range(2))

    assert first.published[web.id] is again.published[web.id]


def test_a_change_of_the_container_or_of_a_network_is_seen() -> None:
    web = container("web", IN_DUAL, published=PUBLISHED)
    known: Known = {}
    firewall_state([DUAL], [web], known)

    fewer = firewall_state([DUAL], [replace(web, published=PUBLISHED[:1])], known)
    routed = firewall_state([ROUTED], [web], known)

    assert len(fewer.published[web.id]) == 1 and routed.published == {web.id: ()}


def test_containers_that_publish_nothing_any_more_are_forgotten() -> None:
    web = container("web", IN_DUAL, published=PUBLISHED)
    known: Known = {}
    firewall_state([DUAL], [web], known)

    firewall_state([DUAL], [replace(web, published=())], known)

    assert known == {}
