"""Keeps the DNS server in step with the store.

The server is a process of its own and outlives the daemon; what it should know is derived from the
store. When it dies it is started anew and told everything again.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from dns.client import DnsClient, DnsServerError
from dns.control import EndpointRecords, View
from netd.errors import NetdError
from netd.model import Address, Container, Endpoint, Network
from netd.records import (
    endpoint_records,
    joined,
    nameservers,
    network_records,
    snapshot,
    view,
)
from netd.store import Store

log = logging.getLogger(__name__)

Sockets = tuple[socket.socket, socket.socket]
HOST_RESOLV_CONF = Path("/etc/resolv.conf")
RESOLV_CONF_POLL_S = 5
RETRY_S = 1


class Resolver:
    """The daemon's side of the DNS server."""

    def __init__(self, socket_path: Path, log_path: Path, store: Store, dns: tuple[Address, ...]):
        """Take the upstreams from the settings; with none the host's resolv.conf is followed."""
        self._socket_path, self._log_path = socket_path, log_path
        self._store, self._configured = store, dns
        self._upstreams = dns or nameservers(HOST_RESOLV_CONF)
        self._sockets: Callable[[Container], Awaitable[Sockets | None]] | None = None
        self._client: DnsClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._restarting = asyncio.Lock()

    @property
    def upstreams(self) -> tuple[Address, ...]:
        """The servers that are asked about foreign names now."""
        return self._upstreams

    async def start(self, sockets: Callable[[Container], Awaitable[Sockets | None]]) -> None:
        """Adopt a running server or start one; tell it everything.

        `sockets` opens a container's resolver sockets anew, for a server that lost them.
        """
        self._sockets = sockets
        await self._connect()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._follow())]

    async def open(self, container: Container, sockets: Sockets | None) -> None:
        """Answer a starting container: hand its sockets over, publish its names."""
        if sockets is None:
            return
        udp, tcp = sockets
        with udp, tcp:
            wanted = view(container, self._store, self._upstreams)
            await self._tell(lambda client: client.open_view(wanted, udp, tcp))
        await self._publish(container)

    async def update(self, container: Container, gone: Endpoint | None = None) -> None:
        """Publish a changed container's names; `gone` is an endpoint that it has no more."""
        if gone is not None:
            await self._tell(partial(_remove_endpoint, gone.id))
        await self._tell(partial(_put_view, view(container, self._store, self._upstreams)))
        await self._publish(container)

    async def close(self, container: Container) -> None:
        """Forget a container; repeatable."""
        for endpoint in container.endpoints:
            await self._tell(partial(_remove_endpoint, endpoint.id))
        await self._tell(lambda client: client.close_view(container.id))

    async def put_network(self, network: Network) -> None:
        """Make a network known."""
        await self._tell(lambda client: client.put_network(network_records(network)))

    async def remove_network(self, network: Network) -> None:
        """Forget a network; repeatable."""
        await self._tell(lambda client: client.remove_network(network.id))

    async def stop(self, *, shutdown: bool) -> None:
        """Let go of the server, which goes on answering; with `shutdown`, end it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if shutdown:
                await client.shutdown()
        except DnsServerError as error:
            log.debug("the DNS server is gone already: %s", error)
        await client.close()

    async def _publish(self, container: Container) -> None:
        for endpoint in container.endpoints:
            if endpoint.addresses:
                records = endpoint_records(container, endpoint)
                await self._tell(partial(_put_endpoint, records))

    async def _tell(self, request: Callable[[DnsClient], Awaitable[None]]) -> None:
        client = self._client
        try:
            if client is not None:
                await request(client)
                return
        except DnsServerError as error:
            if client is not None and not client.closed.is_set():
                # It lives, and refused: it knows less than we think. All it should know is told.
                log.warning("the DNS server refused, telling it everything again: %s", error)
                await client.synchronise(snapshot(self._store, self._upstreams))
                await request(client)
                return
            log.warning("the DNS server is gone, starting it anew: %s", error)
        await self._reconnect(client)
        if self._client is not None:
            await request(self._client)

    async def _reconnect(self, failed: DnsClient | None) -> None:
        async with self._restarting:
            if self._client is failed:
                if failed is not None:
                    await failed.close()
                await self._connect()

    async def _connect(self) -> None:
        self._client = await DnsClient.open(self._socket_path, self._log_path)
        served = await self._client.synchronise(snapshot(self._store, self._upstreams))
        askers = {container.id: container for container, _ in joined(self._store)}
        for id_ in askers.keys() - served:
            assert self._sockets is not None
            sockets = await self._sockets(askers[id_])
            if sockets is not None:
                udp, tcp = sockets
                with udp, tcp:
                    wanted = view(askers[id_], self._store, self._upstreams)
                    await self._client.open_view(wanted, udp, tcp)

    async def _watch(self) -> None:
        while True:
            client = self._client
            if client is not None:
                await client.closed.wait()
                log.warning("the DNS server ended; starting it anew")
            try:
                await self._reconnect(client)
            except (DnsServerError, OSError, NetdError) as error:
                log.error("the DNS server cannot be started: %s", error)  # noqa: TRY400
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        # The host's resolv.conf changes with its uplink (DHCP, VPN); running containers follow.
        while not self._configured:
            await asyncio.sleep(RESOLV_CONF_POLL_S)
            upstreams = nameservers(HOST_RESOLV_CONF)
            if upstreams != self._upstreams:
                log.info("the host's nameservers changed to %s", ", ".join(map(str, upstreams)))
                self._upstreams = upstreams
                for container in {c.id: c for c, _ in joined(self._store)}.values():
                    wanted = view(container, self._store, upstreams)
                    await self._tell(partial(_put_view, wanted))


async def _remove_endpoint(id_: str, client: DnsClient) -> None:
    await client.remove_endpoint(id_)


async def _put_endpoint(records: EndpointRecords, client: DnsClient) -> None:
    await client.put_endpoint(records)


async def _put_view(wanted: View, client: DnsClient) -> None:
    await client.put_view(wanted)
