"""Subnets planned from requests, pools and what others use."""

from ipaddress import IPv4Network, ip_address, ip_network

import pytest

from ipam import (
    DEFAULT_POOLS,
    Pool,
    PoolExhaustedError,
    Prefix,
    Subnet,
    SubnetRequest,
    plan,
    unique_local_pool,
)

POOLS = (*DEFAULT_POOLS, unique_local_pool(b"test"))
ULA = unique_local_pool(b"test").base


def planned(
    *requests: SubnetRequest,
    ipv6: bool = False,
    taken: dict[Prefix, str] | None = None,
    gateway: bool = True,
) -> tuple[Subnet, ...]:
    return plan(
        requests, ipv4=True, ipv6=ipv6, pools=POOLS, taken=taken or {}, wants_gateway=gateway
    )


def test_a_network_without_requests_gets_the_first_subnet_of_the_pools() -> None:
    assert planned() == (Subnet(ip_network("172.17.0.0/24"), ip_address("172.17.0.1")),)


def test_a_dual_stack_network_gets_a_subnet_of_each_family_version_four_first() -> None:
    four, six = planned(ipv6=True)

    assert (four.prefix.version, six.prefix.version) == (4, 6)
    assert six.prefix == ip_network(f"{ULA.network_address}/64")
    assert six.gateway == ip_address(int(ULA.network_address) + 1)


def test_a_family_without_a_request_is_planned_beside_a_chosen_one() -> None:
    four, six = planned(SubnetRequest("fd00:1::/64"), ipv6=True)

    assert (str(four.prefix), four.chosen) == ("172.17.0.0/24", False)
    assert (str(six.prefix), six.chosen) == ("fd00:1::/64", True)


def test_a_network_with_both_families_disabled_has_no_subnets() -> None:
    assert plan([], ipv4=False, ipv6=False, pools=POOLS, taken={}) == ()


def test_all_settings_of_a_chosen_subnet_are_kept() -> None:
    request = SubnetRequest(
        "10.1.0.0/16", "10.1.255.254", "10.1.5.0/24", {"router": "10.1.5.1", "nas": "10.1.9.9"}
    )

    assert planned(request) == (
        Subnet(
            ip_network("10.1.0.0/16"),
            ip_address("10.1.255.254"),
            ip_network("10.1.5.0/24"),
            {"router": ip_address("10.1.5.1"), "nas": ip_address("10.1.9.9")},
            chosen=True,
        ),
    )


def test_an_empty_request_is_an_automatic_subnet() -> None:
    assert planned(SubnetRequest()) == planned()


def test_two_subnets_of_one_family_are_planned_in_their_order() -> None:
    subnets = planned(SubnetRequest("10.2.0.0/24"), SubnetRequest("10.1.0.0/24"))

    assert [str(subnet.prefix) for subnet in subnets] == ["10.2.0.0/24", "10.1.0.0/24"]


@pytest.mark.parametrize(
    ("subnet", "gateway"),
    [
        ("10.0.0.0/24", "10.0.0.1"),
        ("10.0.0.0/30", "10.0.0.1"),
        ("10.0.0.0/31", "10.0.0.0"),
        ("10.0.0.0/32", None),
        ("fd00:1::/64", "fd00:1::1"),
        ("fd00:1::/127", "fd00:1::"),
        ("fd00:1::/128", None),
    ],
)
def test_the_gateway_is_the_first_address_a_host_can_have(subnet: str, gateway: str | None) -> None:
    chosen = [each for each in planned(SubnetRequest(subnet), ipv6=True) if each.chosen]

    assert chosen[0].gateway == (gateway and ip_address(gateway))


def test_the_automatic_gateway_steps_over_auxiliary_addresses_also_in_a_64() -> None:
    names = {"a": "fd00:1::1", "b": "fd00:1::2", "c": "fd00:1::4"}

    subnet = planned(SubnetRequest("fd00:1::/64", auxiliary=names), ipv6=True)[1]

    assert subnet.gateway == ip_address("fd00:1::3")


def test_the_automatic_gateway_may_lie_outside_the_range_of_dynamic_addresses() -> None:
    (subnet,) = planned(SubnetRequest("10.0.0.0/16", ip_range="10.0.5.0/24"))

    assert subnet.gateway == ip_address("10.0.0.1")


def test_dockers_gateway_override_stays_an_auxiliary_address() -> None:
    override = {"DefaultGatewayIPv4": "10.0.0.1"}

    (subnet,) = planned(SubnetRequest("10.0.0.0/24", auxiliary=override))

    assert subnet.auxiliary == {"DefaultGatewayIPv4": ip_address("10.0.0.1")}
    assert subnet.gateway == ip_address("10.0.0.2")


