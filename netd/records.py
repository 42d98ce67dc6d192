"""What the DNS server should answer: a pure function of networks and containers."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path

from dns.control import EndpointRecords, NetworkRecords, Snapshot, View
from netd.model import Address, Container, Endpoint, Network
from netd.store import Store

DNS_PORT = 53


def network_records(network: Network) -> NetworkRecords:
    """Return how a network is known to the DNS server."""
    return NetworkRecords(id=network.id, name=network.name)


def names(container: Container, endpoint: Endpoint) -> tuple[str, ...]:
    """Return the names a container answers to on one network, its own name first."""
    wanted = (
        container.name,
        *endpoint.request.aliases,
        container.short_id,
        container.config.hostname,
    )
    return tuple(dict.fromkeys(name for name in wanted if name))


def endpoint_records(container: Container, endpoint: Endpoint) -> EndpointRecords:
    """Return a plumbed endpoint's names and addresses."""
    return EndpointRecords(
        id=endpoint.id,
        network=endpoint.network_id,
        names=names(container, endpoint),
        addresses=tuple(interface.ip for interface in endpoint.addresses),
        ptr=f"{container.name}.{endpoint.network_name}",
    )


def view(container: Container, store: Store, host_upstreams: Sequence[Address]) -> View:
    """Return which networks a container shares, and whom to ask about foreign names.

    A container that is on internal networks alone has no way out, and neither have its queries:
    only servers of its own (`--dns`) that are on one of these networks are asked.
    """
    networks = [
        network
        for endpoint in container.endpoints
        if endpoint.addresses and (network := store.networks.get(endpoint.network_id))
    ]
    upstreams: Iterable[Address] = [ip_address(text) for text in container.host.dns]
    if all(network.internal for network in networks):
        prefixes = [subnet.prefix for network in networks for subnet in network.subnets]
        upstreams = [each for each in upstreams if any(each in prefix for prefix in prefixes)]
    elif not container.host.dns:
        upstreams = host_upstreams
    return View(
        id=container.id,
        networks=tuple(network.id for network in networks),
        upstreams=tuple((address, DNS_PORT) for address in upstreams),
    )


def joined(store: Store) -> list[tuple[Container, Endpoint]]:
    """Return every endpoint that has addresses now."""
    return [
        (container, endpoint)
        for container in store.containers
        for endpoint in container.endpoints
        if endpoint.addresses
    ]


def snapshot(store: Store, host_upstreams: Sequence[Address]) -> Snapshot:
    """Return all that the DNS server should know."""
    members = joined(store)
    askers = {container.id: container for container, _ in members}
    return Snapshot(
        networks=tuple(network_records(network) for network in store.networks),
        endpoints=tuple(endpoint_records(*member) for member in members),
        views=tuple(view(container, store, host_upstreams) for container in askers.values()),
    )


def nameservers(resolv_conf: Path) -> tuple[Address, ...]:
    """Return the first three servers of a resolv.conf (resolv.conf(5)); none when it is missing."""
    found: list[Address] = []
    try:
        lines = resolv_conf.read_text().splitlines()
    except OSError:
        return ()
    for line in lines:
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                found.append(ip_address(words[1]))
            except ValueError:
                continue
    return tuple(found[:3])
