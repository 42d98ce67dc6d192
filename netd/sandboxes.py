"""The network of one container, from the lease of its addresses to the last route.

All that a sandbox needs is recorded in the container before the kernel is touched (intent), and
forgotten after it was undone; so whatever a crash leaves is known and can be taken down.
"""

import logging
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import ParamSpec

from msgspec.structs import replace

from drivers import sandbox
from drivers.contract import Driver
from netd.addresses import Addresses
from netd.errors import ConflictError, InternalError, NotFoundError
from netd.firewall import HostFirewall
from netd.kernel import Kernel
from netd.model import Address, Container, Endpoint, Network
from netd.plumbing import (
    UNPLUMBED,
    default_gateways,
    driver_endpoint,
    driver_network,
    plumbed,
    unplumbed,
)
from netd.ports import PublishedPorts
from netd.resolver import Resolver
from netd.store import Store

log = logging.getLogger(__name__)

P = ParamSpec("P")
Member = tuple[Driver, Network, Endpoint]
Gateways = Mapping[int, tuple[str, Address] | None]


class Sandboxes:
    """Opens and closes containers' network namespaces, and their endpoints one by one."""

    def __init__(
        self,
        folder: Path,
        mtu_bytes: int | None,
        store: Store,
        kernel: Kernel,
        addresses: Addresses,
        resolver: Resolver,
        ports: PublishedPorts,
        firewall: HostFirewall,
    ) -> None:
        """`folder` holds the namespaces, each bound to a file named by the short id."""
        self._folder, self._mtu_bytes = folder, mtu_bytes
        self._store, self._kernel = store, kernel
        self._addresses, self._resolver = addresses, resolver
        self._ports, self._firewall = ports, firewall

    def path(self, container: Container) -> Path | None:
        """Return the namespace's path; absent: it runs in the host's."""
        return None if on_host(container) else self._folder / container.short_id

    async def open(self, container: Container) -> Container:
        """Give the container its namespace, interfaces, routes and resolver; undone on failure."""
        path = self.path(container)
        container = self._lease(container, container.endpoints)
        if path is None:
            return container
        try:
            # The rules come first: no interface is ever without those that are for it.
            container = await self.publish(container)
            members = self._members(container)
            sockets = await self._kernel.run(
                self._plumb, path, members, default_gateways(container)
            )
            await self._resolver.open(container, sockets)
        except BaseException:
            # As it is stored: its ports may be held already.
            await self.close(self._store.containers.get(container.id) or container)
            self._check_networks(container.endpoints)
            raise
        return container

    async def close(self, container: Container) -> Container:
        """Take down all that `open` and `join` made and give the addresses back; repeatable."""
        path = self.path(container)
        if path is not None:
            await self._resolver.close(container)
            await self._kernel.run(self._unplumb, path, self._members(container, missing_ok=True))
        plumbed = any(endpoint.interface for endpoint in container.endpoints)
        container = self._release(container, container.endpoints)
        if not (plumbed or container.published):
            return container
        # The rules first: while they lead to the container, nobody else is to have its ports.
        try:
            await self._firewall.apply()
        finally:
            container = await self._ports.withdraw(container)
        return container

    async def publish(self, container: Container) -> Container:
        """Let the ports lead to a plumbed container that it asks for now; repeatable."""
        try:
            container = await self._ports.publish(container)
        finally:
            # Also where a port cannot be had: what it has left leads there no more.
            await self._firewall.apply()
        return container

    async def join(self, container: Container, endpoint: Endpoint) -> Container:
        """Give a running container's new endpoint its interface; undone on failure."""
        before, container = container, self._lease(container, [endpoint])
        joined = _endpoint(container, endpoint)
        try:
            # It may give the way out from now on; ports are where that is.
            container = await self.publish(container)
            await self._kernel.run(
                self._join, self._sandbox(container), self._member(joined), before, container
            )
            await self._resolver.update(container)
        except BaseException:
            await self.leave(container, joined)
            self._check_networks([joined])
            raise
        return container

    async def leave(self, container: Container, endpoint: Endpoint) -> Container:
        """Take an endpoint's interface away and give its addresses back; repeatable."""
        container = self._store.containers.get(container.id) or container
        remaining = replace(
            container,
            endpoints=tuple(
                unplumbed(each) if each.id == endpoint.id else each for each in container.endpoints
            ),
        )
        await self._resolver.update(remaining, gone=endpoint)
        await self._kernel.run(
            self._leave, self._sandbox(container), self._member(endpoint), container, remaining
        )
        return await self.publish(self._release(container, [endpoint]))

    async def repair(self, container: Container, endpoint: Endpoint) -> Sequence[str]:
        """Put a running container's interface right; return what somebody had changed."""
        path = self.path(container)
        if path is None or not endpoint.interface or not sandbox.sandbox_exists(path):
            return ()
        member, gateways = self._member(endpoint), default_gateways(container)
        return await self._kernel.run(self._repair, path, member, gateways)

    async def resolver_sockets(
        self, container: Container
    ) -> tuple[socket.socket, socket.socket] | None:
        """Return fresh sockets of a running container's resolver; absent: it has no namespace."""
        path = self.path(container)
        if path is None or not sandbox.sandbox_exists(path):
            return None
        return await self._kernel.run(sandbox.open_resolver, path, self._firewall.backend)

    async def sweep(self, kept: Collection[str]) -> None:
        """Remove all namespaces but those of the short ids given; repeatable."""
        for path in self._folder.glob("*"):
            if path.name not in kept:
                try:
                    await self._kernel.run(sandbox.remove_sandbox, path)
                except InternalError as error:
                    log.error("namespace %s is left: %s", path, error)  # noqa: TRY400

    def _lease(self, container: Container, wanted: Sequence[Endpoint]) -> Container:
        for endpoint in wanted:
            if endpoint.network_name in UNPLUMBED or endpoint.addresses:
                continue
            network = self._network(endpoint)
            addresses = self._addresses.allocate(network, container.name, endpoint.request)
            taken = [each.interface for each in container.endpoints]
            container = _with(container, plumbed(endpoint, network, addresses, taken))
            # The intent is on disk before the first effect.
            self._store.containers.put(container)
        return container

    def _release(self, container: Container, gone: Sequence[Endpoint]) -> Container:
        for endpoint in gone:
            network = self._store.networks.get(endpoint.network_id)
            if network:
                kept = {endpoint.request.ipv4, endpoint.request.ipv6}
                free = tuple(each for each in endpoint.addresses if each.ip not in kept)
                self._addresses.release(network, container.name, free)
            container = _with(container, unplumbed(endpoint))
        if container.id in self._store.containers:
            self._store.containers.note(container)
        return container

    def _members(self, container: Container, *, missing_ok: bool = False) -> list[Member]:
        return [
            self._member(endpoint)
            for endpoint in container.endpoints
            if endpoint.interface
            and (not missing_ok or endpoint.network_id in self._store.networks)
        ]

    def _member(self, endpoint: Endpoint) -> Member:
        network = self._network(endpoint)
        return self._kernel.drivers[network.driver], network, endpoint

    def _check_networks(self, endpoints: Sequence[Endpoint]) -> None:
        """Raise NotFoundError for a network that was removed while it was being joined."""
        for endpoint in endpoints:
            self._network(endpoint)

    def _network(self, endpoint: Endpoint) -> Network:
        network = self._store.networks.get(endpoint.network_id)
        if network is None:
            raise NotFoundError(f"network {endpoint.network_name} not found")
        return network

    def _sandbox(self, container: Container) -> Path:
        path = self.path(container)
        if path is None:
            raise ConflictError(f"container {container.name} is on the host's network")
        return path

    # From here on: in the network thread.

    def _plumb(
        self, path: Path, members: Sequence[Member], gateways: Gateways
    ) -> tuple[socket.socket, socket.socket] | None:
        with ExitStack() as undo:
            undo.callback(sandbox.remove_sandbox, path)
            sandbox.create_sandbox(path)
            for driver, network, endpoint in members:
                undo.callback(_quietly, self._part, (driver, network, endpoint), path)
                driver.join(
                    driver_network(network, self._mtu_bytes), driver_endpoint(endpoint), path
                )
            sandbox.set_gateways(self._kernel.links, path, gateways)
            sockets = sandbox.open_resolver(path, self._firewall.backend) if members else None
            undo.pop_all()
            return sockets

    def _unplumb(self, path: Path, members: Sequence[Member]) -> None:
        # The namespace first: the kernel removes its interfaces by itself, and a driver that did
        # it before would wait 20 ms for each.
        steps = [partial(sandbox.remove_sandbox, path)]
        steps += [partial(self._part, member, path) for member in members]
        errors: list[Exception] = []
        for step in steps:
            try:
                step()
            except Exception as error:  # removal goes on and reports all
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"taking down {path.name}", errors)

    def _join(self, path: Path, member: Member, before: Container, after: Container) -> None:
        driver, network, endpoint = member
        driver.join(driver_network(network, self._mtu_bytes), driver_endpoint(endpoint), path)
        self._change_gateways(path, before, after)

    def _repair(self, path: Path, member: Member, gateways: Gateways) -> Sequence[str]:
        driver, network, endpoint = member
        known = driver_network(network, self._mtu_bytes), driver_endpoint(endpoint)
        damage = driver.damage(known[0], [known[1]])
        if damage:
            driver.join(*known, path)
            # The routes went with the interface.
            sandbox.set_gateways(self._kernel.links, path, gateways)
        return damage

    def _leave(self, path: Path, member: Member, before: Container, after: Container) -> None:
        if sandbox.sandbox_exists(path):
            self._part(member, path)
            self._change_gateways(path, before, after)

    def _change_gateways(self, path: Path, before: Container, after: Container) -> None:
        # A further network seldom changes the way out, and to look at it takes 2 ms.
        if default_gateways(before) != default_gateways(after):
            sandbox.set_gateways(self._kernel.links, path, default_gateways(after))

    def _part(self, member: Member, path: Path) -> None:
        driver, network, endpoint = member
        driver.leave(driver_network(network, self._mtu_bytes), driver_endpoint(endpoint), path)


def on_host(container: Container) -> bool:
    """Whether the container runs in the host's own network."""
    return any(endpoint.network_name == "host" for endpoint in container.endpoints)


def _endpoint(container: Container, like: Endpoint) -> Endpoint:
    for endpoint in container.endpoints:
        if endpoint.id == like.id:
            return endpoint
    raise InternalError(f"container {container.name} has no endpoint {like.id}")


def _with(container: Container, endpoint: Endpoint) -> Container:
    return replace(
        container,
        endpoints=tuple(
            endpoint if each.id == endpoint.id else each for each in container.endpoints
        ),
    )


def _quietly(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    # Undoing goes on: the first error is the one to tell, and removing the namespace takes all.
    try:
        function(*args, **kwargs)
    except Exception:
        return
