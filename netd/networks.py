"""Networks: creating and removing them, and containers' endpoints on them."""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network

from msgspec.structs import replace

import ipam
from netd.addresses import Addresses, check_static
from netd.errors import (
    ConflictError,
    ForbiddenError,
    InternalError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from netd.events import Events
from netd.firewall import HostFirewall
from netd.kernel import Kernel
from netd.model import (
    PREDEFINED,
    Container,
    Endpoint,
    EndpointRequest,
    Network,
    NetworkRequest,
    Prefix,
    Subnet,
)
from netd.plumbing import driver_network
from netd.resolver import Resolver
from netd.store import Store, now

log = logging.getLogger(__name__)

UNIQUE_DRIVERS = ("host", "null")  # their one network is predefined


class Networks:
    """The daemon's networks."""

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        events: Events,
        addresses: Addresses,
        resolver: Resolver,
        firewall: HostFirewall,
        pools: tuple[ipam.Pool, ...],
        mtu_bytes: int | None,
    ) -> None:
        """`pools` give the subnets of networks that name none."""
        self._store, self._kernel, self._events = store, kernel, events
        self._addresses, self._resolver, self._firewall = addresses, resolver, firewall
        self._pools, self._mtu_bytes = pools, mtu_bytes
        self._lock = asyncio.Lock()

    def network(self, reference: str) -> Network:
        """Return the network meant by an id, a name or a unique prefix of an id."""
        return self._store.networks.find(reference)

    def list(self) -> Sequence[Network]:
        """Return all networks, oldest first."""
        return [*self._store.networks]

    def members(self, network_id: str) -> Sequence[tuple[Container, Endpoint]]:
        """Return the running containers on a network with their endpoints there."""
        return [
            (container, endpoint)
            for container in self._store.containers
            for endpoint in container.endpoints
            if endpoint.network_id == network_id and (endpoint.interface or container.state.running)
        ]

    async def create(self, request: NetworkRequest) -> Network:
        """Create a network; nothing of it remains when that fails."""
        self._check_name(request.name)
        if request.driver in UNIQUE_DRIVERS:
            raise ForbiddenError(f'only one instance of "{request.driver}" network is allowed')
        if request.driver not in self._kernel.drivers:
            raise NotFoundError(f'network driver "{request.driver}" not found')
        async with self._lock:
            if self._store.networks.named(request.name):
                raise ConflictError(f"network with name {request.name} already exists")
            network = await self._planned(request)
            await self._make(network)
        log.info("created network %s (%s)", network.name, _prefixes(network))
        self._events.network("create", network)
        return network

    async def remove(self, reference: str) -> Network:
        """Remove a network that nobody is on."""
        network = self.network(reference)
        if network.name in PREDEFINED:
            raise ForbiddenError(f"{network.name} is a pre-defined network and cannot be removed")
        async with self._lock:
            if network.id not in self._store.networks:
                raise NotFoundError(f"network {reference} not found")
            users = [container.name for container, _ in self.members(network.id)]
            if users:
                raise ForbiddenError(
                    f"error while removing network: network {network.name} id {network.id} has "
                    f"active endpoints: {', '.join(users)}"
                )
            await self._unmake(network)
        log.info("removed network %s", network.name)
        self._events.network("destroy", network)
        return network

    async def prune(self, matches: Callable[[Network], bool]) -> Sequence[str]:
        """Remove all networks that match and that no container, running or not, refers to."""
        used = {
            endpoint.network_id
            for container in self._store.containers
            for endpoint in container.endpoints
        }
        removed: list[str] = []
        for network in self._store.networks:
            if network.name not in PREDEFINED and network.id not in used and matches(network):
                try:
                    await self.remove(network.id)
                except (ForbiddenError, NotFoundError) as error:
                    log.debug("not pruned: %s", error)
                    continue
                removed.append(network.name)
        return removed

    async def restore(self) -> None:
        """Make the predefined networks and put all others right in the kernel; repeatable."""
        async with self._lock:
            for name, driver in zip(PREDEFINED, ("bridge", "host", "null"), strict=True):
                if not self._store.networks.named(name):
                    options = {"com.docker.network.bridge.default_bridge": "true"}
                    request = NetworkRequest(
                        name, driver, options=options if driver == "bridge" else {}
                    )
                    network = await self._planned(request)
                    self._store.networks.put(network)
                    await self._resolver.put_network(network)
            await self._firewall.apply()
            for network in self._store.networks:
                driver_ = self._kernel.drivers.get(network.driver)
                if driver_ is None:
                    log.error("network %s: no driver %r here", network.name, network.driver)
                    continue
                try:
                    await self._kernel.run(driver_.create, driver_network(network, self._mtu_bytes))
                except InternalError as error:
                    log.error("network %s is not up: %s", network.name, error)  # noqa: TRY400

    async def repair(self, network_id: str) -> Sequence[str]:
        """Put a network's own things right in the kernel; return what somebody had changed."""
        async with self._lock:
            network = self._store.networks.get(network_id)
            driver = self._kernel.drivers.get(network.driver) if network else None
            if network is None or driver is None:
                return ()
            known = driver_network(network, self._mtu_bytes)
            damage = await self._kernel.run(driver.damage, known, ())
            if damage:
                # Forwarding may be turned on again: the rules that go with that come first.
                await self._firewall.apply()
                await self._kernel.run(driver.create, known)
            return damage

    def endpoint(self, network: Network, request: EndpointRequest) -> Endpoint:
        """Return a new endpoint on the network, checked; nothing is stored or made."""
        check_static(network, request)
        if request.mac and not re.fullmatch(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}", request.mac):
            raise InvalidError(f"invalid MAC address: {request.mac}")
        mac = request.mac.lower().replace("-", ":")
        if mac and (int(mac[:2], 16) & 1 or not mac.strip("0:")):
            raise InvalidError(
                f"invalid MAC address: {request.mac}: no single interface can have it"
            )
        return Endpoint(secrets.token_hex(32), network.id, network.name, replace(request, mac=mac))

    def _check_name(self, name: str) -> None:
        if name in {*PREDEFINED, "default"}:  # Docker's other word for bridge
            raise ForbiddenError(f"operation is not permitted on predefined {name} network")
        if not name.strip() or not name.isprintable() or len(name) > 255:
            raise InvalidError(f"invalid network name: {name!r}")

    async def _planned(self, request: NetworkRequest) -> Network:
        id_ = secrets.token_hex(32)
        subnets: tuple[ipam.Subnet, ...] = ()
        if request.driver not in UNIQUE_DRIVERS:
            subnets = self._subnets(request, await self._taken())
        network = Network(
            id=id_,
            name=request.name,
            driver=request.driver,
            created=now(),
            subnets=tuple(
                Subnet(s.prefix, s.gateway, s.ip_range, dict(s.auxiliary), s.chosen)
                for s in subnets
            ),
            internal=request.internal,
            enable_ipv4=request.enable_ipv4,
            enable_ipv6=request.enable_ipv6,
            attachable=request.attachable,
            options=request.options,
            labels=request.labels,
            ipam_driver=request.ipam_driver,
            ipam_options=request.ipam_options,
        )
        driver = self._kernel.drivers[request.driver]
        problems = driver.problems(driver_network(network, self._mtu_bytes))
        if problems:
            raise InvalidError(f"network {request.name}: {'; '.join(problems)}")
        if network.driver == "bridge":
            self._check_bridge(network)
        return network

    def _check_bridge(self, network: Network) -> None:
        from drivers.bridge import bridge_name

        bridge = bridge_name(driver_network(network, None))
        for other in self._store.networks:
            if other.driver == "bridge" and bridge_name(driver_network(other, None)) == bridge:
                raise ForbiddenError(
                    f"network {network.name} conflicts with network {other.id} ({other.name}): "
                    f"both have the bridge {bridge}"
                )

    def _subnets(
        self, request: NetworkRequest, taken: Mapping[Prefix, str]
    ) -> tuple[ipam.Subnet, ...]:
        if request.ipam_driver not in {"", "default"}:
            raise NotFoundError(f'IPAM driver "{request.ipam_driver}" not found')
        isolated = "isolated" in {
            request.options.get(f"com.docker.network.bridge.gateway_mode_ipv{version}")
            for version in (4, 6)
        }
        wanted = [
            ipam.SubnetRequest(s.subnet, s.gateway, s.ip_range, s.auxiliary)
            for s in request.subnets
        ]
        try:
            return ipam.plan(
                wanted,
                ipv4=request.enable_ipv4,
                ipv6=request.enable_ipv6,
                pools=self._pools,
                taken=taken,
                wants_gateway=not isolated,
            )
        except ipam.OverlapError as error:
            raise ForbiddenError(
                f"invalid pool request: Pool overlaps with other one on this address space: {error}"
            ) from error
        except ipam.PoolExhaustedError as error:
            raise UnavailableError(str(error)) from error
        except ipam.IpamError as error:
            raise InvalidError(f"invalid network config: {error}") from error

    async def _taken(self) -> dict[Prefix, str]:
        from drivers.bridge import bridge_name

        ours = {bridge_name(driver_network(each, None)) for each in self._store.networks}
        routes = await self._kernel.run(self._kernel.links.routes)
        taken: dict[Prefix, str] = {
            route.prefix: f"route {route.prefix} dev {route.interface}"
            for route in routes
            if route.interface not in ours
        }
        for server in self._resolver.upstreams:
            taken.setdefault(ip_network(server), f"nameserver {server}")
        for network in self._store.networks:
            taken |= {subnet.prefix: f"network {network.name}" for subnet in network.subnets}
        return taken

    async def _make(self, network: Network) -> None:
        # The row comes first: whatever a crash leaves in the kernel has an owner to remove it.
        self._store.networks.put(network)
        driver = self._kernel.drivers[network.driver]
        try:
            # Rules first: create may turn forwarding on, and no packet is to pass without them.
            await self._firewall.apply()
            await self._kernel.run(driver.create, driver_network(network, self._mtu_bytes))
            await self._resolver.put_network(network)
        except BaseException as error:
            await self._unmake(network)
            if isinstance(error, InternalError):
                raise InternalError(f"network {network.name}: {error}") from error
            raise

    async def _unmake(self, network: Network) -> None:
        driver = self._kernel.drivers.get(network.driver)
        if driver is not None:
            await self._kernel.run(driver.remove, driver_network(network, self._mtu_bytes))
        self._store.networks.remove(network.id)
        self._addresses.forget(network.id)
        await self._firewall.apply()
        await self._resolver.remove_network(network)


def _prefixes(network: Network) -> str:
    return ", ".join(str(subnet.prefix) for subnet in network.subnets)
