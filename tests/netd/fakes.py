"""A daemon in memory: the services that `netd.api.services` describes, without a kernel."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netd.config import DaemonConfig
from netd.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    NotModifiedError,
)
from netd.events import Events
from netd.merge import command, merged
from netd.model import (
    Config,
    Container,
    ContainerRequest,
    Endpoint,
    EndpointRequest,
    Exec,
    ExecRequest,
    Image,
    LogLine,
    Network,
    NetworkRequest,
    State,
    Status,
)
from netd.naming import new_id
from netd.store import now
from netd.system import System
from netd.waiting import Condition, Waiters
from tests.netd.makers import image, network

SYSTEM = System(
    id="11111111-2222-3333-4444-555555555555", name="host", version="0.1.0", containers=2,
    running=1, stopped=1, images=1, network_drivers=("bridge", "host", "null"),
    data_root=Path("/var/lib/netd"), kernel="6.1.0", os_name="Linux", os_version="1",
    architecture="x86_64", cpus=2, memory=1 << 30, cgroup_version=2,
    runtimes={"runc": Path("/usr/bin/runc")}, default_runtime="runc", seccomp=True,
    ipv4_forwarding=True, bridge_nf_iptables=False, bridge_nf_ip6tables=False,
    file_descriptors=10, listeners=0, warnings=(),
)  # fmt: skip


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


class FakeNetworks(Scripted):
    def __init__(self, daemon: "FakeDaemon") -> None:
        super().__init__()
        self._daemon = daemon
        self.rows = [
            network("bridge"),
            network("host", driver="host", subnets=()),
            network("none", driver="null", subnets=()),
        ]

    def network(self, reference: str) -> Network:
        for each in self.rows:
            if reference in {each.id, each.name} or each.id.startswith(reference):
                return each
        raise NotFoundError(f"network {reference} not found")

    def list(self) -> Sequence[Network]:
        return [*self.rows]

    def members(self, network_id: str) -> Sequence[tuple[Container, Endpoint]]:
        return [
            (container, endpoint)
            for container in self._daemon.containers.rows.values()
            for endpoint in container.endpoints
            if endpoint.network_id == network_id and container.state.running
        ]

    async def create(self, request: NetworkRequest) -> Network:
        self.called("create", request)
        made = network(request.name, driver=request.driver, labels=request.labels)
        self.rows.append(made)
        return made

    async def remove(self, reference: str) -> Network:
        self.called("remove", reference)
        gone = self.network(reference)
        self.rows.remove(gone)
        return gone

    async def prune(self, matches: Callable[[Network], bool]) -> Sequence[str]:
        self.called("prune")
        return [each.name for each in self.rows if matches(each) and each.name == "unused"]


class FakeEndpoints(Scripted):
    async def connect(self, network: str, container: str, request: EndpointRequest) -> None:
        self.called("connect", network, container, request)

    async def disconnect(self, network: str, container: str, *, force: bool) -> None:
        self.called("disconnect", network, container, force)


class FakeContainers(Scripted):
    """Containers whose processes are streams that the test speaks through."""

    def __init__(self, daemon: "FakeDaemon", root: Path) -> None:
        super().__init__()
        self._daemon, self._root = daemon, root
        self.rows: dict[str, Container] = {}
        self.streams: dict[str, list[FakeStream]] = {}
        self.lines: list[LogLine] = []
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


class FakeImages(Scripted):
    def __init__(self) -> None:
        super().__init__()
        self.rows = [
            image(
                "demo:latest",
                layers=("sha256:" + "1" * 64,),
                size=1000,
                config=Config(image="", cmd=("sh",), labels={"made": "here"}),
            )
        ]
        self.received = bytearray()
        self.raw: dict[str, object] = {"config": {"Cmd": ["sh"], "Env": ["A=b"]}}

    def image(self, reference: str) -> Image:
        name = reference if ":" in reference else f"{reference}:latest"
        for each in self.rows:
            bare = each.id.removeprefix("sha256:")
            if name in each.names or reference in {each.id, bare} or bare.startswith(reference):
                return each
        raise NotFoundError(f"No such image: {name}")

    def list(self) -> Sequence[Image]:
        return [*self.rows]

    def config(self, image_id: str) -> Mapping[str, object]:
        return self.raw

    async def tag(self, reference: str, repo: str, tag: str) -> None:
        self.called("tag", reference, repo, tag)
        self.image(reference)

    async def remove(
        self, reference: str, force: bool = False, prune: bool = True
    ) -> Sequence[tuple[Any, str]]:
        self.called("remove", reference, force, prune)
        gone = self.image(reference)
        self.rows.remove(gone)
        return [*(("Untagged", name) for name in gone.names), ("Deleted", gone.id)]

    async def load(self, chunks: AsyncIterator[bytes]) -> Sequence[str]:
        self.called("load")
        await self._receive(chunks)
        return ["demo:latest", "sha256:" + "b" * 64]

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        repo: str,
        tag: str,
        changes: Sequence[str],
        message: str,
    ) -> str:
        self.called("import", repo, tag, tuple(changes), message)
        await self._receive(chunks)
        return "sha256:" + "c" * 64

    async def _receive(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            self.received += chunk


class FakeDaemon:
    """All services, with three predefined networks and the image `demo`."""

    def __init__(self, root: Path) -> None:
        self.config = DaemonConfig(data_root=root, exec_root=root)
        self.events = Events()
        self.images = FakeImages()
        self.networks = FakeNetworks(self)
        self.endpoints = FakeEndpoints()
        self.containers = FakeContainers(self, root)
        self.execs = FakeExecs(self)
        self.broken: Exception | None = None  # what `system` raises

    def system(self) -> System:
        if self.broken:
            raise self.broken
        return SYSTEM


__all__ = ["SYSTEM", "FakeDaemon", "FakeStream"]
