"""The bridge driver: a Linux bridge for each network, a veth pair for each endpoint.

            host                            sandbox
    nd-3f2a... 10.0.0.1/24
       |--- nd41c09a77be01 ============ eth0 10.0.0.2/24
       |--- nd9b2210c5d3f4 ============ eth0 10.0.0.3/24 (another one)

Its part of the firewall is computed by `drivers.firewall` from all networks at once.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

from drivers import rtnetlink, sysctl
from drivers.addressing import host_interface_name, mac_of
from drivers.contract import DriverError, Endpoint, Interface, Network
from drivers.options import BRIDGE, BridgeOptions, bridge_name, bridge_options
from drivers.sandbox import sandbox_exists

if TYPE_CHECKING:  # it loads pyroute2, which is slow
    from drivers.link import Links, Port

log = logging.getLogger(__name__)

__all__ = ["BridgeDriver", "bridge_name"]

LEAST_MTU = {4: 68, 6: 1280}  # RFC 791, RFC 8200


class BridgeDriver:
    """Networks of one host (see `drivers.contract.Driver`)."""

    def __init__(self, links: "Links") -> None:
        self._links = links

    def problems(self, network: Network) -> Sequence[str]:
        """Return a sentence for each thing that is wrong with the network's settings."""
        options, problems = bridge_options(network.options)
        for family, mode in options.modes.items():
            if mode == "isolated" and not network.internal:
                key = f"{BRIDGE}gateway_mode_ipv{family}"
                problems.append(f"option {key}={mode!r}: the network must be internal")
        for family in _families(network):
            if options.mtu_bytes and options.mtu_bytes < LEAST_MTU[family]:
                mtu = f"option com.docker.network.driver.mtu='{options.mtu_bytes}'"
                problems.append(f"{mtu}: IPv{family} needs at least {LEAST_MTU[family]} bytes")
        return problems

    def create(self, network: Network) -> None:
        """Make the bridge, or put it right, and let the host forward for it if it leads out.

        A bridge that somebody else made is given the gateways' addresses and left as it is.
        """
        options = self._options(network)
        name = bridge_name(network)
        with ExitStack() as undo:
            mtu_bytes = options.mtu_bytes or network.mtu_bytes or self._links.uplink_mtu()
            whose = self._links.put_bridge(name, mac_of(network.id), mtu_bytes, network.name)
            if whose == "new":
                undo.callback(self._links.remove_bridge, name, network.name)
            if whose != "foreign":
                for key, value in _bridge_settings(name, network).items():
                    sysctl.put(key, value)
            self._links.put_addresses(name, _gateways(network, options), only=whose != "foreign")
            if not network.internal:
                for family in _families(network):
                    sysctl.forward(family)
            undo.pop_all()
        log.debug("bridge %s serves network %s", name, network.name)

    def remove(self, network: Network) -> None:
        """Remove the bridge if netd made it; what is still on it is cut off."""
        self._links.remove_bridge(bridge_name(network), network.name)

    def join(self, network: Network, endpoint: Endpoint, sandbox: Path) -> None:
        """Give the sandbox its interface; one that netd gave it before is put right."""
        options = self._options(network)
        port = self._port(network, endpoint, options)
        with self._links.inside(sandbox) as inside, ExitStack() as undo:
            index = inside.index(endpoint.interface)
            if index is None:
                self._links.create_port(port, sandbox)
                undo.callback(self._links.remove, port.host_interface)
            else:
                other_end = inside.other_end(index)
                if other_end is None or not self._links.adopt_port(port, other_end, index):
                    raise DriverError(f"{sandbox} has an interface {endpoint.interface} already")
            settings = _inner_settings(endpoint)
            inside.put(endpoint.interface, endpoint.addresses, settings)
            undo.pop_all()
        log.debug("%s in %s joined %s", endpoint.interface, sandbox, network.name)

    def leave(self, network: Network, endpoint: Endpoint, sandbox: Path) -> None:
        """Remove the pair of interfaces; nothing to do where the sandbox has gone."""
        if not sandbox_exists(sandbox):
            return
        with self._links.inside(sandbox) as inside:
            inside.remove(endpoint.interface, endpoint.mac)
        log.debug("%s in %s left %s", endpoint.interface, sandbox, network.name)

    def damage(self, network: Network, endpoints: Sequence[Endpoint]) -> Sequence[str]:
        """Return what somebody has taken away or changed of what `create` and `join` made."""
        name, options = bridge_name(network), self._options(network)
        bridge = rtnetlink.link(name)
        if bridge is None:
            return [f"bridge {name}"]
        found = [] if bridge.up else [f"bridge {name} is down"]
        if bridge.alias == self._links.mark(network.name):
            settings = _bridge_settings(name, network)
            found += [f"{key}={v}" for key, v in settings.items() if not sysctl.has(key, v)]
            if bridge.mac != mac_of(network.id):
                found.append(f"bridge {name} has another MAC")
        for gateway in _gateways(network, options):
            if not self._links.has_address(gateway):
                found.append(f"address {gateway} of bridge {name}")
        if not network.internal:
            off = [family for family in _families(network) if not sysctl.forwards(family)]
            found += [f"forwarding of IPv{family} is off" for family in off]
        for endpoint in endpoints:
            found += self._port_damage(bridge, self._port(network, endpoint, options))
        return found

    def _port_damage(self, bridge: "rtnetlink.Link", port: "Port") -> Sequence[str]:
        live = rtnetlink.link(port.host_interface)
        if live is None:
            return [f"interface {port.host_interface}, the other end of {port.interface}"]
        found = [] if live.up else [f"interface {port.host_interface} is down"]
        if live.master != bridge.index:
            found.append(f"interface {port.host_interface} has left bridge {port.bridge}")
        elif (live.isolated, live.hairpin) != (port.isolated, port.hairpin):
            found.append(f"port {port.host_interface} has other settings")
        return found

    def _options(self, network: Network) -> BridgeOptions:
        if problems := self.problems(network):
            raise DriverError(f"network {network.name}: {'; '.join(problems)}")
        return bridge_options(network.options)[0]

    def _port(self, network: Network, endpoint: Endpoint, options: BridgeOptions) -> "Port":
        from drivers.link import Port

        bridge = bridge_name(network)
        shown = sysctl.bridged_families()
        return Port(
            host_interface=endpoint.host_interface or host_interface_name(endpoint.id),
            bridge=bridge,
            interface=endpoint.interface,
            mac=endpoint.mac,
            mtu_bytes=options.mtu_bytes or network.mtu_bytes or self._links.mtu(bridge),
            owner=network.name,
            # A packet to a published port of a neighbour, or its own, is led there by the bridge
            # itself where iptables sees bridged packets; the rules keep neighbours apart then.
            isolated=not options.icc and shown != {4, 6},
            hairpin=bool(shown),
        )


