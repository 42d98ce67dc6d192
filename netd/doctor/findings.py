"""What the facts mean: one finding a topic, with what to do about it (pure)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from netd.doctor.host import NAMESPACES, PACKAGES, Host
from netd.doctor.probes import Probes
from runtime.features import HostFeatures, Program

_OLDEST_KERNEL = (5, 6)  # openat2(2), by which files inside of containers are opened
_LEAST_FREE_BYTES = 1_000_000_000
_WANTED_CONTROLLERS = ("cpu", "memory", "pids")
_UNFIT_FILESYSTEMS = {"overlay", "nfs", "nfs4", "fuse", "9p", "vfat", "ecryptfs"}
_OPTIONAL_LINKS = {"vxlan": "networks across hosts", "macvlan": "macvlan networks"}


class Verdict(StrEnum):
    """How a finding bears on running containers."""

    OK = "ok"
    NOTE = "note"  # containers run, something does not
    MISSING = "missing"  # containers cannot run
    UNKNOWN = "unknown"  # could not be looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about a topic, and what to do."""

    topic: str
    verdict: Verdict
    text: str
    advice: str = ""  # empty: nothing to do


def findings(host: Host, probes: Probes, features: HostFeatures) -> list[Finding]:
    """Give all findings about the machine, those that all else needs first."""
    return [
        _kernel(features, host),
        _privileges(host),
        _namespaces(host, probes),
        *_links(probes),
        _tried("overlayfs", probes.overlay, probes, "modprobe overlay"),
        _iptables(host, probes),
        _nftables(probes),
        _sctp(probes),
        *_settings(host),
        _cgroups(features),
        _seccomp(features),
        *_runtimes(features.runtimes),
        _conmon(features.conmon),
        _packages(host),
        _disk(host),
    ]


def leftovers(host: Host) -> Iterator[Finding]:
    """Give what a daemon that runs no more left behind."""
    links, sandboxes = len(host.leftover_links), host.leftover_sandboxes
    if links or sandboxes:
        names = f" ({', '.join(host.leftover_links)})" if links else ""
        yield Finding(
            "leftovers", Verdict.NOTE,
            f"{links} links{names} and {sandboxes} network namespaces of a daemon that ended",
            "start the daemon: it takes them over or removes them",
        )  # fmt: skip


def _kernel(features: HostFeatures, host: Host) -> Finding:
    if features.kernel < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        return Finding("kernel", Verdict.MISSING, f"{host.release} is too old",
                       f"boot Linux {oldest} or newer")  # fmt: skip
    return Finding("kernel", Verdict.OK, f"Linux {host.release} on {features.architecture}")


def _privileges(host: Host) -> Finding:
    if not host.root:
        text = "not root: some things could not be looked at"
        return Finding("privileges", Verdict.UNKNOWN, text, "sudo netd doctor")
    lacking = sorted({"CAP_NET_ADMIN", "CAP_SYS_ADMIN"} - host.capabilities)
    if lacking:
        return Finding("privileges", Verdict.MISSING, f"root without {' and '.join(lacking)}",
                       "run outside of this container, or give it all privileges")  # fmt: skip
    fewer = sorted({"CAP_SYS_RESOURCE", "CAP_MKNOD"} - host.capabilities)
    if fewer:
        return Finding("privileges", Verdict.NOTE, f"root without {' and '.join(fewer)}",
                       "limits cannot be raised above this process's own")  # fmt: skip
    return Finding("privileges", Verdict.OK, "root with all capabilities that netd uses")


def _namespaces(host: Host, probes: Probes) -> Finding:
    lacking = [name for name in NAMESPACES if name not in host.namespaces]
    if set(lacking) - {"user"}:
        return Finding("namespaces", Verdict.MISSING, f"the kernel lacks: {', '.join(lacking)}",
                       "boot a kernel with CONFIG_NAMESPACES and all kinds of them")  # fmt: skip
    if probes.namespaces:
        verdict = Verdict.MISSING if host.root else Verdict.UNKNOWN
        return Finding("namespaces", verdict, f"none could be entered: {probes.namespaces}",
                       "allow unshare(2), or try as root")  # fmt: skip
    return Finding("namespaces", Verdict.OK, ", ".join(n for n in NAMESPACES if n not in lacking))


def _links(probes: Probes) -> Iterator[Finding]:
    for kind in ("bridge", "veth"):
        yield _tried(kind, probes.links.get(kind, ""), probes, f"modprobe {kind}")
    for kind, use in _OPTIONAL_LINKS.items():
        problem = probes.links.get(kind, "")
        if problem:
            text = f"no {kind} links: {problem.lower()}; {use} need them"
            yield Finding(kind, Verdict.NOTE, text, f"modprobe {kind}")
        else:
            yield _tried(kind, "", probes, "")


def _tried(topic: str, problem: str, probes: Probes, advice: str) -> Finding:
    if probes.namespaces:
        return Finding(topic, Verdict.UNKNOWN, "could not be tried without namespaces")
    if problem:
        return Finding(topic, Verdict.MISSING, f"does not work: {problem.lower()}", advice)
    return Finding(topic, Verdict.OK, "works")


