"""What a network driver is: the values it is given, and the verbs it must know.

A driver is an entry point in the group `netd.drivers`; its object is a class that is called with a
`drivers.link.Links` and satisfies `Driver`. All verbs run in the daemon's one network thread, may
be repeated, and touch only what carries netd's mark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Protocol

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface


class DriverError(Exception):
    """What the driver or the kernel refused, in a sentence."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """One address range of a network and the host's address in it."""

    prefix: Prefix
    gateway: Address | None  # absent: the host has no address here


@dataclass(frozen=True, slots=True)
class Network:
    """A network as a driver sees it."""

    id: str  # 64 hex digits
    name: str
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    options: Mapping[str, str] = field(default_factory=dict)  # com.docker.network...
    mtu_bytes: int | None = None  # the daemon's --mtu; absent: from the uplink


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's port on a network, as a driver sees it."""

    id: str  # 64 hex digits
    network_id: str
    interface: str  # its name inside the sandbox: eth0
    mac: str  # 02:42:0a:00:00:02
    addresses: tuple[Interface, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    host_interface: str = ""  # its other end, on the host; empty: the driver picks a name


class Driver(Protocol):
    """A kind of network."""

    def problems(self, network: Network) -> Sequence[str]:
        """Return a sentence for each thing that is wrong with the network's settings."""

    def create(self, network: Network) -> None:
        """Make what the network needs on the host."""

    def remove(self, network: Network) -> None:
        """Remove all that `create` made; go on past errors and raise them together."""

    def join(self, network: Network, endpoint: Endpoint, sandbox: Path) -> None:
        """Give the sandbox (a network namespace's path) its interface on the network."""

    def leave(self, network: Network, endpoint: Endpoint, sandbox: Path) -> None:
        """Take the interface away again; it went with the sandbox where that has gone."""

    def damage(self, network: Network, endpoints: Sequence[Endpoint]) -> Sequence[str]:
        """Return, in a few words each, what others have changed since `create` and `join`.

        What it names is put right by saying these two again.
        """
