"""What a container shall be, in plain values: the input of `runtime.bundle`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host, or a tmpfs, at `target` inside."""

    kind: Literal["bind", "tmpfs"]
    target: str
    source: str = ""  # of a bind, absolute
    read_only: bool = False
    options: tuple[str, ...] = ()  # mount(8)'s words; of a tmpfs also "size=64m", "mode=1777"
    propagation: str = ""  # of a bind; empty: rprivate


@dataclass(frozen=True, slots=True)
class Device:
    """A device node inside the container."""

    path: str
    kind: Literal["c", "b"]
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit of the first process; -1 is unlimited."""

    name: str  # nofile
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Limits:
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


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """A container, complete: users resolved, paths absolute, the image's defaults applied."""

    id: str  # 64 hex digits
    rootfs: Path  # mounted
    args: tuple[str, ...]
    env: tuple[str, ...] = ()  # "NAME=value", the image's first
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)  # rows, columns; zero: the terminal's default
    hostname: str = ""
    domainname: str = ""
    network: Path | None = None  # of its network namespace; absent: the host's
    mounts: tuple[Mount, ...] = ()  # hosts, hostname and resolv.conf among them
    devices: tuple[Device, ...] = ()
    shm_size: int = 64 << 20  # bytes
    read_only_rootfs: bool = False
    privileged: bool = False
    init: bool = False  # a small init reaps and forwards signals
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 0
    cgroup_parent: str = "/netd"  # below each hierarchy's root


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A further process of a running container."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()  # beside the container's, and over it
    cwd: str = ""  # empty: the container's
    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    privileged: bool = False
