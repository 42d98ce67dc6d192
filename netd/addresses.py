"""Addresses of endpoints: leases derived from the containers, sticky by container name."""

from ipaddress import ip_interface

import ipam
from netd.errors import ForbiddenError, InvalidError, NetdError, UnavailableError
from netd.model import Address, EndpointRequest, Interface, Network, Prefix
from netd.store import Store


class Addresses:
    """Hands out the addresses of all networks.

    A lease is held by a container's name: while it runs, and for an address that the user asked
    for (`--ip`) as long as the container exists. Nothing but who had an address last is stored.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leases: dict[tuple[str, Prefix], ipam.Leases] = {}

    def allocate(
        self, network: Network, owner: str, request: EndpointRequest
    ) -> tuple[Interface, ...]:
        """Return one address of each family the network has, with its prefix length.

        Raises ForbiddenError when an address is taken, UnavailableError when a subnet is full; then
        none is held.
        """
        allocated: list[Interface] = []
        try:
            for version in (4, 6):
                wanted = request.ipv4 if version == 4 else request.ipv6
                subnets = [each for each in network.subnets if each.prefix.version == version]
                if wanted:
                    subnets = [each for each in subnets if wanted in each.prefix] or subnets
                if subnets:
                    prefix = subnets[0].prefix
                    address = self._allocate(network, prefix, owner, wanted)
                    allocated.append(_interface(address, prefix))
        except NetdError:
            self.release(network, owner, tuple(allocated))
            raise
        return tuple(allocated)

    def release(self, network: Network, owner: str, addresses: tuple[Interface, ...]) -> None:
        """Give addresses back; the owner gets them again if it comes back in time. Repeatable."""
        for interface in addresses:
            if self._of(network, interface.network).held.get(interface.ip) != owner:
                continue
            self._of(network, interface.network).release(interface.ip)
            self._store.released.add(network.id, interface.ip, owner)

    def reserve(self, network: Network, owner: str, request: EndpointRequest) -> None:
        """Hold the addresses a user asked for (`--ip`) until `unreserve`; else do nothing.

        Raises ForbiddenError when another container has one of them.
        """
        static = EndpointRequest(ipv4=request.ipv4, ipv6=request.ipv6)
        for wanted in (static.ipv4, static.ipv6):
            for subnet in network.subnets:
                if wanted is not None and wanted in subnet.prefix:
                    self._allocate(network, subnet.prefix, owner, wanted)

    def unreserve(self, network: Network, owner: str, request: EndpointRequest) -> None:
        """Give the addresses that a user asked for back; may be repeated."""
        for wanted in (request.ipv4, request.ipv6):
            for subnet in network.subnets:
                if wanted is not None and wanted in subnet.prefix:
                    self.release(network, owner, (_interface(wanted, subnet.prefix),))

    def renamed(self, network_id: str) -> None:
        """Derive a network's leases anew, after one of its containers got another name."""
        self._leases = {key: value for key, value in self._leases.items() if key[0] != network_id}

    def in_use(self, network: Network, subnet: Prefix) -> int:
        """Return how many addresses of a subnet are held."""
        return len(self._of(network, subnet).held)

    def forget(self, network_id: str) -> None:
        """Drop all that is known of a network; may be repeated."""
        self._store.released.forget(network_id)
        self._leases = {key: value for key, value in self._leases.items() if key[0] != network_id}

    def _allocate(
        self, network: Network, prefix: Prefix, owner: str, wanted: Address | None
    ) -> Address:
        leases = self._of(network, prefix)
        if wanted is not None and leases.held.get(wanted) == owner:
            return wanted
        try:
            return leases.allocate(owner, wanted)
        except ipam.IpamError as error:
            raise _translated(error, network) from error

    def _of(self, network: Network, prefix: Prefix) -> ipam.Leases:
        key = (network.id, prefix)
        if key not in self._leases:
            subnet = next(each for each in network.subnets if each.prefix == prefix)
            held, released = self._known(network, prefix)
            self._leases[key] = ipam.Leases(
                ipam.Subnet(
                    subnet.prefix, subnet.gateway, subnet.ip_range, subnet.auxiliary, subnet.chosen
                ),
                held,
                released,
            )
        return self._leases[key]

    def _known(
        self, network: Network, prefix: Prefix
    ) -> tuple[dict[Address, str], list[tuple[Address, str]]]:
        held: dict[Address, str] = {}
        for container in self._store.containers:
            for endpoint in container.endpoints:
                if endpoint.network_id == network.id:
                    static = (endpoint.request.ipv4, endpoint.request.ipv6)
                    now = (interface.ip for interface in endpoint.addresses)
                    known = [each for each in (*static, *now) if each is not None]
                    held.update({each: container.name for each in known if each in prefix})
        released = [
            (address, owner)
            for address, owner in self._store.released.of(network.id)
            if address in prefix and address not in held
        ]
        return held, released


def check_static(network: Network, request: EndpointRequest) -> None:
    """Raise InvalidError when the addresses a user asks for cannot be had on the network."""
    for address in (request.ipv4, request.ipv6):
        if address is None:
            continue
        subnets = [each for each in network.subnets if each.prefix.version == address.version]
        about = f"invalid config for network {network.name}: invalid endpoint settings: "
        if not any(subnet.chosen for subnet in subnets):
            raise InvalidError(
                f"{about}user specified IP address {address} is supported only when connecting "
                "to networks with user configured subnets"
            )
        if not any(address in subnet.prefix for subnet in subnets):
            raise InvalidError(
                f"{about}no configured subnet or ip-range contain the IP address {address}"
            )


def _interface(address: Address, prefix: Prefix) -> Interface:
    return ip_interface((address, prefix.prefixlen))


def _translated(error: ipam.IpamError, network: Network) -> NetdError:
    if isinstance(error, ipam.AddressTakenError):
        return ForbiddenError(f"Address already in use on network {network.name}: {error}")
    if isinstance(error, ipam.AddressOutsideError):
        return InvalidError(f"invalid address on network {network.name}: {error}")
    return UnavailableError(f"no available addresses on network {network.name}: {error}")
