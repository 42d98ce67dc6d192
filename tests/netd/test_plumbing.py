from ipaddress import ip_address, ip_interface

from makers import container, endpoint, network, subnet
from msgspec.structs import replace

from netd.plumbing import default_gateways, gateway_endpoints, gateways, plumbed, unplumbed

DUAL = network("dual", subnet(), subnet("fd00::/64", "fd00::1"))
BACK = network("back", subnet("10.1.0.0/24", "10.1.0.1"))


def test_an_endpoint_gets_the_lowest_free_interface_and_a_mac_from_its_address() -> None:
    made = plumbed(endpoint(DUAL), DUAL, (ip_interface("10.0.0.2/24"),), ["eth0", "eth2"])

    assert (made.interface, made.mac) == ("eth1", "02:42:0a:00:00:02")
    assert made.gateways == (ip_address("10.0.0.1"), ip_address("fd00::1"))


def test_unplumbing_forgets_all_but_what_the_user_asked_for() -> None:
    asked = endpoint(DUAL, aliases=("www",))

    assert unplumbed(plumbed(asked, DUAL, (ip_interface("10.0.0.2/24"),), [])) == asked


def test_an_internal_network_offers_no_way_out() -> None:
    assert gateways(network("inside", internal=True)) == ()


def test_an_own_router_named_as_docker_does_is_the_gateway() -> None:
    own = subnet(auxiliary={"DefaultGatewayIPv4": ip_address("10.0.0.254")})

    assert gateways(network("front", own)) == (ip_address("10.0.0.254"),)


def test_the_network_attached_first_gives_the_default_route_of_each_family_it_has() -> None:
    web = container(
        "web",
        endpoint(BACK, "10.1.0.2/24", interface="eth0"),
        endpoint(DUAL, "10.0.0.2/24", "fd00::2/64", interface="eth1"),
    )

    assert default_gateways(web) == {
        4: ("eth0", ip_address("10.1.0.1")),
        6: ("eth1", ip_address("fd00::1")),
    }


def test_the_endpoints_of_both_default_routes_may_differ() -> None:
    first = endpoint(BACK, "10.1.0.2/24", interface="eth0")
    second = endpoint(DUAL, "10.0.0.2/24", "fd00::2/64", interface="eth1")

    assert gateway_endpoints(container("web", first, second)) == {4: first, 6: second}


def test_a_higher_priority_wins_over_the_order() -> None:
    second = endpoint(DUAL, "10.0.0.2/24", interface="eth1", gateway_priority=1)
    web = container("web", endpoint(BACK, "10.1.0.2/24"), second)

    assert default_gateways(web)[4] == ("eth1", ip_address("10.0.0.1"))


def test_without_a_way_out_there_is_no_default_route() -> None:
    inside = replace(endpoint(BACK, "10.1.0.2/24"), gateways=())

    assert default_gateways(container("web", inside)) == {4: None, 6: None}
    assert gateway_endpoints(container("web", inside)) == {4: None, 6: None}
