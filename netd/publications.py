"""What the firewall must know, from what is stored: pure functions."""

from collections.abc import Iterable, Iterator, Mapping

from drivers.firewall import BridgePort, FirewallState, Publication, firewall_network
from drivers.options import bridge_options
from netd.model import Address, Container, Endpoint, Network, PortMapping
from netd.plumbing import driver_network, gateway_endpoints

Networks = Mapping[str, Network]  # by id
# What was computed last, by container: from what, and what came out.
Known = dict[str, tuple[Container, Networks, tuple[Publication, ...]]]


def firewall_state(
    networks: Iterable[Network], containers: Iterable[Container], known: Known | None = None
) -> FirewallState:
    """Return all that the rules are computed from; endpoints count while they are plumbed.

    `known` is a memory for the next time: with thousands of ports, what has not changed is the same
    object again, and quickly found to be.
    """
    known = {} if known is None else known
    bridged = {each.id: each for each in networks if each.driver == "bridge"}
    plumbed = [each for each in containers if any(e.host_interface for e in each.endpoints)]
    published = {each.id: each for each in plumbed if each.published}
    for gone in known.keys() - published.keys():
        del known[gone]
    for id_, container in published.items():
        if id_ not in known or known[id_][0] is not container or known[id_][1] != bridged:
            known[id_] = (container, bridged, tuple(publications(container, bridged)))
    return FirewallState(
        networks=tuple(firewall_network(driver_network(each, None)) for each in bridged.values()),
        published={id_: known[id_][2] for id_ in published},
        ports=tuple(port for each in plumbed for port in _ports(each, bridged)),
    )


def publications(container: Container, networks: Networks) -> Iterator[Publication]:
    """Yield where a container's published ports lead, as far as the kernel leads there.

    IPv6 addresses of the host lead to a container without IPv6 by the process that holds them.
    """
    gateways = gateway_endpoints(container)
    for mapping in container.published:
        family = mapping.host_address.version
        endpoints = [gateways[family]] if mapping.host_port else container.endpoints
        for endpoint in endpoints:
            network = networks.get(endpoint.network_id) if endpoint else None
            if endpoint is None or network is None:
                continue
            if bool(mapping.host_port) is _is_routed(network, family):
                continue
            address = _address(endpoint, family)
            if address is not None:
                yield _publication(container, endpoint, mapping, address)


def _publication(
    container: Container, endpoint: Endpoint, mapping: PortMapping, address: Address
) -> Publication:
    return Publication(
        network=endpoint.network_name,
        container=container.name,
        protocol=mapping.protocol,
        address=address,
        port=mapping.port,
        host_address=mapping.host_address,
        host_port=mapping.host_port,
        count=mapping.count,
    )


def _is_routed(network: Network, family: int) -> bool:
    return bridge_options(network.options)[0].modes[family] == "routed"


def _address(endpoint: Endpoint, family: int) -> Address | None:
    return next((each.ip for each in endpoint.addresses if each.version == family), None)


def _ports(container: Container, networks: Networks) -> Iterator[BridgePort]:
    for endpoint in container.endpoints:
        network = networks.get(endpoint.network_id)
        if not endpoint.host_interface or network is None:
            continue
        yield BridgePort(
            host_interface=endpoint.host_interface,
            mac=endpoint.mac,
            addresses=endpoint.addresses,
            network=network.name,
            container=container.name,
            guarded=bridge_options(network.options)[0].anti_spoofing,
        )
