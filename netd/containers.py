"""Containers: creating, finding and removing them; what they wrote; their networks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from netd.endpoints import Endpoints
from netd.errors import ConflictError, NotFoundError
from netd.events import Events
from netd.imageconfig import check_platform
from netd.images import Images
from netd.lifecycle import Lifecycle
from netd.locks import Locks
from netd.merge import command, merged
from netd.model import Container, ContainerRequest, LogLine, LogStream
from netd.naming import checked_name, made_up_name, new_id
from netd.resolver import Resolver
from netd.runner import Runner
from netd.sandboxes import Sandboxes
from netd.store import Store, now
from netd.streams import Stream
from netd.waiting import Condition

log = logging.getLogger(__name__)


class Containers:
    """The daemon's containers; the process's side of them is `Lifecycle`."""

    def __init__(
        self,
        *,
        store: Store,
        events: Events,
        locks: Locks,
        images: Images,
        endpoints: Endpoints,
        sandboxes: Sandboxes,
        resolver: Resolver,
        runner: Runner,
        lifecycle: Lifecycle,
    ) -> None:
        self._store, self._events, self._locks = store, events, locks
        self._images, self._endpoints = images, endpoints
        self._sandboxes, self._resolver = sandboxes, resolver
        self._runner, self._lifecycle = runner, lifecycle
        lifecycle.on_exit_remove = self._remove_ended

    def container(self, reference: str) -> Container:
        """Return the container meant by an id, a name or a unique prefix of an id."""
        return self._store.containers.find(reference.removeprefix("/"))

    def list(self) -> Sequence[Container]:
        """Return all containers, running or not, oldest first."""
        return [*self._store.containers]

    async def create(self, request: ContainerRequest) -> tuple[Container, Sequence[str]]:
        """Create a container that is ready to start, and warnings for the user.

        Raises NotFoundError for the image, ConflictError for the name, InvalidError for settings;
        nothing remains then.
        """
        image = self._images.image(request.config.image)
        check_platform(request.platform, image)
        id_ = new_id()
        config = merged(request.config, image.config, id_[:12])
        path, *args = command(config)
        container = Container(
            id=id_,
            name=self._free_name(request.name),
            created=now(),
            image_id=image.id,
            config=config,
            host=request.host,
            path=path,
            args=tuple(args),
            endpoints=self._endpoints.planned(request),
        )
        warnings = self._runner.check(container)
        self._endpoints.reserve(container)
        try:
            self._store.containers.put(container)
            await asyncio.to_thread(self._runner.make_folder, container)
        except BaseException:
            await self._unmake(container)
            raise
        log.info("created container %s from %s", container.name, config.image)
        self._events.container("create", container)
        return container, warnings

    async def start(self, reference: str) -> None:
        """Start a container."""
        await self._lifecycle.start(self.container(reference).id)

    async def stop(self, reference: str, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop a container: its stop signal, after the timeout KILL."""
        await self._lifecycle.stop(self.container(reference).id, timeout_s, signal)

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        """Send a signal to a container's first process."""
        await self._lifecycle.kill(self.container(reference).id, signal)

    def waiter(self, reference: str, condition: Condition) -> "asyncio.Future[int]":
        """Return what to await for the exit code; registered when this returns."""
        return self._lifecycle.waiter(self.container(reference), condition)

    async def attach(self, reference: str, *, stdin: bool, stdout: bool, stderr: bool) -> Stream:
        """Return a stream; a created container's begins with its first octet when it starts."""
        id_ = self.container(reference).id
        return await self._lifecycle.attach(id_, stdin=stdin, stdout=stdout, stderr=stderr)

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Set the size of a container's terminal."""
        await self._lifecycle.resize(self.container(reference).id, rows, columns)

    def logs(
        self,
        reference: str,
        *,
        stdout: bool,
        stderr: bool,
        follow: bool = False,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int | None = None,
    ) -> AsyncIterator[LogLine]:
        """Iterate over what a container wrote; with `follow` until it ends."""
        container = self.container(reference)
        ended: asyncio.Future[int] | None = None
        if follow and container.state.running:
            ended = self._lifecycle.waiter(container, "next-exit")
        return self._runner.logs(
            container,
            ended,
            streams=frozenset(_chosen(stdout=stdout, stderr=stderr)),
            tail=tail,
            since_ns=since_ns,
            until_ns=until_ns,
        )

    def size(self, reference: str) -> int:
        """Return how many octets a container's writable layer takes."""
        return self._runner.size(self.container(reference))

    def folder(self, id_: str) -> Path:
        """Return where a container's files are: hosts, hostname, resolv.conf, ctr.log."""
        return self._runner.folder(id_)

    def sandbox(self, id_: str) -> Path | None:
        """Return the path of a container's network namespace; absent: it has the host's."""
        return self._sandboxes.path(self.container(id_))

    async def rename(self, reference: str, name: str) -> None:
        """Give a container another name; it resolves by that at once."""
        id_ = self.container(reference).id
        async with self._locks.held(id_):
            container = self.container(id_)
            wanted = self._free_name(name)
            renamed = replace(container, name=wanted)
            self._store.containers.put(renamed)
            self._endpoints.renamed(container)
            if container.state.running and self._sandboxes.path(container) is not None:
                await self._resolver.update(renamed)
        self._events.container("rename", renamed, oldName=f"/{container.name}")

    async def remove(self, reference: str, *, force: bool = False) -> None:
        """Remove a container; one that runs is killed with `force`, else refused."""
        container = await self._lifecycle.settled(self.container(reference).id)
        if container.state.running:
            if not force:
                raise ConflictError(
                    f'cannot remove container "/{container.name}": container is running: '
                    "stop the container before removing or force remove"
                )
            try:
                await self._lifecycle.kill(container.id, "KILL")
            except ConflictError:
                log.debug("%s ended before it was killed", container.name)
        async with self._locks.held(container.id):
            current = self._store.containers.get(container.id)
            if current is None:
                if container.host.auto_remove:
                    return  # it was run with --rm, and its end has removed it
                raise NotFoundError(f"No such container: {reference}")
            if current.state.running:
                raise ConflictError(f"container {current.name} was started again meanwhile")
            # Stored first: what a crash leaves of it is not to be started, but removed for good.
            # A disk too full for that gets room by what is removed.
            current = replace(current, state=replace(current.state, removing=True))
            self._store.containers.note(current)
            await self._unmake(current)
        log.info("removed container %s", current.name)
        self._events.container("destroy", current)

    def _free_name(self, name: str) -> str:
        if not name:
            while self._store.containers.named(name := made_up_name()):
                pass
            return name
        bare = checked_name(name)
        holder = self._store.containers.named(bare)
        if holder:
            raise ConflictError(
                f'Conflict. The container name "/{bare}" is already in use by container '
                f'"{holder.id}". You have to remove (or rename) that container to be able to '
                "reuse that name."
            )
        return bare

    async def _remove_ended(self, container: Container) -> None:
        try:
            await self.remove(container.id)
        except (NotFoundError, ConflictError) as error:
            log.debug("not removed at its end: %s", error)

    async def _unmake(self, container: Container) -> None:
        container = await self._lifecycle.discard(container)
        await asyncio.to_thread(self._runner.remove_folder, container.id)
        self._endpoints.unreserve(container)
        self._store.containers.remove(container.id)
        self._lifecycle.removed(container)


def _chosen(*, stdout: bool, stderr: bool) -> Iterator[LogStream]:
    if stdout:
        yield "stdout"
    if stderr:
        yield "stderr"
