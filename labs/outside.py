"""A machine beside a host: no daemon, one wire to the host, and its way out through the host.

machine  198.18.1.2  2001:db8:1::2
   |
  up1    198.18.1.1  2001:db8:1::1   the host, which has its daemon and containers behind it
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Self

from labs.host import Host
from labs.namespace import Namespace

Address = IPv4Address | IPv6Address


class Outside:
    """A network namespace that is joined to a host's by a wire; a context manager."""

    def __init__(self, host: Host, number: int = 1) -> None:
        """Each machine of a host has a number of its own, from 1 to 255."""
        self._host, self.wire = host, f"up{number}"  # the wire's name at the host
        networks: Mapping[int, IPv4Network | IPv6Network] = {
            4: IPv4Network(f"198.18.{number}.0/24"),  # RFC 2544
            6: IPv6Network(f"2001:db8:{number}::/64"),  # RFC 3849
        }
        self.host_addresses: Mapping[int, Address] = {n: net[1] for n, net in networks.items()}
        self.addresses: Mapping[int, Address] = {n: net[2] for n, net in networks.items()}
        self._lengths = {n: net.prefixlen for n, net in networks.items()}
        self._namespace: Namespace | None = None

    def __enter__(self) -> Self:
        """Make the machine and its wire, with addresses and routes."""
        self._namespace = Namespace()
        try:
            self._host.inside(
                *("ip", "link", "add", self.wire, "type", "veth"),
                *("peer", "name", "eth0", "netns", str(self.netns)),
            )
            self._host.inside("sh", "-c", self._script(self.wire, self.host_addresses))
            self.inside("sh", "-c", self._script("eth0", self.addresses))
            for family, gateway in self.host_addresses.items():
                self.inside("ip", f"-{family}", "route", "add", "default", "via", str(gateway))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the machine and its wire away."""
        self.close()

    @property
    def netns(self) -> Path:
        """Where the machine's network namespace can be opened."""
        assert self._namespace is not None
        return self._namespace.path

    @property
    def nsenter(self) -> Sequence[str]:
        """The words that run a program on the machine."""
        assert self._namespace is not None
        return self._namespace.nsenter

    def inside(self, *words: str) -> str:
        """Run a program on the machine; return its output."""
        assert self._namespace is not None
        return self._namespace.inside(*words)

    def close(self) -> None:
        """Take the machine away; the kernel takes the wire with it. Repeatable."""
        namespace, self._namespace = self._namespace, None
        if namespace is not None:
            namespace.close()

    def _script(self, interface: str, addresses: Mapping[int, Address]) -> str:
        # Nobody else is there who might have its addresses, so they need not be looked for first.
        commands = [f"echo 0 > /proc/sys/net/ipv6/conf/{interface}/accept_dad"]
        for family, address in addresses.items():
            given = f"{address}/{self._lengths[family]}"
            commands.append(f"ip address add {given} dev {interface}")
        return " && ".join((*commands, f"ip link set {interface} up"))
