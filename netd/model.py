"""The values of the daemon: what is stored, and what is read back.

Two kinds of things are stored, `Network` and `Container` (its endpoints inside it), beside
`Image`; each is one immutable value, replaced whole. Address pools, DNS records and firewall rules
are derived from them and stored nowhere. Docker's field names are known to `netd.api.docker` only.
"""

import ipaddress
from abc import ABC
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

    Address = IPv4Address | IPv6Address
    Prefix = IPv4Network | IPv6Network
    Interface = IPv4Interface | IPv6Interface
else:
    # msgspec decodes no union of two foreign classes; one abstract class stands for each pair.
    Address = type("Address", (ABC,), {})
    Prefix = type("Prefix", (ABC,), {})
    Interface = type("Interface", (ABC,), {})
    for _version in (4, 6):
        Address.register(getattr(ipaddress, f"IPv{_version}Address"))
        Prefix.register(getattr(ipaddress, f"IPv{_version}Network"))
        Interface.register(getattr(ipaddress, f"IPv{_version}Interface"))

PREDEFINED = ("bridge", "host", "none")

Transport = Literal["tcp", "udp", "sctp"]


class Subnet(Struct, frozen=True):
    """One subnet of a network, as it is used."""

    prefix: Prefix
    gateway: Address | None = None  # absent: the network has none (isolated, /31)
    ip_range: Prefix | None = None  # absent: addresses come from the whole prefix
    auxiliary: Mapping[str, Address] = field(default_factory=dict)
    chosen: bool = False  # by the user, so that containers may ask for addresses


class Network(Struct, frozen=True):
    """A network: an own layer 2 segment with its subnets."""

    id: str  # 64 hex digits
    name: str
    driver: str
    created: datetime
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    attachable: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)


class NetworkRequest(Struct, frozen=True):
    """What `networks.create` is asked for; subnets may lack everything but one prefix."""

    name: str
    driver: str = "bridge"
    subnets: tuple["SubnetRequest", ...] = ()
    internal: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    attachable: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)


class SubnetRequest(Struct, frozen=True):
    """Subnet settings as typed by the user; `ipam` parses them and reports all mistakes at once."""

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)


class EndpointRequest(Struct, frozen=True):
    """What the user asked for on one network of a container."""

    aliases: tuple[str, ...] = ()
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    mac: str = ""  # empty: netd derives it
    gateway_priority: int = 0
    driver_options: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()


class Endpoint(Struct, frozen=True):
    """A container's port on one network."""

    id: str  # 64 hex digits
    network_id: str
    network_name: str
    request: EndpointRequest = EndpointRequest()
    # All below is set while the container runs (the network has plumbed it), else empty.
    interface: str = ""  # inside the container: eth0
    host_interface: str = ""  # its other end, on the host
    mac: str = ""
    addresses: tuple[Interface, ...] = ()
    gateways: tuple[Address, ...] = ()

    @property
    def joined(self) -> bool:
        """Whether it is plumbed now."""
        return bool(self.interface) or self.network_name in {"host", "none"}


class PortRequest(Struct, frozen=True):
    """What the user asked to have published: a port, or a run of ports that shifts together.

    A run has exact ports of the host; only a single port may leave a choice.
    """

    port: int  # in the container, the first
    protocol: Transport = "tcp"
    count: int = 1
    host_address: Address | None = None  # absent: the network's default
    host_port: int = 0  # the first; zero: whichever is free
    host_last: int = 0  # any from host_port to here; zero: exactly host_port


class PortMapping(Struct, frozen=True):
    """Ports of the host that lead to a container while it runs, a run that shifts together."""

    host_address: Address  # the unspecified one: every address of its family
    host_port: int  # the first
    port: int  # in the container, the first
    protocol: Transport = "tcp"
    count: int = 1


class Mount(Struct, frozen=True):
    """A folder or file of the host, or a tmpfs, inside a container."""

    kind: Literal["bind", "tmpfs"]
    target: str
    source: str = ""
    read_only: bool = False
    options: tuple[str, ...] = ()
    propagation: str = ""


class Ulimit(Struct, frozen=True):
    """A resource limit of the first process."""

    name: str  # nofile
    soft: int
    hard: int


