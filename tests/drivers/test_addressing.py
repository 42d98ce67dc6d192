"""Names and hardware addresses of interfaces."""

from ipaddress import ip_address

import pytest

from drivers.addressing import (
    host_interface_name,
    interface_name,
    interface_name_problem,
    mac_of,
)


def test_an_ipv4_address_has_dockers_hardware_address() -> None:
    assert mac_of(ip_address("172.17.0.2")) == "02:42:ac:11:00:02"


def test_an_ipv6_address_always_has_the_same_hardware_address() -> None:
    one, other = (mac_of(ip_address(f"fd00::{n}")) for n in (1, 2))

    assert one == mac_of(ip_address("fd00::1")) != other
    assert one.startswith("02:42:") and len(one) == 17


def test_an_id_has_a_hardware_address() -> None:
    assert mac_of("0123456789abcdef" * 4) == "02:42:01:23:45:67"


@pytest.mark.parametrize(
    ("taken", "free"),
    [((), "eth0"), (("eth0",), "eth1"), (("eth1", "eth2"), "eth0"), (("eth0", "eth2"), "eth1")],
)
def test_the_lowest_free_name_is_taken(taken: tuple[str, ...], free: str) -> None:
    assert interface_name("eth", taken) == free


def test_the_hosts_ends_of_an_endpoint_never_have_the_same_name() -> None:
    names = {host_interface_name("ab" * 32) for _ in range(50)}

    assert len(names) == 50
    assert all(name.startswith("ndababab") and len(name) <= 15 for name in names)
    assert all(interface_name_problem(name) is None for name in names)


@pytest.mark.parametrize("name", ["eth0", "br-0.100", "x" * 15, "ü"])
def test_the_kernel_takes_these_names(name: str) -> None:
    assert interface_name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "x" * 16, "ü" * 8, ".", "..", "a/b", "a b", "a:1", "a\n", "a%d"]
)
def test_the_kernel_does_not_take_these_names(name: str) -> None:
    assert interface_name_problem(name)
