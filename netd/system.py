"""The facts and counts behind `docker info`."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from netd import __version__
from netd.config import DaemonConfig
from netd.events import Events
from netd.model import Status
from netd.store import Store
from runtime.features import HostFeatures


class System(Struct, frozen=True):
    """The daemon and its host."""

    id: str
    name: str  # the host's
    version: str
    containers: int
    running: int
    stopped: int
    images: int
    network_drivers: tuple[str, ...]
    firewall: str  # iptables or nftables
    data_root: Path
    kernel: str
    os_name: str
    os_version: str
    architecture: str
    cpus: int
    memory: int  # octets
    cgroup_version: int
    runtimes: Mapping[str, Path]
    default_runtime: str
    seccomp: bool
    ipv4_forwarding: bool
    bridge_nf_iptables: bool
    bridge_nf_ip6tables: bool
    file_descriptors: int
    listeners: int
    warnings: tuple[str, ...]


def system(
    config: DaemonConfig,
    features: HostFeatures,
    store: Store,
    events: Events,
    drivers: tuple[str, ...],
    firewall: str,
) -> System:
    """Return the facts as they are now."""
    running = sum(each.state.running for each in store.containers)
    release = _os_release()
    return System(
        id=_id(config.data_root),
        name=platform.node(),
        version=__version__,
        containers=len([*store.containers]),
        running=running,
        stopped=sum(each.state.status is not Status.RUNNING for each in store.containers),
        images=len([*store.images]),
        network_drivers=drivers,
        firewall=firewall,
        data_root=config.data_root,
        kernel=platform.release(),
        os_name=release.get("PRETTY_NAME", "Linux"),
        os_version=release.get("VERSION_ID", ""),
        architecture=platform.machine(),
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cgroup_version=2 if features.cgroup_mode == "v2" else 1,
        runtimes={
            each.name: each.path for each in features.runtimes if each.path and not each.problem
        },
        default_runtime=features.runtime(config.default_runtime).name,
        seccomp=features.seccomp,
        ipv4_forwarding=_enabled("net/ipv4/ip_forward"),
        bridge_nf_iptables=_enabled("net/bridge/bridge-nf-call-iptables"),
        bridge_nf_ip6tables=_enabled("net/bridge/bridge-nf-call-ip6tables"),
        file_descriptors=len([*Path("/proc/self/fd").iterdir()]),
        listeners=events.listeners,
        warnings=(),
    )


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _enabled(key: str) -> bool:
    try:
        return Path("/proc/sys", key).read_text().strip() == "1"
    except OSError:
        return False


def _id(data_root: Path) -> str:
    digest = hashlib.sha256(f"{platform.node()} {data_root}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
