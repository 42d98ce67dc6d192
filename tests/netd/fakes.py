"""A daemon in memory: the services that `netd.api.services` describes, without a kernel."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netd.config import DaemonConfig
from netd.errors import (
    NotFoundError,
)
from netd.events import Events
from netd.model import (
    Config,
    Container,
    Endpoint,
    EndpointRequest,
    Image,
    Network,
    NetworkRequest,
    PortMapping,
    PortRequest,
)
from netd.rule_view import ShownRule
from netd.system import System
from tests.netd.fake_processes import FakeContainers, FakeExecs, Scripted
from tests.netd.makers import image, network

SYSTEM = System(
    id="11111111-2222-3333-4444-555555555555", name="host", version="0.1.0", containers=2,
    running=1, stopped=1, images=1, network_drivers=("bridge", "host", "null"), firewall="iptables",
    data_root=Path("/var/lib/netd"), kernel="6.1.0", os_name="Linux", os_version="1",
    architecture="x86_64", cpus=2, memory=1 << 30, cgroup_version=2,
    runtimes={"runc": Path("/usr/bin/runc")}, default_runtime="runc", seccomp=True,
    ipv4_forwarding=True, bridge_nf_iptables=False, bridge_nf_ip6tables=False,
    file_descriptors=10, listeners=0, warnings=(),
)  # fmt: skip


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


class FakePorts(Scripted):
    """Publishes what it is asked for on 0.0.0.0; a port that is left open becomes 49153."""

    def __init__(self, daemon: "FakeDaemon") -> None:
        super().__init__()
        self._daemon = daemon

    async def add(self, reference: str, requests: Sequence[PortRequest]) -> Container:
        self.called("add", reference, tuple(requests))
        found = self._daemon.containers.container(reference)
        new = tuple(
            PortMapping(
                host_address=each.host_address or ip_address("0.0.0.0"),
                host_port=each.host_port or 49153,
                port=each.port,
                protocol=each.protocol,
                count=each.count,
            )
            for each in requests
        )
        host = replace(found.host, ports=(*found.host.ports, *requests))
        return self._daemon.containers.add(
            replace(found, host=host, published=(*found.published, *new))
        )

    async def remove(self, reference: str, requests: Sequence[PortRequest]) -> Container:
        self.called("remove", reference, tuple(requests))
        found = self._daemon.containers.container(reference)
        gone = {(each.port, each.protocol, each.host_port) for each in requests}
        left = tuple(
            each
            for each in found.published
            if not gone & {(each.port, each.protocol, port) for port in (0, each.host_port)}
        )
        return self._daemon.containers.add(replace(found, published=left))


class FakeRules(Scripted):
    """Tells the rules it was given, of whatever it is asked."""

    backend = "nftables"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[ShownRule] = []

    async def shown(self, of: str) -> Sequence[ShownRule]:
        self.called("shown", of)
        return [*self.rows]


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
        self.ports = FakePorts(self)
        self.rules = FakeRules()
        self.containers = FakeContainers(self, root)
        self.execs = FakeExecs(self)
        self.broken: Exception | None = None  # what `system` raises

    def system(self) -> System:
        if self.broken:
            raise self.broken
        return SYSTEM


__all__ = ["SYSTEM", "FakeDaemon"]
