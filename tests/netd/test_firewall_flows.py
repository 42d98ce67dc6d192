"""Which flows are forgotten when published ports change."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from drivers.conntrack import HostPort
from drivers.firewall import BridgePort, FirewallState, Publication
from netd.firewall import _gone_addresses, _moved_ports

ANY = ip_address("0.0.0.0")
WEB = Publication("front", "web", "tcp", ip_address("10.0.0.2"), 80, ANY, 8080)
DNS = replace(WEB, protocol="udp", port=5353, host_port=53)
BEFORE = FirewallState(published={"c": (WEB, DNS)})
WEB_PORT, DNS_PORT = HostPort("tcp", ANY, 8080), HostPort("udp", ANY, 53)


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        ({"c": (WEB, DNS)}, set()),
        ({}, {WEB_PORT, DNS_PORT}),
        ({"c": (WEB,)}, {DNS_PORT}),
        ({"c": (WEB, replace(DNS, address=ip_address("10.0.0.3")))}, {DNS_PORT}),
        ({"c": (replace(WEB, container="shop"), replace(DNS, container="shop"))}, set()),
        ({"c": (WEB, DNS), "d": (replace(WEB, host_port=81),)}, set()),
        ({"c": (WEB, DNS), "d": (replace(DNS, host_port=54),)}, {HostPort("udp", ANY, 54)}),
        ({"c": (WEB, DNS), "d": (replace(DNS, host_port=0),)}, set()),
    ],
    ids=[
        "same",
        "all gone",
        "one gone",
        "another address",
        "renamed",
        "new tcp",
        "new udp",
        "routed",
    ],
)
def test_flows_go_with_what_a_port_meant(
    after: dict[str, tuple[Publication, ...]], moved: set[HostPort]
) -> None:
    assert {*_moved_ports(BEFORE, FirewallState(published=after))} == moved


def test_flows_go_with_the_addresses_of_a_container() -> None:
    both = (ip_interface("10.0.0.2/24"), ip_interface("fd00::2/64"))
    port = BridgePort("nd1", "02:42:0a:00:00:02", both, "front", "web")
    before = FirewallState(ports=(port,))

    assert _gone_addresses(before, FirewallState()) == {each.ip for each in both}
    assert _gone_addresses(before, replace(before, not_a_router=frozenset({4}))) == set()