def _iptables(host: Host, probes: Probes) -> Finding:
    if not host.root:
        return Finding("iptables", Verdict.UNKNOWN, "could not be tried without privileges")
    if probes.iptables and not probes.nftables and not probes.namespaces:
        text = f"not used: {probes.iptables.lower()}; rules go into nftables"
        return Finding("iptables", Verdict.OK, text)
    return _tried(
        "iptables", probes.iptables, probes,
        "modprobe iptable_nat iptable_filter; apt-get install iptables libnftables1",
    )  # fmt: skip


def _nftables(probes: Probes) -> Finding:
    if probes.nftables and not probes.namespaces:
        text = f"{probes.nftables}: containers can speak with the addresses of others"
        return Finding("nftables", Verdict.NOTE, text,
                       "modprobe nf_tables; apt-get install libnftables1")  # fmt: skip
    return _tried("nftables", "", probes, "")


def _sctp(probes: Probes) -> Finding:
    if probes.sctp and not probes.namespaces:
        text = f"{probes.sctp.lower()}: ports of SCTP cannot be published"
        return Finding("sctp", Verdict.NOTE, text, "modprobe sctp, if you need it")
    return _tried("sctp", "", probes, "")


def _settings(host: Host) -> Iterator[Finding]:
    bridged = host.settings.get("net/bridge/bridge-nf-call-iptables")
    yield Finding(
        "br_netfilter", Verdict.OK,
        "not loaded: bridged packets skip iptables" if bridged is None
        else f"bridged packets {'cross' if bridged else 'skip'} iptables; netd works with both",
    )  # fmt: skip
    on = host.settings.get("net/ipv4/ip_forward")
    yield Finding("forwarding", Verdict.OK, "net.ipv4.ip_forward is on" if on
                  else "net.ipv4.ip_forward is off; netd turns it on with the first network"
                  )  # fmt: skip
    most = host.settings.get("net/netfilter/nf_conntrack_max")
    used = host.settings.get("net/netfilter/nf_conntrack_count", 0)
    if most and used > most * 0.8:
        yield Finding("conntrack", Verdict.NOTE, f"{used} of {most} connections in use",
                      "sysctl -w net.netfilter.nf_conntrack_max=...")  # fmt: skip
    else:
        yield Finding("conntrack", Verdict.OK, f"{used} of {most} connections in use" if most
                      else "not loaded yet; comes with the first rules")  # fmt: skip


def _cgroups(features: HostFeatures) -> Finding:
    if features.cgroup_problem:
        advice = "mount cgroup2 at /sys/fs/cgroup, or give this container its own"
        return Finding("cgroups", Verdict.MISSING, features.cgroup_problem, advice)
    lacking = [name for name in _WANTED_CONTROLLERS if name not in features.controllers]
    there = " ".join(sorted(features.controllers)) or "none"
    if lacking:
        return Finding("cgroups", Verdict.NOTE,
                       f"{features.cgroup_mode} without {', '.join(lacking)}",
                       "limits of these are not enforced; see cgroup_disable= on the kernel's "
                       "command line")  # fmt: skip
    return Finding("cgroups", Verdict.OK, f"{features.cgroup_mode}; controllers: {there}")


def _seccomp(features: HostFeatures) -> Finding:
    if features.seccomp:
        return Finding("seccomp", Verdict.OK, "system calls are filtered")
    return Finding("seccomp", Verdict.NOTE, "the kernel filters no system calls",
                   "boot a kernel with CONFIG_SECCOMP_FILTER")  # fmt: skip


def _runtimes(programs: Sequence[Program]) -> Iterator[Finding]:
    usable = any(not program.problem for program in programs)
    for program in programs:
        if not program.problem:
            yield Finding(program.name, Verdict.OK, f"{program.path} {program.version}".rstrip())
        elif usable:
            yield Finding(program.name, Verdict.OK, f"not used: {program.problem}")
        else:
            yield Finding(program.name, Verdict.MISSING, program.problem,
                          f"apt-get install {program.name}")  # fmt: skip


def _conmon(program: Program) -> Finding:
    if program.problem:
        return Finding("conmon", Verdict.MISSING, program.problem, "apt-get install conmon")
    return Finding("conmon", Verdict.OK, f"{program.path} {program.version}".rstrip())


def _packages(host: Host) -> Finding:
    lacking = [name for name in PACKAGES if name not in host.packages]
    if lacking:
        return Finding("python", Verdict.MISSING, f"packages are missing: {', '.join(lacking)}",
                       "install netd again: ./setup")  # fmt: skip
    return Finding("python", Verdict.OK, f"all packages: {', '.join(PACKAGES)}")


def _disk(host: Host) -> Finding:
    disk = host.disk
    text = (
        f"{disk.free / 1e9:.1f} of {disk.size / 1e9:.1f} GB free at {disk.path} ({disk.filesystem})"
    )
    if disk.filesystem in _UNFIT_FILESYSTEMS or disk.filesystem.startswith("fuse."):
        return Finding("disk", Verdict.MISSING, f"{text}: it carries no overlayfs",
                       "name another folder: netd daemon --data-root PATH")  # fmt: skip
    if disk.free < _LEAST_FREE_BYTES:
        return Finding("disk", Verdict.NOTE, text, "make room, or name another --data-root")
    return Finding("disk", Verdict.OK, text)
