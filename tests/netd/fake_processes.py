"""Containers and execs in memory, whose processes are the test itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from netd.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    NotModifiedError,
)
from netd.merge import command, merged
from netd.model import (
    Container,
    ContainerRequest,
    Endpoint,
    EndpointRequest,
    Exec,
    ExecRequest,
    LogLine,
    State,
    Status,
)
from netd.naming import new_id
from netd.store import now
from netd.waiting import Condition, Waiters

if TYPE_CHECKING:
    from tests.netd.fakes import FakeDaemon


class FakeStream:
    """Both ends of a process's streams: the test is the process."""

    def __init__(self) -> None:
        self.output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.input = bytearray()
        self.input_ended, self.closed = False, False
        self.deaf = False  # the process has closed its input
        self.reads = 0

    async def read(self) -> tuple[int, bytes] | None:
        self.reads += 1
        return await self.output.get()

    async def write(self, data: bytes) -> None:
        if self.deaf:
            raise BrokenPipeError
        self.input += data

    def write_eof(self) -> None:
        self.input_ended = True

    def close(self) -> None:
        self.closed = True

    def say(self, data: bytes, stream: int = 1) -> None:
        self.output.put_nowait((stream, data))

    def end(self) -> None:
        self.output.put_nowait(None)


class Scripted:
    """A service whose verbs fail when a test says so, and that remembers what was asked."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.calls: list[tuple[object, ...]] = []

    def called(self, verb: str, *arguments: object) -> None:
        self.calls.append((verb, *arguments))
        if verb in self.errors:
            raise self.errors[verb]


class FakeContainers(Scripted):
    """Containers whose processes are streams that the test speaks through."""

    def __init__(self, daemon: "FakeDaemon", root: Path) -> None:
        super().__init__()
        self._daemon, self._root = daemon, root
        self.rows: dict[str, Container] = {}
        self.streams: dict[str, list[FakeStream]] = {}
        self.lines: list[LogLine] = []
        self.told = 0  # lines handed out
        self.following = asyncio.Event()  # set: a follower of logs may end
        self.waiters = Waiters()
        self.gate: asyncio.Event | None = None  # verbs wait for it

    def add(self, container: Container) -> Container:
        self.rows[container.id] = container
        return container

    def container(self, reference: str) -> Container:
        bare = reference.removeprefix("/")
        for each in self.rows.values():
            if bare in {each.id, each.name}:
                return each
        found = [each for each in self.rows.values() if each.id.startswith(bare)]
        if len(found) > 1:
            raise InvalidError(f"multiple IDs found with provided prefix: {reference}")
        if not found:
            raise NotFoundError(f"No such container: {reference}")
        return found[0]

    def list(self) -> Sequence[Container]:
        return [*self.rows.values()]

    async def create(self, request: ContainerRequest) -> tuple[Container, Sequence[str]]:
        self.called("create", request)
        source = self._daemon.images.image(request.config.image)
        if any(each.name == request.name for each in self.rows.values()):
            raise ConflictError(f'Conflict. The container name "/{request.name}" is already in use')
        id_ = new_id()
        config = merged(request.config, source.config, id_[:12])
        path, *args = command(config)
        wanted = {request.host.network_mode: EndpointRequest(), **request.endpoints}
        endpoints = tuple(
            Endpoint(new_id(), net.id, net.name, asked)
            for name, asked in wanted.items()
            for net in [self._daemon.networks.network(name)]
        )
        made = Container(
            id=id_, name=request.name or "some_name", created=now(), image_id=source.id,
            config=config, host=request.host, path=path, args=tuple(args), endpoints=endpoints,
        )  # fmt: skip
        return self.add(made), ["mind the gap"] if request.name == "warned" else []

    async def start(self, reference: str) -> None:
        self.called("start", reference)
        container = self.container(reference)
        if container.state.running:
            raise NotModifiedError("already running")
        if self.gate:
            await self.gate.wait()
        self.add(replace(container, state=State(Status.RUNNING, pid=42, started=now())))
        self.called("started", reference)

    async def stop(self, reference: str, timeout_s: int | None = None, signal: str = "") -> None:
        self.called("stop", reference, timeout_s, signal)
        container = self.container(reference)
        if not container.state.running:
            raise NotModifiedError("not running")
        self.exit(container.id, 143)

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        self.called("kill", reference, signal)
        self.container(reference)

    async def rename(self, reference: str, name: str) -> None:
        self.called("rename", reference, name)

    async def remove(self, reference: str, *, force: bool = False) -> None:
        self.called("remove", reference, force)
        container = self.container(reference)
        if container.state.running and not force:
            raise ConflictError(
                f'cannot remove container "/{container.name}": container is running'
            )
        del self.rows[container.id]
        self.waiters.removed(container.id, container.state.exit_code)

    def exit(self, id_: str, code: int) -> None:
        """End a container's process."""
        container = self.rows[id_]
        state = State(Status.EXITED, exit_code=code, started=now(), finished=now())
        self.add(replace(container, state=state))
        for stream in self.streams.get(id_, []):
            stream.end()
        self.waiters.exited(id_, code)

    def waiter(self, reference: str, condition: Condition) -> Any:
        container = self.container(reference)
        self.called("waiter", condition)
        if condition == "not-running" and container.state.status is Status.EXITED:
            done = asyncio.get_running_loop().create_future()
            done.set_result(container.state.exit_code)
            return done
        return self.waiters.add(container.id, condition)

    async def attach(
        self, reference: str, *, stdin: bool, stdout: bool, stderr: bool
    ) -> FakeStream:
        self.called("attach", stdin, stdout, stderr)
        stream = FakeStream()
        self.streams.setdefault(self.container(reference).id, []).append(stream)
        return stream

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        self.called("resize", rows, columns)
        self.container(reference)

    async def logs(
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
        self.called("logs", stdout, stderr, follow, since_ns, tail)
        try:
            for line in self.lines:
                self.told += 1
                yield line
            if follow:
                await self.following.wait()
        finally:
            self.called("logs closed")

    def size(self, reference: str) -> int:
        return 100

    def folder(self, id_: str) -> Path:
        return self._root / "containers" / id_

    def sandbox(self, id_: str) -> Path | None:
        return Path("/run/netd/netns") / id_[:12]


class FakeExecs(Scripted):
    def __init__(self, daemon: "FakeDaemon") -> None:
        super().__init__()
        self._daemon = daemon
        self.rows: dict[str, Exec] = {}
        self.streams: dict[str, FakeStream] = {}

    async def create(self, container: str, request: ExecRequest) -> Exec:
        self.called("create", container, request)
        found = self._daemon.containers.container(container)
        if not found.state.running:
            raise ConflictError(f"container {found.id} is not running")
        made = Exec(new_id(), found.id, request)
        self.rows[made.id] = made
        self.streams[made.id] = FakeStream()
        return made

    def exec(self, id_: str) -> Exec:
        if id_ not in self.rows:
            raise NotFoundError(f"No such exec instance: {id_}")
        return self.rows[id_]

    def check(self, id_: str) -> Container:
        container = self._daemon.containers.container(self.exec(id_).container_id)
        if not container.state.running:
            raise ConflictError(f"container {container.id} is not running")
        return container

    async def start(
        self, id_: str, *, detach: bool, console_size: tuple[int, int] | None = None
    ) -> FakeStream | None:
        self.called("start", id_, detach, console_size)
        found = self.exec(id_)
        if found.running:
            raise ConflictError(f"Error: Exec command {id_} has already run")
        self.rows[id_] = replace(found, running=True, pid=43)
        return None if detach else self.streams[id_]

    async def resize(self, id_: str, rows: int, columns: int) -> None:
        self.called("resize", rows, columns)
        self.exec(id_)

    def of(self, container_id: str) -> Sequence[str]:
        return [each.id for each in self.rows.values() if each.container_id == container_id]
