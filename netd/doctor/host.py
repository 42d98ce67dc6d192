"""Facts of this machine that only need reading."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts", "user")
PACKAGES = ("aiohttp", "dnslib", "iptc", "msgspec", "pyroute2")
_CAPABILITIES = {
    "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_MKNOD": 27,
}  # fmt: skip
_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/bridge/bridge-nf-call-iptables",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
)


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the daemon's data lies."""

    path: Path  # the data root, or the nearest folder above it that is there
    filesystem: str
    free: int  # octets
    size: int


@dataclass(frozen=True, slots=True)
class Host:
    """What was read."""

    release: str
    root: bool
    capabilities: frozenset[str]  # of those the daemon wants
    namespaces: frozenset[str]
    settings: Mapping[str, int]  # below /proc/sys; those that are there
    packages: frozenset[str]  # Python's, that can be imported
    disk: Disk
    leftover_links: tuple[str, ...] = ()  # of this namespace, with netd's mark
    leftover_sandboxes: int = 0
    programs: Mapping[str, str] = field(default_factory=dict)  # name -> path


def host(data_root: Path, exec_root: Path) -> Host:
    """Read all; nothing is started and nothing changed."""
    return Host(
        release=os.uname().release,
        root=os.geteuid() == 0,
        capabilities=_capabilities(),
        namespaces=frozenset(n for n in NAMESPACES if Path(f"/proc/self/ns/{n}").exists()),
        settings={name: value for name in _SETTINGS if (value := _setting(name)) is not None},
        packages=frozenset(name for name in PACKAGES if find_spec(name)),
        disk=_disk(data_root),
        leftover_links=_marked_links(),
        leftover_sandboxes=_sandboxes(exec_root),
        programs={name: path for name in ("busybox",) if (path := shutil.which(name))},
    )


def _capabilities() -> frozenset[str]:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            mask = int(value, 16)
            return frozenset(n for n, bit in _CAPABILITIES.items() if mask >> bit & 1)
    return frozenset()


def _setting(name: str) -> int | None:
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None


def _disk(data_root: Path) -> Disk:
    path = data_root
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    return Disk(path, _filesystem(path.resolve()), usage.free, usage.total)


def _filesystem(path: Path) -> str:
    """Give the kind of file system a path lies on (proc_pid_mountinfo(5))."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].encode().decode("unicode_escape", "replace")
        # The last one of several at the same place is on top.
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind


def _marked_links() -> tuple[str, ...]:
    from netd.doctor.netlink import aliases

    try:
        return tuple(sorted(n for n, alias in aliases().items() if alias.startswith("netd ")))
    except OSError:
        return ()


def _sandboxes(exec_root: Path) -> int:
    try:
        return sum(1 for _ in (exec_root / "netns").iterdir())
    except OSError:
        return 0
