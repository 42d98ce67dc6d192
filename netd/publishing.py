"""Ports of a container that is there already: further ones published, others taken away."""

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec.structs import replace

from netd.errors import ConflictError, NotFoundError
from netd.events import Events
from netd.locks import Locks
from netd.model import Config, Container, PortRequest
from netd.port_wishes import exposed
from netd.sandboxes import on_host
from netd.store import Store

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """Who lets ports lead to containers: `netd.sandboxes.Sandboxes`."""

    async def publish(self, container: Container, /) -> Container:
        """Let the ports lead to a running container that it asks for now; all or none."""


class Publishing:
    """Changes which ports of a container are published; one that runs feels it at once."""

    def __init__(self, store: Store, events: Events, locks: Locks, publisher: Publisher) -> None:
        self._store, self._events, self._locks = store, events, locks
        self._publisher = publisher

    async def add(self, reference: str, requests: Sequence[PortRequest]) -> Container:
        """Publish further ports, all or none; those that are published already stay."""
        id_ = self._find(reference).id
        async with self._locks.held(id_):
            container = self._find(id_)
            ports = tuple(dict.fromkeys((*container.host.ports, *requests)))
            return await self._change(container, ports, publish_all=container.host.publish_all)

    async def remove(self, reference: str, requests: Sequence[PortRequest]) -> Container:
        """Take ports away; NotFoundError for one that is not published, and then none goes.

        A request without a port of the host means every one that leads to the container's.
        """
        id_ = self._find(reference).id
        async with self._locks.held(id_):
            container = self._find(id_)
            left = [single for asked in _explicit(container) for single in _singles(asked)]
            for request in (single for asked in requests for single in _singles(asked)):
                kept = [each for each in left if not _is_meant(request, each, container)]
                if len(kept) == len(left):
                    raise NotFoundError(
                        f"container {container.name} does not publish {_told(request)}"
                    )
                left = kept
            return await self._change(container, tuple(_runs(left)), publish_all=False)

    def _find(self, reference: str) -> Container:
        return self._store.containers.find(reference.removeprefix("/"))

    async def _change(
        self, before: Container, ports: tuple[PortRequest, ...], *, publish_all: bool
    ) -> Container:
        if on_host(before):
            raise ConflictError(
                f"container {before.name} is on the host's network: it has the host's ports anyway"
            )
        host = replace(before.host, ports=ports, publish_all=publish_all)
        after = replace(before, host=host, config=_exposing(before.config, ports))
        self._store.containers.put(after)
        if after.state.running:
            try:
                after = await self._publisher.publish(after)
            except BaseException:
                current = self._store.containers.get(before.id) or before
                # What it has by now is not undone here: it was not changed, or is back.
                self._store.containers.note(
                    replace(current, host=before.host, config=before.config)
                )
                raise
        log.info("ports of %s: %s", after.name, len(after.published))
        self._events.container("update", after)
        return after


def _exposing(config: Config, ports: Sequence[PortRequest]) -> Config:
    """Return the settings with the ports among the exposed ones, as at a creation."""
    more = (
        f"{port}/{asked.protocol}"
        for asked in ports
        for port in range(asked.port, asked.port + asked.count)
    )
    return replace(config, exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *more))))


def _explicit(container: Container) -> Iterator[PortRequest]:
    """Yield what is asked for, and for `-P` each port that it stands for."""
    yield from container.host.ports
    yield from exposed(container)


def _singles(asked: PortRequest) -> Iterator[PortRequest]:
    for shift in range(asked.count):
        host_port = asked.host_port + shift if asked.host_port else 0
        yield replace(asked, port=asked.port + shift, count=1, host_port=host_port)


def _is_meant(request: PortRequest, published: PortRequest, container: Container) -> bool:
    if (request.port, request.protocol) != (published.port, published.protocol):
        return False
    if request.host_address not in {None, published.host_address}:
        return False
    return not request.host_port or request.host_port in _host_ports(published, container)


def _host_ports(published: PortRequest, container: Container) -> set[int]:
    """Return the port of the host that was asked for, or those that it got."""
    if published.host_port and not published.host_last:
        return {published.host_port}
    return {
        mapping.host_port + published.port - mapping.port
        for mapping in container.published
        if mapping.protocol == published.protocol
        and mapping.port <= published.port < mapping.port + mapping.count
    }


def _runs(singles: Sequence[PortRequest]) -> Iterator[PortRequest]:
    """Yield the ports with those that follow one another put together again."""
    run: PortRequest | None = None
    for each in singles:
        if run is not None and each.host_port and not each.host_last and _follows(run, each):
            run = replace(run, count=run.count + 1)
            continue
        if run is not None:
            yield run
        run = each
    if run is not None:
        yield run


def _follows(run: PortRequest, each: PortRequest) -> bool:
    following = replace(run, port=run.port + run.count, host_port=run.host_port + run.count)
    return bool(run.host_port) and replace(following, count=1) == each


def _told(request: PortRequest) -> str:
    where = f"{request.host_port}->" if request.host_port else ""
    return f"{where}{request.port}/{request.protocol}"
