"""The host's ports that lead to containers: chosen, held, and given back.

Who has which is in the store, from before a port is held until after it is released. A process
holds them (`netd.port_holder`), and the firewall leads them to the containers.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from errno import EADDRINUSE
from pathlib import Path

from msgspec.structs import replace

from drivers.ports import Hold, PortRefusedError, PortsClient, PortsError
from netd.errors import InternalError
from netd.listeners import refusal
from netd.model import Address, Container, PortMapping
from netd.plumbing import gateway_endpoints
from netd.port_holder import PortHolder, Process
from netd.port_holds import holds, surplus
from netd.port_plan import Choice, Claims, ephemeral_ports
from netd.port_wishes import Gateways, Wish, targets, wishes
from netd.store import Store

log = logging.getLogger(__name__)

SETTINGS = Path("/proc/sys/net/ipv4")


class PublishedPorts:
    """Gives containers their ports of the host; one container at a time."""

    def __init__(
        self,
        store: Store,
        socket_path: Path,
        log_path: Path,
        default_address: Address | None,
        process: Process = PortsClient,
        ipv6: Callable[[], bool] | None = None,
    ) -> None:
        """Publish at `default_address` what names no address; absent: at all addresses.

        `ipv6` says whether the host has any; absent: it is found out.
        """
        self._store, self._default_address = store, default_address
        self._ipv6 = ipv6 or has_ipv6
        self._lock = asyncio.Lock()
        self._claims: dict[str, tuple[tuple[PortMapping, ...], Claims]] = {}
        self._holder = PortHolder(process, (socket_path, log_path), self._wanted, self._lock)

    async def start(self) -> None:
        """Let the ports of running containers be held, and no others; what fails is logged."""
        async with self._lock:
            for container in self._store.containers:
                if container.published and not container.state.running:
                    # Its start was cut off; it chooses again.
                    self._store.containers.note(replace(container, published=()))
            await self._holder.start()

    async def publish(self, container: Container) -> Container:
        """Give a plumbed container the ports it asks for; return it with these.

        What it has and still wants stays, what leads nowhere any more is given back. All or
        nothing: raises InternalError with the port, and who has it. Repeatable.
        """
        host = container.host
        if not (host.ports or host.publish_all or container.published):
            return container
        gateways = ways_out(container, self._store)
        wanted = wishes(container, gateways, self._default_address, ipv6=self._ipv6())
        if not (wanted or container.published):
            return container
        async with self._lock:
            choice = self._choice(container, wanted)
            try:
                return await self._publish(container, choice, targets(gateways))
            except (InternalError, PortsError, OSError) as error:
                raise InternalError(f"{_about(container)}: {error}") from error

    async def withdraw(self, container: Container) -> Container:
        """Give all ports of a container back; repeatable."""
        if not container.published:
            return container
        async with self._lock:
            await self._holder.release(holds(container.published))
            container = replace(container, published=())
            if container.id in self._store.containers:
                self._store.containers.note(container)
        return container

    async def stop(self, *, shutdown: bool) -> None:
        """Let go of the process that holds the ports; with `shutdown`, end it."""
        await self._holder.stop(shutdown=shutdown)

    def _wanted(self) -> Mapping[Hold, str]:
        return {
            hold: container.name
            for container in self._store.containers
            if container.published
            for hold in holds(container.published, targets(ways_out(container, self._store)))
        }

    def _choice(self, container: Container, wanted: Sequence[Wish]) -> Choice:
        ephemeral: Sequence[int] = ()
        if not all(wish.first for wish in wanted):
            ephemeral = _ephemeral_ports()
        start = random.randrange(max(len(ephemeral), 1))  # noqa: S311 - no secret
        return Choice(wanted, container.published, self._others(container), ephemeral, start)

    def _others(self, container: Container) -> Iterator[Claims]:
        """Yield what other containers have; what has not changed since the last time is kept."""
        known, self._claims = self._claims, {}
        for other in self._store.containers:
            if other.published:
                published, claims = known.get(other.id, ((), None))
                if claims is None or published is not other.published:
                    claims = Claims(f"container {other.name}", other.published)
                claims.owner = f"container {other.name}"
                self._claims[other.id] = (other.published, claims)
                if other.id != container.id:
                    yield claims

    async def _publish(
        self, before: Container, choice: Choice, leads_to: Mapping[int, Address]
    ) -> Container:
        # Clashes among containers are found here, before anything changes.
        after = replace(before, published=choice.mappings())
        try:
            while refused := await self._held(before, after, leads_to):
                why = await asyncio.to_thread(refusal, refused)
                in_use = refused.errno == EADDRINUSE
                if not (in_use and choice.refused(refused.hold, refused.port, why.owner)):
                    raise InternalError(why.sentence)
                log.debug("%s", why.sentence)
                after = replace(before, published=choice.mappings())
        except BaseException:
            await self._put_back(before, after, leads_to)
            raise
        return after

    async def _held(
        self, before: Container, after: Container, leads_to: Mapping[int, Address]
    ) -> PortRefusedError | None:
        """Change what is stored, then what is held; return what stands against it."""
        if after != before:
            self._store.containers.put(after)
        old, new = holds(before.published, leads_to), holds(after.published, leads_to)
        # First, because all addresses of a port are another socket than those of one family.
        await self._holder.release(surplus(old, new))
        try:
            if new:
                await self._holder.hold(new)
        except PortRefusedError as refused:
            return refused
        return None

    async def _put_back(
        self, before: Container, after: Container, leads_to: Mapping[int, Address]
    ) -> None:
        if after != before:
            self._store.containers.note(before)
        old, new = holds(before.published, leads_to), holds(after.published, leads_to)
        await self._holder.release(surplus(new, old))
        try:
            if old:
                await self._holder.hold(old)
        except PortsError as error:
            log.error("container %s: %s", before.name, error)  # noqa: TRY400


def ways_out(container: Container, store: Store) -> Gateways:
    """Return the endpoints of a container's default routes with their networks, by family."""
    return {
        family: (endpoint, network)
        if endpoint is not None and (network := store.networks.get(endpoint.network_id))
        else None
        for family, endpoint in gateway_endpoints(container).items()
    }


def has_ipv6() -> bool:
    """Return whether sockets of this thread's network namespace can have IPv6 addresses."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _ephemeral_ports() -> Sequence[int]:
    reserved = SETTINGS / "ip_local_reserved_ports"
    return ephemeral_ports(
        (SETTINGS / "ip_local_port_range").read_text(),
        reserved.read_text() if reserved.exists() else "",
    )


def _about(container: Container) -> str:
    endpoints = [each for each in gateway_endpoints(container).values() if each is not None]
    which = f"{container.name} ({endpoints[0].id})" if endpoints else container.name
    return f"driver failed programming external connectivity on endpoint {which}"
