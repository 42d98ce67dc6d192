"""Which sockets keep published ports."""

from ipaddress import ip_address

import pytest

from drivers.ports import Hold
from netd.model import Address, PortMapping
from netd.port_holds import holds, surplus

V4, V6 = ip_address("0.0.0.0"), ip_address("::")
LOCAL = ip_address("127.0.0.1")
TARGETS = {4: ip_address("10.0.0.2"), 6: ip_address("fd00::2")}


def mapping(address: Address, host_port: int, port: int = 80, **more: object) -> PortMapping:
    return PortMapping(address, host_port, port, **more)


def test_both_wildcards_of_a_port_are_one_socket_that_relays_ipv6() -> None:
    both = (mapping(V4, 8080), mapping(V6, 8080))

    assert holds(both, TARGETS) == (
        Hold("tcp", V6, 8080, dual=True, target=TARGETS[6], target_port=80),
    )


def test_ipv6_is_relayed_to_the_ipv4_address_where_there_is_no_other() -> None:
    at_loopback = mapping(ip_address("::1"), 8080, count=3)

    assert holds([at_loopback], {4: TARGETS[4]}) == (
        Hold("tcp", ip_address("::1"), 8080, 3, target=TARGETS[4], target_port=80),
    )


def test_ipv4_is_held_and_not_relayed() -> None:
    assert holds([mapping(LOCAL, 8080, protocol="udp")], TARGETS) == (Hold("udp", LOCAL, 8080),)


@pytest.mark.parametrize(
    "other", [mapping(V6, 8081), mapping(V6, 8080, protocol="udp"), mapping(V6, 8080, count=2)]
)
def test_wildcards_of_different_ports_are_two_sockets(other: PortMapping) -> None:
    assert [each.dual for each in holds([mapping(V4, 8080), other])] == [False, False]


def test_what_is_routed_is_not_held() -> None:
    assert holds([mapping(V4, 0)], TARGETS) == ()


def test_nothing_is_relayed_without_a_target() -> None:
    assert holds([mapping(V6, 8080)]) == (Hold("tcp", V6, 8080),)


def test_what_is_not_wanted_any_more_is_let_go_of_port_by_port() -> None:
    run = Hold("tcp", V6, 8000, 10, dual=True, target=TARGETS[6], target_port=80)
    rest = (Hold("tcp", V6, 8002, 2, dual=True), Hold("tcp", V6, 8009, dual=True))

    assert surplus([run], rest) == (
        Hold("tcp", V6, 8000, 2, dual=True),
        Hold("tcp", V6, 8004, 5, dual=True),
    )
    assert surplus([run], [run]) == ()


@pytest.mark.parametrize(
    "other", [Hold("udp", V6, 8080, dual=True), Hold("tcp", V4, 8080), Hold("tcp", V6, 8080)]
)
def test_another_socket_of_the_same_port_is_let_go_of(other: Hold) -> None:
    assert surplus([other], [Hold("tcp", V6, 8080, dual=True)]) == (other,)
