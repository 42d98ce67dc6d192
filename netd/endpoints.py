"""Containers on networks: which ones at creation, joining and leaving while they run."""

import logging
from contextlib import ExitStack

from msgspec.structs import replace

from netd.addresses import Addresses
from netd.errors import ForbiddenError, InternalError, InvalidError, NotFoundError
from netd.events import Events
from netd.locks import Locks
from netd.model import Container, ContainerRequest, Endpoint, EndpointRequest, Network
from netd.networks import Networks
from netd.plumbing import UNPLUMBED
from netd.runner import Runner
from netd.sandboxes import Sandboxes
from netd.store import Store

log = logging.getLogger(__name__)


class Endpoints:
    """The ports of containers on networks."""

    def __init__(
        self,
        store: Store,
        events: Events,
        locks: Locks,
        networks: Networks,
        addresses: Addresses,
        sandboxes: Sandboxes,
        runner: Runner,
    ) -> None:
        self._store, self._events, self._locks = store, events, locks
        self._networks, self._addresses = networks, addresses
        self._sandboxes, self._runner = sandboxes, runner

    def planned(self, request: ContainerRequest) -> tuple[Endpoint, ...]:
        """Return the endpoints a container is to have, its network mode's first; checked."""
        wanted = {request.host.network_mode: EndpointRequest(), **request.endpoints}
        endpoints: dict[str, Endpoint] = {}
        for reference, asked in wanted.items():
            try:
                network = self._networks.network(reference)
            except NotFoundError as error:
                # Not 404: the docker client takes that for a missing image and tries to pull it.
                raise InvalidError(str(error)) from error
            if network.id not in endpoints or asked != EndpointRequest():
                endpoints[network.id] = self._networks.endpoint(network, asked)
        alone = [e.network_name for e in endpoints.values() if e.network_name in UNPLUMBED]
        if alone and len(endpoints) > 1:
            raise InvalidError(f"network {alone[0]} cannot be combined with other networks")
        return tuple(endpoints.values())

    def reserve(self, container: Container) -> None:
        """Hold the addresses that the user asked for; all or none."""
        done: list[tuple[Network, Endpoint]] = []
        try:
            for endpoint in container.endpoints:
                network = self._networks.network(endpoint.network_id)
                self._addresses.reserve(network, container.name, endpoint.request)
                done.append((network, endpoint))
        except BaseException:
            for network, endpoint in done:
                self._addresses.unreserve(network, container.name, endpoint.request)
            raise

    def unreserve(self, container: Container) -> None:
        """Give the addresses that the user asked for back; repeatable."""
        for endpoint in container.endpoints:
            network = self._store.networks.get(endpoint.network_id)
            if network:
                self._addresses.unreserve(network, container.name, endpoint.request)

    def renamed(self, container: Container) -> None:
        """Let the leases of a container follow its new name, which is stored already."""
        for endpoint in container.endpoints:
            self._addresses.renamed(endpoint.network_id)

    async def connect(
        self, network_reference: str, reference: str, request: EndpointRequest
    ) -> None:
        """Put a container, running or not, on a further network."""
        network = self._networks.network(network_reference)
        id_ = self._find(reference).id
        async with self._locks.held(id_):
            container = self._find(id_)
            self._check_connect(container, network)
            endpoint = self._networks.endpoint(network, request)
            with ExitStack() as undo:
                self._addresses.reserve(network, container.name, request)
                undo.callback(self._addresses.unreserve, network, container.name, request)
                undo.callback(self._store.containers.put, container)
                container = replace(container, endpoints=(*container.endpoints, endpoint))
                self._store.containers.put(container)
                if container.state.running:
                    container = await self._sandboxes.join(container, endpoint)
                undo.pop_all()
            if container.state.running:
                self._write_files(container)
        self._events.network("connect", network, container=container.id)

    async def disconnect(self, network_reference: str, reference: str, *, force: bool) -> None:
        """Take a container off a network; with `force` one that is not on it is no error.

        A stopped container may also leave a network that has been removed meanwhile.
        """
        id_ = self._find(reference).id
        if await self._left_a_removed(network_reference, id_):
            return
        network = self._networks.network(network_reference)
        async with self._locks.held(id_):
            container = self._find(id_)
            endpoint = next((e for e in container.endpoints if e.network_id == network.id), None)
            if endpoint is None:
                if force:
                    return
                raise ForbiddenError(
                    f"container {container.id} is not connected to network {network.name}"
                )
            if network.name == "host":
                raise ForbiddenError("container cannot be disconnected from host network")
            if endpoint.interface:
                container = await self._sandboxes.leave(container, endpoint)
            self._addresses.unreserve(network, container.name, endpoint.request)
            remaining = tuple(e for e in container.endpoints if e.id != endpoint.id)
            container = replace(container, endpoints=remaining)
            self._store.containers.put(container)
            if container.state.running:
                self._write_files(container)
        self._events.network("disconnect", network, container=container.id)

    async def _left_a_removed(self, network_reference: str, id_: str) -> bool:
        # There may be another one of its name by now.
        known = self._store.networks.get(network_reference)
        name = known.name if known else network_reference
        async with self._locks.held(id_):
            container = self._find(id_)
            gone = [
                endpoint.id
                for endpoint in container.endpoints
                if name in {endpoint.network_name, endpoint.network_id}
                and endpoint.network_id not in self._store.networks
            ]
            if gone:
                remaining = tuple(e for e in container.endpoints if e.id not in gone)
                self._store.containers.put(replace(container, endpoints=remaining))
            return bool(gone)

    def _write_files(self, container: Container) -> None:
        # Behind everything else: the container is on the network, or off it, whatever comes here.
        try:
            self._runner.write_files(container)
        except InternalError as error:
            log.error("hosts of %s: %s", container.name, error)  # noqa: TRY400

    def _find(self, reference: str) -> Container:
        return self._store.containers.find(reference.removeprefix("/"))

    def _check_connect(self, container: Container, network: Network) -> None:
        names = {endpoint.network_name for endpoint in container.endpoints}
        if network.name in names:
            raise ForbiddenError(
                f"endpoint with name {container.name} already exists in network {network.name}"
            )
        if "host" in names or network.name == "host":
            raise ForbiddenError(
                "container sharing network namespace with the host cannot be connected to any "
                f"other network: {network.name}"
            )
        if "none" in names or network.name == "none":
            raise ForbiddenError(
                "container cannot be connected to multiple networks with one of the networks in "
                f"private (none) mode: {network.name}"
            )
