"""Routes as the kernel lists them, and what of them matters to netd."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from drivers.contract import Address, Prefix

MAIN, LOCAL = 254, 255  # routing tables, linux/rtnetlink.h
UNICAST, HERE = 1, 2
# Types of routes whose prefix is spoken for: the above, blackhole, unreachable, prohibit.
TAKEN = (UNICAST, HERE, 6, 7, 8)
FAMILIES = {2: 4, 10: 6}  # AF_INET, AF_INET6


@dataclass(frozen=True, slots=True)
class Route:
    """Where the host sends packets for a prefix; an address of the host itself is one too."""

    prefix: Prefix
    interface: str  # empty: nowhere
    gateway: Address | None  # absent: on the link


def routes(messages: Iterable[Any], names: Mapping[int, str]) -> Iterator[Route]:
    """Yield the routes of all tables that claim a prefix, of the interfaces named.

    Default routes claim nothing, and neither do the halves of everything that VPNs use in their
    stead; loopback, link-local and multicast prefixes are everybody's.
    """
    for message in messages:
        if message.get("type") not in TAKEN or message.get("family") not in FAMILIES:
            continue
        prefix = _prefix(message)
        everybodys = prefix.is_loopback or prefix.is_multicast or prefix.is_link_local
        interface, gateway = _next_hop(message)
        if prefix.prefixlen <= 1 or everybodys or (interface and interface not in names):
            continue
        yield Route(prefix, names.get(interface, ""), gateway)


def uplinks(messages: Iterable[Any]) -> set[int]:
    """Return the numbers of the interfaces that the default routes of the main table use."""
    return {
        _next_hop(message)[0]
        for message in messages
        if message.get("table") == MAIN
        and message.get("type") == UNICAST
        and message.get("family") in FAMILIES
        and message.get("dst_len") <= 1
    }


def _prefix(message: Any) -> Prefix:
    anything = "0.0.0.0" if FAMILIES[message.get("family")] == 4 else "::"  # noqa: S104
    return ip_network(f"{message.get('dst') or anything}/{message.get('dst_len')}")


def _next_hop(message: Any) -> tuple[int, Address | None]:
    """Return the interface's number, 0 for none, and the gateway; the first of several."""
    several = message.get("multipath")
    hop = several[0] if several else message
    interface = hop.get("oif") or 0
    gateway = hop.get("gateway") or (hop.get("via") or {}).get("addr")
    return interface, ip_address(gateway) if gateway else None
