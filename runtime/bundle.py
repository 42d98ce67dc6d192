"""The OCI bundle of a container: config.json with Docker's defaults, computed from values alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from runtime import capabilities, seccomp
from runtime.errors import BundleError
from runtime.features import HostFeatures
from runtime.mounts import INIT, mounts, rootfs_propagation
from runtime.resources import resources, rlimits
from runtime.security import SecurityOptions, security_options
from runtime.spec import BundleSpec, ExecSpec

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def config(spec: BundleSpec, host: HostFeatures) -> dict[str, Any]:
    """Return config.json (OCI runtime specification 1.0.2) of a container.

    Raises BundleError for unknown capabilities or security options, or when an init is wanted
    and the host has none. Limits the host cannot keep are left out, see `resources.discarded`.
    """
    if spec.init and not host.init:
        raise BundleError("no init found on this host (catatonit or tini)")
    security = security_options(spec.security_opt)
    bounding = capabilities.granted(
        spec.cap_add, spec.cap_drop, available=host.capabilities, privileged=spec.privileged
    )
    return {
        "ociVersion": "1.0.2",
        "process": _process(spec, host, security, bounding),
        "root": {"path": str(spec.rootfs), "readonly": spec.read_only_rootfs},
        "hostname": spec.hostname,
        "mounts": mounts(spec, str(host.init) if spec.init else ""),
        "linux": _linux(spec, host, security, bounding),
    }


def exec_process(
    container: Mapping[str, Any], spec: ExecSpec, host: HostFeatures
) -> dict[str, Any]:
    """Return OCI's process of a further one, from the container's own config.json."""
    first = container["process"]
    bounding = first["capabilities"]["bounding"]
    if spec.privileged:
        bounding = list(capabilities.granted((), (), available=host.capabilities, privileged=True))
    process = {
        name: value
        for name, value in first.items()
        if name not in {"consoleSize", "terminal", "user", "args", "env", "cwd", "capabilities"}
    }
    term = ["TERM=xterm"] if spec.terminal else []
    return (
        process
        | _console(terminal=spec.terminal, size=spec.console_size)
        | {
            "user": _user(spec.uid, spec.gid, spec.additional_gids),
            "args": list(spec.args),
            "env": _merged(term, first["env"], spec.env),
            "cwd": spec.cwd or first["cwd"],
            "capabilities": _capability_sets(spec.uid, bounding),
        }
    )


def _process(
    spec: BundleSpec, host: HostFeatures, security: SecurityOptions, bounding: Iterable[str]
) -> dict[str, Any]:
    hostname = [f"HOSTNAME={spec.hostname}"] if spec.hostname else []
    term = ["TERM=xterm"] if spec.terminal else []
    process = _console(terminal=spec.terminal, size=spec.console_size) | {
        "user": _user(spec.uid, spec.gid, spec.additional_gids),
        "args": [INIT, "--", *spec.args] if spec.init else list(spec.args),
        "env": _merged([_PATH, *hostname, *term], spec.env),
        "cwd": spec.cwd or "/",
        "capabilities": _capability_sets(spec.uid, bounding),
        "noNewPrivileges": security.no_new_privileges,
    }
    if limits := rlimits(spec.ulimits, host):
        process["rlimits"] = limits
    # Without the capability the kernel lets nobody lower it, not even to where it was.
    if "CAP_SYS_RESOURCE" in host.capabilities or spec.oom_score_adj > 0:
        process["oomScoreAdj"] = spec.oom_score_adj
    if security.apparmor and security.apparmor != "unconfined":
        process["apparmorProfile"] = security.apparmor
    return process


def _linux(
    spec: BundleSpec, host: HostFeatures, security: SecurityOptions, bounding: tuple[str, ...]
) -> dict[str, Any]:
    devices = (*host.devices, *spec.devices) if spec.privileged else spec.devices
    linux: dict[str, Any] = {
        "namespaces": _namespaces(spec, host),
        "cgroupsPath": f"{spec.cgroup_parent.rstrip('/')}/{spec.id}",
        "resources": resources(spec, host),
        "sysctl": _sysctls(spec),
        "devices": [
            {
                "path": device.path, "type": device.kind, "major": device.major,
                "minor": device.minor, "fileMode": device.mode, "uid": device.uid,
                "gid": device.gid,
            }
            for device in devices
        ],
    }  # fmt: skip
    if not spec.privileged and not security.system_paths_open:
        linux["maskedPaths"] = [*_MASKED, *host.masked_paths]
        linux["readonlyPaths"] = list(_READ_ONLY)
    if propagation := rootfs_propagation(spec.mounts):
        linux["rootfsPropagation"] = propagation
    if profile := _seccomp(spec, host, security, bounding):
        linux["seccomp"] = profile
    return linux


def _namespaces(spec: BundleSpec, host: HostFeatures) -> list[dict[str, str]]:
    kinds = ["mount", "uts", "pid", "ipc"]
    if host.cgroup_mode == "v2":
        kinds.append("cgroup")
    namespaces = [{"type": kind} for kind in kinds]
    if spec.network:
        namespaces.append({"type": "network", "path": str(spec.network)})
    return namespaces


def _sysctls(spec: BundleSpec) -> dict[str, str]:
    # The specification's own field for it is newer than the OCI runtimes of many hosts.
    domain = {"kernel.domainname": spec.domainname} if spec.domainname else {}
    return dict(sorted((domain | dict(spec.sysctls)).items()))


def _seccomp(
    spec: BundleSpec, host: HostFeatures, security: SecurityOptions, bounding: tuple[str, ...]
) -> dict[str, Any] | None:
    if security.seccomp not in {"", "builtin", "unconfined"}:
        if not host.seccomp:
            raise BundleError("this kernel has no seccomp, a profile cannot be applied")
        return seccomp.custom_profile(security.seccomp, bounding, host.architecture, host.kernel)
    if not host.seccomp or security.seccomp == "unconfined":
        return None
    if spec.privileged and security.seccomp != "builtin":
        return None
    return seccomp.default_profile(bounding, host.architecture, host.kernel)


def _console(*, terminal: bool, size: tuple[int, int]) -> dict[str, Any]:
    console: dict[str, Any] = {"terminal": terminal}
    if terminal and all(size):
        console["consoleSize"] = {"height": size[0], "width": size[1]}
    return console


def _user(uid: int, gid: int, additional_gids: Iterable[int]) -> dict[str, Any]:
    # The group itself is listed too, or leaving it would open files that deny it (CVE-2022-36109).
    gids = list(dict.fromkeys((gid, *additional_gids)))
    return {"uid": uid, "gid": gid, "additionalGids": gids}


def _capability_sets(uid: int, bounding: Iterable[str]) -> dict[str, list[str]]:
    # As execve(2) would leave it: nothing is effective for others than root, and nothing is ever
    # inheritable or ambient (CVE-2022-24769).
    names = list(bounding)
    if uid:
        return {"bounding": names}
    return {"bounding": names, "effective": names, "permitted": names}


def _merged(*environments: Iterable[str]) -> list[str]:
    """Return one environment, later values in the place of earlier; "NAME" alone removes it."""
    merged: dict[str, str] = {}
    for words in environments:
        for word in words:
            name, equals, _ = word.partition("=")
            if equals:
                merged[name] = word
            else:
                merged.pop(name, None)
    return list(merged.values())
