"""Subnets: as asked for and as planned, and which of their addresses nobody can have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ipam.prefixes import Address, Prefix, span

# Docker's names for auxiliary addresses that containers get as their gateway.
GATEWAY_OVERRIDES = ("DefaultGatewayIPv4", "DefaultGatewayIPv6")


@dataclass(frozen=True, slots=True)
class SubnetRequest:
    """Subnet settings as typed by the user; empty texts were not given.

    A subnet of 0.0.0.0/26 or ::/80 asks for any free one of this size.
    """

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subnet:
    """One subnet of a network, as it is used."""

    prefix: Prefix
    gateway: Address | None = None  # absent: the network has none
    ip_range: Prefix | None = None  # absent: addresses come from the whole prefix
    auxiliary: Mapping[str, Address] = field(default_factory=dict)
    chosen: bool = False  # by the user, not by the pools


def reserved(prefix: Prefix) -> dict[int, str]:
    """Return the addresses that no host can have, as numbers, with their names.

    Point-to-point and single-address prefixes have none (RFC 3021, RFC 6164); IPv6 has no
    broadcast, but its first address means "any router here" (RFC 4291 2.6.1).
    """
    first, last = span(prefix)
    if last - first <= 1:
        return {}
    if prefix.version == 6:
        return {first: "the subnet-router anycast address"}
    return {first: "the network address", last: "the broadcast address"}
