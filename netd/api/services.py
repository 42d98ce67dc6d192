"""What the API asks of the daemon: protocols that its services and the tests' fakes satisfy."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from netd.config import DaemonConfig
from netd.model import (
    Container,
    ContainerRequest,
    Endpoint,
    EndpointRequest,
    Event,
    Exec,
    ExecRequest,
    Image,
    LogLine,
    Network,
    NetworkRequest,
    PortRequest,
)
from netd.rule_view import ShownRule
from netd.streams import Stream
from netd.system import System

Condition = Literal["not-running", "next-exit", "removed"]


class Networks(Protocol):
    """Networks: create, find, remove."""

    def network(self, reference: str, /) -> Network:
        """Return the network meant by an id, a name or a unique prefix of an id."""

    def list(self) -> Sequence[Network]:
        """Return all networks."""

    def members(self, network_id: str, /) -> Sequence[tuple[Container, Endpoint]]:
        """Return the running containers on a network, with their endpoints there."""

    async def create(self, request: NetworkRequest, /) -> Network:
        """Create a network."""

    async def remove(self, reference: str, /) -> Network:
        """Remove a network."""

    async def prune(self, matches: Callable[[Network], bool], /) -> Sequence[str]:
        """Remove the unused networks that match; return their names."""


class Endpoints(Protocol):
    """Containers joining and leaving networks."""

    async def connect(self, network: str, container: str, request: EndpointRequest, /) -> None:
        """Put a container on a network."""

    async def disconnect(self, network: str, container: str, /, *, force: bool) -> None:
        """Take a container off a network."""


class Ports(Protocol):
    """Published ports of containers that are there already."""

    async def add(self, reference: str, requests: Sequence[PortRequest], /) -> Container:
        """Publish more ports, at once where the container runs; return the container then."""

    async def remove(self, reference: str, requests: Sequence[PortRequest], /) -> Container:
        """Take ports away; a request without a port of the host means all that lead to its port."""


class Rules(Protocol):
    """The firewall's rules in force."""

    @property
    def backend(self) -> str:
        """Return the kind of firewall that they are in."""

    async def shown(self, of: str, /) -> Sequence[ShownRule]:
        """Return those about a network or container, all without a name or id."""


class ContainerVerbs(Protocol):
    """What changes containers."""

    async def create(self, request: ContainerRequest, /) -> tuple[Container, Sequence[str]]:
        """Create a container; return it with warnings."""

    async def start(self, reference: str, /) -> None:
        """Start a container."""

    async def stop(self, reference: str, /, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop a container."""

    async def kill(self, reference: str, /, signal: str = "KILL") -> None:
        """Send a signal."""

    async def rename(self, reference: str, name: str, /) -> None:
        """Give another name."""

    async def remove(self, reference: str, /, *, force: bool = False) -> None:
        """Remove a container."""


class ContainerStreams(Protocol):
    """What goes in and out of containers."""

    def waiter(self, reference: str, condition: Condition, /) -> Awaitable[int]:
        """Return what to await for the exit code; registered when this returns."""

    async def attach(self, reference: str, /, *, stdin: bool, stdout: bool, stderr: bool) -> Stream:
        """Return a stream, of a container that is yet to be started, too."""

    async def resize(self, reference: str, rows: int, columns: int, /) -> None:
        """Set the terminal's size."""

    def logs(
        self,
        reference: str,
        /,
        *,
        stdout: bool,
        stderr: bool,
        follow: bool = False,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int | None = None,
    ) -> AsyncIterator[LogLine]:
        """Iterate over what was written."""


class ContainerFacts(Protocol):
    """What can be asked about containers."""

    def container(self, reference: str, /) -> Container:
        """Return the container meant by an id, a name or a unique prefix of an id."""

    def list(self) -> Sequence[Container]:
        """Return all containers, oldest first."""

    def size(self, reference: str, /) -> int:
        """Return how many octets the writable layer takes."""

    def folder(self, id_: str, /) -> Path:
        """Return where its files are."""

    def sandbox(self, id_: str, /) -> Path | None:
        """Return its network namespace's path; absent: it has the host's."""


class Containers(ContainerVerbs, ContainerStreams, ContainerFacts, Protocol):
    """Containers, whole."""


class Execs(Protocol):
    """Further processes in containers."""

    async def create(self, container: str, request: ExecRequest, /) -> Exec:
        """Register a process."""

    def exec(self, id_: str, /) -> Exec:
        """Return one by its id."""

    def check(self, id_: str, /) -> Container:
        """Return its container; raises if that is gone or does not run."""

    async def start(
        self, id_: str, /, *, detach: bool, console_size: tuple[int, int] | None = None
    ) -> Stream | None:
        """Run it; return its stream, or None when detached."""

    async def resize(self, id_: str, rows: int, columns: int, /) -> None:
        """Set the terminal's size."""

    def of(self, container_id: str, /) -> Sequence[str]:
        """Return the ids of a container's execs that run."""


class Images(Protocol):
    """Images: those that are there."""

    def image(self, reference: str, /) -> Image:
        """Return the image meant by an id, a name or a unique prefix of an id."""

    def list(self) -> Sequence[Image]:
        """Return all images, oldest first."""

    def config(self, image_id: str, /) -> Mapping[str, object]:
        """Return an image's whole configuration as it came in."""

    async def tag(self, reference: str, repo: str, tag: str, /) -> None:
        """Give a further name."""

    async def remove(
        self,
        reference: str,
        /,
        force: bool = False,
        prune: bool = True,
    ) -> Sequence[tuple[Literal["Untagged", "Deleted"], str]]:
        """Take a name away, and with the last one the image."""


class ImageArchives(Protocol):
    """Images: those that come in."""

    async def load(self, chunks: AsyncIterator[bytes], /) -> Sequence[str]:
        """Take in an archive; return names, or ids of nameless ones."""

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        /,
        repo: str,
        tag: str,
        changes: Sequence[str],
        message: str,
    ) -> str:
        """Make an image of a root file system; return its id."""


class AllImages(Images, ImageArchives, Protocol):
    """Images, whole."""


class Events(Protocol):
    """What happens."""

    def stream(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> AsyncIterator[Event]:
        """Iterate over events from `since_ns` (absent: from now) to `until_ns` (absent: ever)."""


class DaemonServices(Protocol):
    """The daemon, as far as the API knows it."""

    @property
    def config(self) -> DaemonConfig:
        """Return the settings."""

    @property
    def networks(self) -> Networks:
        """Return the networks."""

    @property
    def endpoints(self) -> Endpoints:
        """Return who puts containers on networks."""

    @property
    def ports(self) -> Ports:
        """Return who publishes ports of containers."""

    @property
    def rules(self) -> Rules:
        """Return who tells the firewall's rules."""

    @property
    def containers(self) -> Containers:
        """Return the containers."""

    @property
    def execs(self) -> Execs:
        """Return the execs."""

    @property
    def images(self) -> AllImages:
        """Return the images."""

    @property
    def events(self) -> Events:
        """Return the events."""

    def system(self) -> System:
        """Return facts and counts."""