def test_dockers_gateway_override_may_name_the_gateway_itself() -> None:
    override = {"DefaultGatewayIPv4": "10.0.0.1"}

    (subnet,) = planned(SubnetRequest("10.0.0.0/24", "10.0.0.1", auxiliary=override))

    assert subnet.gateway == subnet.auxiliary["DefaultGatewayIPv4"]


def test_a_network_that_wants_no_gateway_has_only_a_requested_one() -> None:
    requested = SubnetRequest("10.0.0.0/24", "10.0.0.9")

    assert planned(gateway=False)[0].gateway is None
    assert planned(requested, gateway=False)[0].gateway == ip_address("10.0.0.9")


def test_a_request_for_any_subnet_of_a_size_gets_one_from_the_pools() -> None:
    taken: dict[Prefix, str] = {ip_network("172.17.0.0/26"): "network a"}

    four, six = planned(SubnetRequest("0.0.0.0/26"), SubnetRequest("::/80"), ipv6=True, taken=taken)

    assert str(four.prefix) == "172.17.0.64/26"
    assert str(six.prefix) == f"{ULA.network_address}/80"
    assert four.chosen and six.chosen


def test_requests_for_a_size_do_not_settle_on_named_subnets_of_the_same_network() -> None:
    subnets = planned(
        SubnetRequest("0.0.0.0/24"), SubnetRequest("0.0.0.0/24"), SubnetRequest("172.17.0.0/24")
    )

    assert [str(subnet.prefix) for subnet in subnets] == [
        "172.17.1.0/24", "172.17.2.0/24", "172.17.0.0/24",
    ]  # fmt: skip


def test_automatic_subnets_step_over_networks_and_routes() -> None:
    taken: dict[Prefix, str] = {
        ip_network("172.16.0.0/12"): "route 172.16.0.0/12 dev tun0",
        ip_network("192.168.0.0/24"): "network a",
        ip_network("192.168.1.128/32"): "route 192.168.1.128 dev eth0",
    }

    assert str(planned(taken=taken)[0].prefix) == "192.168.2.0/24"


@pytest.mark.parametrize(
    "default",
    ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1", "2000::/3"],
)
def test_a_default_route_is_in_nobodys_way_nor_are_its_halves(default: str) -> None:
    taken = {ip_network(default): f"route {default} dev tun0"}
    chosen = (SubnetRequest("10.0.0.0/24"), SubnetRequest("2001:db8::/64"))

    assert planned(ipv6=True, taken=taken) == planned(ipv6=True)
    assert planned(*chosen, ipv6=True, taken=taken) == planned(*chosen, ipv6=True)


def test_exhausted_pools_are_named_with_those_who_hold_them() -> None:
    pools = (Pool(ip_network("10.0.0.0/22"), 24), Pool(ip_network("10.9.0.0/24"), 24))
    taken: dict[Prefix, str] = {ip_network(f"10.0.{i}.0/24"): f"network n{i}" for i in range(4)}
    taken[ip_network("10.9.0.0/16")] = "route 10.9.0.0/16 dev tun0"
    taken[ip_network("10.200.0.0/16")] = "network elsewhere"

    with pytest.raises(PoolExhaustedError) as caught:
        plan([], ipv4=True, ipv6=False, pools=pools, taken=taken)

    assert str(caught.value) == (
        "no free IPv4 subnet is left in the address pools 10.0.0.0/22, 10.9.0.0/24: 5 are taken,"
        " by 10.0.0.0/24 (network n0), 10.0.1.0/24 (network n1), 10.0.2.0/24 (network n2)"
        " and 2 more"
    )


def test_a_family_without_a_pool_and_without_a_subnet_is_told() -> None:
    with pytest.raises(PoolExhaustedError, match="no IPv6 address pool is set"):
        plan([], ipv4=True, ipv6=True, pools=DEFAULT_POOLS, taken={})


def test_every_network_of_the_default_pools_can_be_planned_once() -> None:
    taken: dict[Prefix, str] = {each: "" for base in DEFAULT_POOLS for each in _cut(base)}
    last = ip_network("192.168.255.0/24")
    del taken[last]

    assert planned(taken=taken)[0].prefix == last


def _cut(base: Pool) -> list[IPv4Network]:
    assert isinstance(base.base, IPv4Network)
    return list(base.base.subnets(new_prefix=base.size))
