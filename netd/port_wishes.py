"""Where a container wants to be reached: pure functions from its settings to wishes.

A wish is one port of the container, or a run, with all addresses of the host that lead there: they
share one number, whoever chooses it (`netd.port_plan`).

    host address    the container's way out     leads there
    IPv4            by IPv4, bridge             translated by the kernel
    IPv6            by IPv6, bridge             translated by the kernel
    IPv6            by IPv4 alone, bridge       relayed by the process that holds the port
    any             a routed bridge             nothing is held: its own address is reached
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from drivers.options import Mode, bridge_options
from netd.model import Address, Container, Endpoint, Network, PortMapping, PortRequest, Transport

ANY: Mapping[int, Address] = {4: IPv4Address(0), 6: IPv6Address(0)}  # all addresses of a family

Gateways = Mapping[int, tuple[Endpoint, Network] | None]  # a container's ways out, by family


@dataclass(frozen=True, slots=True)
class Wish:
    """Ports of a container, and the host's addresses that lead there by one number."""

    port: int  # in the container, the first
    protocol: Transport
    count: int
    first: int  # of the host, the lowest choice; zero: whichever is free
    last: int  # the highest choice
    addresses: tuple[Address, ...] = ()
    routed: tuple[Address, ...] = ()  # lead there without a port of the host

    @property
    def exact(self) -> bool:
        """Whether there is one choice only."""
        return 0 < self.first == self.last

    def allows(self, number: int) -> bool:
        """Whether this is one of the choices for the host's first port."""
        return not self.first or self.first <= number <= self.last

    def mappings(self, number: int) -> tuple[PortMapping, ...]:
        """Return what is published when the host's first port is this one."""
        ends = [*((each, number) for each in self.addresses), *((each, 0) for each in self.routed)]
        return tuple(
            PortMapping(address, host_port, self.port, self.protocol, self.count)
            for address, host_port in ends
        )


def wishes(
    container: Container, gateways: Gateways, default_address: Address | None, *, ipv6: bool
) -> tuple[Wish, ...]:
    """Return what a container wants, in the order of its requests.

    `default_address` is the daemon's, for requests that name none; absent: all addresses. `ipv6`
    says whether the host has any: if not, all addresses are the IPv4 ones.
    """
    doors = _doors(gateways, default_address, ipv6=ipv6)
    grouped: dict[Wish, tuple[list[Address], list[Address]]] = {}
    for request in (*container.host.ports, *exposed(container)):
        last = max(request.host_port, request.host_last)
        bare = Wish(request.port, request.protocol, request.count, request.host_port, last)
        addresses, routed = grouped.setdefault(bare, ([], []))
        for door in doors:
            asked = request.host_address or door.default
            if asked is not None and asked.version == door.family:
                (routed if door.routed else addresses).append(asked)
    return tuple(
        replace(bare, addresses=_distinct(addresses), routed=_distinct(routed))
        for bare, (addresses, routed) in grouped.items()
        if addresses or routed
    )


def targets(gateways: Gateways) -> Mapping[int, Address]:
    """Return the container's addresses that ports of the host lead to, by family."""
    found: dict[int, Address] = {}
    for family, gateway in gateways.items():
        if gateway is not None and _mode(gateways, family):
            addresses = [each.ip for each in gateway[0].addresses if each.version == family]
            found.update((family, each) for each in addresses[:1])
    return found


@dataclass(frozen=True, slots=True)
class _Door:
    """How the host's addresses of a family lead to the container."""

    family: int
    routed: bool
    default: Address | None  # where a request names none; absent: not by this family


def _doors(gateways: Gateways, default_address: Address | None, *, ipv6: bool) -> Sequence[_Door]:
    doors: list[_Door] = []
    for family in (4, 6):
        through = family if _mode(gateways, family) else 4
        mode, gateway = _mode(gateways, through), gateways.get(through)
        if mode is None or gateway is None:
            continue
        if mode == "routed":
            if through == family:
                doors.append(_Door(family, routed=True, default=ANY[family]))
        else:
            said = bridge_options(gateway[1].options)[0].host_binding or default_address
            doors.append(_Door(family, routed=False, default=_default(family, said, ipv6=ipv6)))
    return doors


def _mode(gateways: Gateways, family: int) -> Mode | None:
    gateway = gateways.get(family)
    if gateway is None or gateway[1].driver != "bridge":
        return None
    mode = bridge_options(gateway[1].options)[0].modes[family]
    return None if mode == "isolated" else mode


def _default(family: int, said: Address | None, *, ipv6: bool) -> Address | None:
    # As a default, 0.0.0.0 is all addresses of both families, as it is for dockerd's --ip.
    if said is None or said == ANY[4]:
        return ANY[family] if family == 4 or ipv6 else None
    return said if said.version == family else None


def exposed(container: Container) -> Iterator[PortRequest]:
    """Yield what `-P` stands for: each exposed port that is not asked for by itself."""
    if not container.host.publish_all:
        return
    asked_for = {
        (request.protocol, port)
        for request in container.host.ports
        for port in range(request.port, request.port + request.count)
    }
    for text in container.config.exposed_ports:
        # Whoever made the image wrote it: what is no port cannot be published.
        found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?(?:/(tcp|udp|sctp))?", text.lower())
        if found is None:
            continue
        first, last = int(found[1]), min(int(found[2] or found[1]), 65535)
        protocol = cast("Transport", found[3] or "tcp")
        for port in range(max(first, 1), last + 1):
            if (protocol, port) not in asked_for:
                yield PortRequest(port, protocol)


def _distinct(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Leave out what is there twice, or within all addresses of its family."""
    return tuple(
        each
        for each in dict.fromkeys(addresses)
        if each.is_unspecified or ANY[each.version] not in addresses
    )