def _gateways(network: Network, options: BridgeOptions) -> list[Interface]:
    """Return the host's own addresses in the network."""
    return [
        ip_interface(f"{subnet.gateway}/{subnet.prefix.prefixlen}")
        for subnet in network.subnets
        if subnet.gateway is not None
        and options.modes[subnet.prefix.version] != "isolated"
        and not (subnet.prefix.version == 4 and options.inhibit_ipv4)
    ]


def _bridge_settings(name: str, network: Network) -> dict[str, str]:
    has_ipv6 = any(subnet.prefix.version == 6 for subnet in network.subnets)
    # Without IPv6 subnets the host hears none from here, whatever containers send.
    return {
        f"ipv6/conf/{name}/disable_ipv6": "0" if has_ipv6 else "1",
        f"ipv6/conf/{name}/accept_dad": "0",
        f"ipv6/conf/{name}/accept_ra": "0",
        f"ipv6/conf/{name}/autoconf": "0",
        # The host's processes reach published ports by 127.0.0.1, too: a rule before all others
        # drops what comes from elsewhere with such an address.
        f"ipv4/conf/{name}/route_localnet": "1",
        # The process that holds the host's ports relays nothing that comes in here.
        f"ipv4/conf/{name}/tag": sysctl.INTERNAL_TAG if network.internal else "0",
    }


def _families(network: Network) -> list[int]:
    return sorted({subnet.prefix.version for subnet in network.subnets})


def _inner_settings(endpoint: Endpoint) -> dict[str, str]:
    name = endpoint.interface
    has_ipv6 = any(address.version == 6 for address in endpoint.addresses)
    if not has_ipv6:
        return {f"ipv4/conf/{name}/arp_notify": "1", f"ipv6/conf/{name}/disable_ipv6": "1"}
    # Neighbours are told at once when the address has moved here; only netd gives addresses.
    return {
        f"ipv4/conf/{name}/arp_notify": "1",
        f"ipv6/conf/{name}/disable_ipv6": "0",
        f"ipv6/conf/{name}/ndisc_notify": "1",
        f"ipv6/conf/{name}/accept_dad": "0",
        f"ipv6/conf/{name}/accept_ra": "0",
        f"ipv6/conf/{name}/autoconf": "0",
    }
