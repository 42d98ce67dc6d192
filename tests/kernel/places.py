"""The world of the packet tests as values: its networks, who is where, and what is published.

outside 198.51.100.9 --- up0 -- host -- front: front1, front2     nat
        (no way to               |  |-- back: back1               nat
         containers)             |  |-- in: in1, in2              internal
neighbour 203.0.113.9 -- lan0 ---+  |-- apart: apart1, apart2     icc off
        (routes everything          |-- four: four1               no IPv6
         to the host)               |-- routed: routed1           gateway mode routed
                                    |-- open: open1               nat-unprotected
                                    |-- bare: bare1               masquerade off
                                    |-- given: given1             host_ipv4, host_ipv6
                                    |-- wide: wide1, wide2        MTU 9000
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network

from drivers.contract import Network, Subnet
from drivers.firewall import Publication
from drivers.options import BRIDGE, NETWORK
from drivers.ports import Hold

FAMILIES = (4, 6)
TRANSPORTS = ("tcp", "udp")
LENGTHS = {4: 24, 6: 64}  # of prefixes
UPLINK = {4: "198.51.100.1", 6: "2001:db8:a::1"}
OUTSIDE = {4: "198.51.100.9", 6: "2001:db8:a::9"}
LAN = {4: "203.0.113.1", 6: "2001:db8:b::1"}
NEIGHBOUR = {4: "203.0.113.9", 6: "2001:db8:b::9"}
GIVEN = {4: "198.51.100.77", 6: "2001:db8:a::77"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}

# Ports that nobody publishes: containers', and those of machines, the host's at its loopback.
HIDDEN, OWN, LOCAL = 99, 98, 631

NUMBERS = {
    "front": 10,
    "back": 11,
    "in": 12,
    "apart": 13,
    "four": 14,
    "routed": 15,
    "open": 16,
    "bare": 17,
    "given": 18,
    "wide": 19,
}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "apart": {f"{BRIDGE}enable_icc": "false"},
    "routed": {f"{BRIDGE}gateway_mode_ipv{n}": "routed" for n in FAMILIES},
    "open": {f"{BRIDGE}gateway_mode_ipv{n}": "nat-unprotected" for n in FAMILIES},
    "bare": {f"{BRIDGE}enable_ip_masquerade": "false"},
    "given": {f"{NETWORK}host_ipv{n}": GIVEN[n] for n in FAMILIES},
    "wide": {f"{NETWORK}driver.mtu": "9000"},
}
CONTAINERS = (
    *("front1", "front2", "back1", "in1", "in2", "apart1", "apart2", "four1"),
    *("routed1", "open1", "bare1", "given1", "wide1", "wide2"),
)


def network(name: str) -> Network:
    number = NUMBERS[name]
    subnets = (
        Subnet(ip_network(f"10.{number}.0.0/24"), ip_address(f"10.{number}.0.1")),
        Subnet(ip_network(f"fd00:{number}::/64"), ip_address(f"fd00:{number}::1")),
    )
    return Network(
        id=f"{number:02x}" * 32,
        name=name,
        subnets=subnets[: 1 if name == "four" else 2],
        internal=name == "in",
        options=OPTIONS.get(name, {}),
    )


def at(box: str, family: int) -> str:
    """Return a container's address; front0 is the host in front."""
    name, number = box[:-1], int(box[-1]) + 1
    return f"10.{NUMBERS[name]}.0.{number}" if family == 4 else f"fd00:{NUMBERS[name]}::{number}"


def of(box: str) -> Mapping[int, str]:
    """Return a container's addresses by family."""
    return {family: at(box, family) for family in families(box)}


def families(box: str) -> tuple[int, ...]:
    return tuple(subnet.prefix.version for subnet in network(box[:-1]).subnets)


def publications() -> Iterator[Publication]:
    for protocol in TRANSPORTS:
        for box, where, *run in (
            ("front1", ANY, 8080, 80),
            ("front1", UPLINK, 8081, 81),
            ("back1", LAN, 8081, 81),
            ("front1", LOOPBACK, 8082, 82),
            ("four1", ANY, 8083, 80),
            ("apart1", ANY, 8084, 80),
            ("open1", ANY, 8085, 80),
            ("bare1", ANY, 8086, 80),
            ("given1", ANY, 8087, 80),
            ("front1", ANY, 7000, 6000, 3),
            ("front1", ANY, 9000, 9000, 3),
            ("routed1", ANY, 0, 80),
            ("routed1", ANY, 0, 6000, 3),
        ):
            for family in families(box):
                yield publication(box, protocol, where[family], *run)
    if has_sctp():
        for family in FAMILIES:
            yield publication("front1", "sctp", ANY[family], 8088, 83)


def publication(
    box: str, protocol: str, where: str, host_port: int, port: int, count: int = 1
) -> Publication:
    host_address = ip_address(where)
    address = ip_address(at(box, host_address.version))
    return Publication(box[:-1], box, protocol, address, port, host_address, host_port, count)


def holds() -> Iterator[Hold]:
    """Yield what holds the ports as a daemon would: one socket for all addresses of the host."""
    for each in publications():
        hold = Hold(each.protocol, each.host_address, each.host_port, each.count)
        to = {"target": ip_address(at(each.container, families(each.container)[-1]))}
        hold = replace(hold, **to, target_port=each.port)  # type: ignore[arg-type]
        if not each.host_port:
            continue
        if not each.host_address.is_unspecified:
            yield hold
        elif each.address.version == 4:
            yield replace(hold, address=ip_address("::"), dual=True)


def has_sctp() -> bool:
    with suppress(OSError), socket.socket(type=socket.SOCK_STREAM, proto=socket.IPPROTO_SCTP):
        return True
    return False
