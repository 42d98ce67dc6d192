"""How containers and networks of the model become work for drivers: pure functions."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from drivers import contract
from drivers.addressing import host_interface_name, mac_of
from netd.model import Address, Container, Endpoint, Interface, Network

UNPLUMBED = {"host", "none"}  # networks whose endpoints have no interface


def driver_network(network: Network, mtu_bytes: int | None) -> contract.Network:
    """Return a network as its driver sees it."""
    return contract.Network(
        id=network.id,
        name=network.name,
        subnets=tuple(contract.Subnet(each.prefix, each.gateway) for each in network.subnets),
        internal=network.internal,
        options=network.options,
        mtu_bytes=mtu_bytes,
    )


def driver_endpoint(endpoint: Endpoint) -> contract.Endpoint:
    """Return a plumbed endpoint as its driver sees it."""
    return contract.Endpoint(
        id=endpoint.id,
        network_id=endpoint.network_id,
        interface=endpoint.interface,
        mac=endpoint.mac,
        addresses=endpoint.addresses,
        options=endpoint.request.driver_options,
        host_interface=endpoint.host_interface,
    )


def plumbed(
    endpoint: Endpoint, network: Network, addresses: tuple[Interface, ...], taken: Iterable[str]
) -> Endpoint:
    """Return the endpoint with its addresses, its MAC and the lowest free interface name."""
    return replace(
        endpoint,
        interface=free_interface(taken, network),
        host_interface=host_interface_name(endpoint.id),
        mac=endpoint.request.mac or _mac(endpoint, addresses),
        addresses=addresses,
        gateways=tuple(gateways(network)),
    )


def unplumbed(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint as it is while its container does not run."""
    return replace(endpoint, interface="", host_interface="", mac="", addresses=(), gateways=())


def free_interface(taken: Iterable[str], network: Network) -> str:
    """Return the lowest free name: eth0, eth1, ..."""
    prefix = network.options.get("com.docker.network.container_iface_prefix", "eth")
    used = set(taken)
    return next(name for index in range(1000) if (name := f"{prefix}{index}") not in used)


def gateways(network: Network) -> Sequence[Address]:
    """Return the ways out that a network offers, one of each family at most."""
    if network.internal:
        return ()
    found: dict[int, Address] = {}
    for subnet in network.subnets:
        # Docker's auxiliary address of this name is a router of the user's own.
        own = subnet.auxiliary.get(f"DefaultGatewayIPv{subnet.prefix.version}")
        gateway = own or subnet.gateway
        if gateway is not None:
            found.setdefault(subnet.prefix.version, gateway)
    return tuple(found.values())


def gateway_endpoints(container: Container) -> Mapping[int, Endpoint | None]:
    """Return the endpoint that gives each family's default route; None for no route.

    The network with the highest gateway priority gives it, among equals the one attached first;
    each family is decided for itself, so a network without IPv6 leaves that to the next.
    """
    ranked = sorted(container.endpoints, key=lambda each: -each.request.gateway_priority)
    chosen: dict[int, Endpoint | None] = {4: None, 6: None}
    for endpoint in ranked:
        for gateway in endpoint.gateways:
            chosen[gateway.version] = chosen[gateway.version] or endpoint
    return chosen


def default_gateways(container: Container) -> Mapping[int, tuple[str, Address] | None]:
    """Return the interface and the address of each family's default route; None for no route."""
    found: dict[int, tuple[str, Address] | None] = {4: None, 6: None}
    for family, endpoint in gateway_endpoints(container).items():
        if endpoint is not None:
            gateway = next(each for each in endpoint.gateways if each.version == family)
            found[family] = (endpoint.interface, gateway)
    return found


def _mac(endpoint: Endpoint, addresses: tuple[Interface, ...]) -> str:
    # From the IPv4 address, so that neighbours' ARP caches stay right when it is used again.
    v4 = [interface.ip for interface in addresses if interface.version == 4]
    return mac_of(v4[0] if v4 else endpoint.id)
