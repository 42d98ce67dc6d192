"""A state with every kind of network and published port, for the tests of both firewalls."""

from ipaddress import ip_address, ip_network

from drivers.firewall import FirewallNetwork, FirewallState, Publication

V4, V6 = ip_network("10.7.0.0/24"), ip_network("fd00:7::/64")
NETWORKS = [
    FirewallNetwork(
        "nd-0123456789ab", (V4, V6), internal=False, icc=True, masquerade=True, name="front"
    ),
    FirewallNetwork(
        "br1",
        (ip_network("10.8.0.0/24"), ip_network("fd00:8::/64")),
        internal=False,
        icc=False,
        masquerade=True,
        name="snat",
        routed=frozenset(),
        sources={4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")},
    ),
    FirewallNetwork(
        "br2",
        (ip_network("10.9.0.0/24"), ip_network("fd00:9::/64")),
        internal=False,
        icc=True,
        masquerade=True,
        name="routed",
        routed=frozenset({4, 6}),
    ),
    FirewallNetwork(
        "br3", (ip_network("10.10.0.0/24"),), internal=True, icc=True, masquerade=True, name="in"
    ),
]


def published(
    protocol: str, where: str, host_port: int, to: str, port: int, count: int = 1
) -> Publication:
    return Publication(
        "front", "web", protocol, ip_address(to), port, ip_address(where), host_port, count
    )


PORTS = (
    published("tcp", "0.0.0.0", 8080, "10.7.0.2", 80),
    published("udp", "192.0.2.1", 53, "10.7.0.2", 5353),
    published("tcp", "127.0.0.1", 9000, "10.7.0.2", 9000, 3),
    published("udp", "0.0.0.0", 7000, "10.7.0.2", 6000, 3),
    published("sctp", "0.0.0.0", 99, "10.7.0.2", 99),
    published("sctp", "0.0.0.0", 100, "10.7.0.2", 100, 3),
    published("tcp", "::", 8080, "fd00:7::2", 80),
    published("udp", "::", 7000, "fd00:7::2", 6000, 3),
    published("tcp", "0.0.0.0", 0, "10.9.0.2", 80, 2),
    published("tcp", "::", 0, "fd00:9::2", 80),
)
STATE = FirewallState(tuple(NETWORKS), published={"c": PORTS}, not_a_router=frozenset({4, 6}))
