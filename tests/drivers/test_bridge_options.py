"""Docker's options of bridge networks: what they mean, and what is refused."""

from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, cast

import pytest

from drivers.bridge import BridgeDriver, bridge_name
from drivers.contract import Network, Subnet
from drivers.host import HostDriver
from drivers.null import NullDriver
from drivers.options import BridgeOptions, bridge_options

B = "com.docker.network.bridge."
N = "com.docker.network."
NO_LINKS = cast("Any", None)  # problems are found without a kernel


def network(*, internal: bool = False, subnets: str = "10.7.0.0/24", **options: str) -> Network:
    return Network(
        id="f0" * 32,
        name="front",
        subnets=tuple(Subnet(ip_network(text), None) for text in subnets.split()),
        internal=internal,
        options=options,
    )


def test_no_options_are_dockers_defaults() -> None:
    assert bridge_options({}) == (BridgeOptions(), [])


def test_options_are_understood() -> None:
    options = {
        B + "name": "br0",
        B + "enable_icc": "F",
        B + "enable_ip_masquerade": "0",
        B + "gateway_mode_ipv4": "routed",
        B + "inhibit_ipv4": "true",
        N + "driver.mtu": "1400",
        N + "container_iface_prefix": "lan",
        N + "host_ipv4": "192.0.2.1",
        B + "host_binding_ipv4": "127.0.0.1",
        "netd.anti_spoofing": "false",
    }

    assert bridge_options(options) == (
        BridgeOptions(
            bridge="br0",
            icc=False,
            masquerade=False,
            modes={4: "routed", 6: "nat"},
            inhibit_ipv4=True,
            mtu_bytes=1400,
            interface_prefix="lan",
            sources={4: IPv4Address("192.0.2.1")},
            host_binding=IPv4Address("127.0.0.1"),
            anti_spoofing=False,
        ),
        [],
    )


@pytest.mark.parametrize("text", ["1", "true", "True"])
def test_containers_speak_for_themselves_unless_said_otherwise(text: str) -> None:
    assert bridge_options({"netd.anti_spoofing": text}) == bridge_options({})
    assert bridge_options({})[0].anti_spoofing


@pytest.mark.parametrize(("text", "address"), [("::1", ip_address("::1")), ("", None)])
def test_ports_may_be_published_at_an_ipv6_address_or_the_daemons_default(
    text: str, address: object
) -> None:
    said, problems = bridge_options({B + "host_binding_ipv4": text})

    assert (said.host_binding, problems) == (address, [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (N + "driver.mtu", "0"),
        (N + "enable_ipv4", "true"),
        (N + "unknown", "anything"),
        (B + "default_bridge", "true"),
        (B + "trusted_host_interfaces", "eth0:eth1"),
        ("parent", "eth0"),
    ],
)
def test_options_without_effect_here_are_accepted(key: str, value: str) -> None:
    assert bridge_options({key: value}) == (BridgeOptions(), [])


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (N + "driver.mtu", "abc", "must be a number of bytes"),
        (N + "driver.mtu", "-5", "must be a number of bytes"),
        (N + "driver.mtu", "٣", "must be a number of bytes"),
        (N + "driver.mtu", "67", "must be between 68 and 65535"),
        (N + "driver.mtu", "65536", "must be between 68 and 65535"),
        (N + "host_ipv4", "fd00::1", "must be an IPv4 address"),
        (N + "host_ipv6", "192.0.2.1", "must be an IPv6 address"),
        (N + "container_iface_prefix", "a/b", "'/'"),
        (N + "container_iface_prefix", "fourteenletter", "1 to 15 octets"),
        (B + "name", "sixteen-letters-", "must have 1 to 15 octets"),
        (B + "name", "a b", "spaces"),
        (B + "name", "a/b", "'/'"),
        (B + "name", "br%d", "'%'"),
        (B + "name", "..", "must not contain"),
        (B + "enable_icc", "yes", "must be true or false"),
        (B + "enable_ip_masquerade", "", "must be true or false"),
        (B + "inhibit_ipv4", "2", "must be true or false"),
        (B + "default_bridge", "maybe", "must be true or false"),
        ("netd.anti_spoofing", "off", "must be true or false"),
        ("netd.anti_spoofing", "", "must be true or false"),
        (B + "gateway_mode_ipv4", "bridge", "one of nat, nat-unprotected, routed, isolated"),
        (B + "gateway_mode_ipv6", "", "one of nat, nat-unprotected, routed, isolated"),
        (B + "host_binding_ipv4", "localhost", "must be an IPv4 or IPv6 address"),
    ],
)
def test_an_impossible_value_is_named_with_its_key(key: str, value: str, why: str) -> None:
    (problem,) = BridgeDriver(NO_LINKS).problems(network(**{key: value}))

    assert problem.startswith(f"option {key}={value!r}: ") and why in problem


def test_all_problems_are_told_at_once() -> None:
    wrong = {B + "enable_icc": "x", N + "driver.mtu": "y", B + "gateway_mode_ipv4": "isolated"}

    assert len(BridgeDriver(NO_LINKS).problems(network(**wrong))) == 3


def test_only_internal_networks_have_an_isolated_gateway() -> None:
    mode = {B + "gateway_mode_ipv6": "isolated"}

    assert BridgeDriver(NO_LINKS).problems(network(internal=True, **mode)) == []
    (problem,) = BridgeDriver(NO_LINKS).problems(network(**mode))
    assert problem.endswith("gateway_mode_ipv6='isolated': the network must be internal")


def test_ipv6_needs_an_mtu_of_1280() -> None:
    small = {N + "driver.mtu": "1279"}

    assert BridgeDriver(NO_LINKS).problems(network(**small)) == []
    (problem,) = BridgeDriver(NO_LINKS).problems(network(subnets="fd00::/64", **small))
    assert problem == f"option {N}driver.mtu='1279': IPv6 needs at least 1280 bytes"


def test_a_bridge_is_named_by_option_or_by_id() -> None:
    assert bridge_name(network()) == "nd-f0f0f0f0f0f0"
    assert bridge_name(network(**{B + "name": ""})) == "nd-f0f0f0f0f0f0"
    assert bridge_name(network(**{B + "name": "br0"})) == "br0"


@pytest.mark.parametrize("driver", [HostDriver, NullDriver])
def test_networks_that_are_not_plumbed_have_no_subnets(driver: type[HostDriver]) -> None:
    unplumbed = driver(NO_LINKS)

    assert unplumbed.problems(network(subnets="")) == []
    assert len(unplumbed.problems(network(internal=True, subnets="10.0.0.0/8 fd00::/64"))) == 3


def test_gateway_addresses_are_no_part_of_the_options() -> None:
    subnet = Subnet(ip_network("10.7.0.0/24"), ip_address("10.7.0.1"))

    assert BridgeDriver(NO_LINKS).problems(Network("f0" * 32, "front", (subnet,))) == []