class Resources(Struct, frozen=True):
    """Limits of a container's cgroup; zero means not limited, as in Docker."""

    memory: int = 0  # bytes
    memory_reservation: int = 0
    memory_swap: int = 0  # bytes of memory and swap together; -1: unlimited swap
    nano_cpus: int = 0  # 1e-9 CPUs
    cpu_shares: int = 0
    cpu_period: int = 0  # microseconds
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    ulimits: tuple[Ulimit, ...] = ()


class Config(Struct, frozen=True):
    """What runs inside: Docker's Config, as asked for."""

    image: str  # as the user typed it
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    stop_signal: str = ""
    stop_timeout_s: int | None = None  # absent: 10


class HostConfig(Struct, frozen=True):
    """How the host runs it: Docker's HostConfig, the part that netd honours."""

    network_mode: str = "bridge"
    auto_remove: bool = False
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()  # "name:address", "name:host-gateway"
    privileged: bool = False
    read_only_rootfs: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    shm_size: int = 67108864
    oom_score_adj: int = 0
    runtime: str = ""  # empty: the daemon's default
    init: bool = False
    log_driver: Literal["json-file", "none"] = "json-file"
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    ports: tuple[PortRequest, ...] = ()
    publish_all: bool = False  # every exposed port, too
    console_size: tuple[int, int] = (0, 0)  # rows, columns


class Status(StrEnum):
    """Docker's container states that netd has."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    DEAD = "dead"


class State(Struct, frozen=True):
    """Where a container is in its life."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    starting: bool = False  # a start was asked for and has not ended: the intent
    removing: bool = False  # likewise a removal, which may have deleted some of it
    started: datetime | None = None  # absent: never
    finished: datetime | None = None  # absent: never

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self.status is Status.RUNNING


class Container(Struct, frozen=True):
    """A container, running or not, with its endpoints."""

    id: str  # 64 hex digits
    name: str  # without Docker's leading slash
    created: datetime
    image_id: str  # sha256:...
    config: Config  # merged with the image's
    host: HostConfig
    path: str  # the program
    args: tuple[str, ...]
    endpoints: tuple[Endpoint, ...] = ()  # in the order of attachment
    published: tuple[PortMapping, ...] = ()  # while it runs
    state: State = State()

    @property
    def short_id(self) -> str:
        """Its first 12 digits, which also resolve by DNS."""
        return self.id[:12]


class ContainerRequest(Struct, frozen=True):
    """What `containers.create` is asked for."""

    name: str  # empty: netd makes one up
    config: Config
    host: HostConfig = HostConfig()
    endpoints: Mapping[str, EndpointRequest] = field(default_factory=dict)  # by network name or id
    platform: str = ""


class Image(Struct, frozen=True):
    """An image: its configuration and its layers, found by id or one of its names."""

    id: str  # sha256:..., the digest of its configuration
    names: tuple[str, ...]  # "demo:latest", Docker's short form
    created: datetime
    tagged: datetime  # when a name was given last
    size: int  # octets, all layers unpacked
    layers: tuple[str, ...]  # diff ids, lowest first
    config: Config
    architecture: str
    os: str = "linux"
    author: str = ""
    comment: str = ""


class ExecRequest(Struct, frozen=True):
    """A further process for a running container."""

    cmd: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    privileged: bool = False
    detach_keys: str = ""


class Exec(Struct, frozen=True):
    """A further process, from its creation until its container stops."""

    id: str  # 64 hex digits
    container_id: str
    request: ExecRequest
    running: bool = False
    pid: int = 0
    exit_code: int | None = None  # absent: not ended


EventKind = Literal["container", "network", "image", "volume", "daemon"]


class Event(Struct, frozen=True):
    """Something that happened, for `GET /events`."""

    kind: EventKind
    action: str  # "start", "exec_create: sh -c true"
    id: str
    attributes: Mapping[str, str]
    time_ns: int  # since 1970


LogStream = Literal["stdout", "stderr"]


class LogLine(Struct, frozen=True):
    """One line of a container's output."""

    stream: LogStream
    time_ns: int  # since 1970
    text: bytes  # with its newline, where the container wrote one


__all__ = [
    "PREDEFINED", "Address", "Config", "Container", "ContainerRequest", "Endpoint",
    "EndpointRequest", "Event", "EventKind", "Exec", "ExecRequest", "HostConfig", "Image",
    "Interface",
    "LogLine", "LogStream", "Mount", "Network", "NetworkRequest", "PortMapping", "PortRequest",
    "Prefix", "Resources", "State", "Status", "Subnet", "SubnetRequest", "Transport", "Ulimit",
]  # fmt: skip
