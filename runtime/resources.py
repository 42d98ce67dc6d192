"""Limits of a container as OCI's `linux.resources`, and what this host cannot limit."""

from collections.abc import Iterator
from typing import Any

from runtime.features import HostFeatures
from runtime.spec import BundleSpec, Device, Limits, Ulimit

_PERIOD_US = 100_000
_NANO = 1_000_000_000
# What each container may use: zero, null, urandom, random, tty and console. The OCI runtime adds
# pts and ptmx. fuse (10:229) is refused by name because old runtimes allowed it.
_USABLE = ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
_FUSE = (10, 229)


def resources(spec: BundleSpec, host: HostFeatures) -> dict[str, Any]:
    """Return the cgroup's settings; what the host has no controller for is left out."""
    limits = spec.limits
    parts = {
        "devices": _device_rules(spec),
        "memory": _memory(limits, host) if "memory" in host.controllers else {},
        "cpu": {
            **(_cpu(limits) if "cpu" in host.controllers else {}),
            **(_cpuset(limits) if "cpuset" in host.controllers else {}),
        },
        "pids": _pids(limits) if "pids" in host.controllers else {},
    }
    return {name: part for name, part in parts.items() if part}


def discarded(limits: Limits, host: HostFeatures) -> list[str]:
    """Return a warning in Docker's words for each limit that this host cannot keep."""
    return list(_discarded(limits, host))


def rlimits(wanted: tuple[Ulimit, ...], host: HostFeatures) -> list[dict[str, Any]]:
    """Return the limits of the first process, without those the host may not raise."""
    return [
        {
            "type": f"RLIMIT_{limit.name.upper()}",
            "soft": _size(limit.soft),
            "hard": _size(limit.hard),
        }
        for limit in wanted
        if _may_set(limit, host)
    ]


def _device_rules(spec: BundleSpec) -> list[dict[str, Any]]:
    if spec.privileged:
        return [{"allow": True, "access": "rwm"}]
    return [
        {"allow": False, "access": "rwm"},
        *(_device_rule("c", *numbers, allow=True) for numbers in _USABLE),
        _device_rule("c", *_FUSE, allow=False),
        *(_granted(device) for device in spec.devices),
    ]


def _granted(device: Device) -> dict[str, Any]:
    return _device_rule(device.kind, device.major, device.minor, allow=True)


def _device_rule(kind: str, major: int, minor: int, *, allow: bool) -> dict[str, Any]:
    return {"allow": allow, "type": kind, "major": major, "minor": minor, "access": "rwm"}


def _memory(limits: Limits, host: HostFeatures) -> dict[str, int]:
    # As Docker: a limit without a word on swap allows as much swap again.
    swap = limits.memory_swap or 2 * limits.memory if host.swap_limit else 0
    values = {
        "limit": limits.memory,
        "reservation": limits.memory_reservation,
        "swap": swap if limits.memory else 0,
    }
    return {name: value for name, value in values.items() if value}


def _cpu(limits: Limits) -> dict[str, int]:
    period = limits.cpu_period or (_PERIOD_US if limits.nano_cpus else 0)
    quota = limits.nano_cpus * period // _NANO if limits.nano_cpus else limits.cpu_quota
    values = {"shares": limits.cpu_shares, "quota": quota, "period": period}
    return {name: value for name, value in values.items() if value}


def _cpuset(limits: Limits) -> dict[str, str]:
    values = {"cpus": limits.cpuset_cpus, "mems": limits.cpuset_mems}
    return {name: value for name, value in values.items() if value}


def _pids(limits: Limits) -> dict[str, int]:
    return {"limit": limits.pids_limit} if limits.pids_limit > 0 else {}


def _discarded(limits: Limits, host: HostFeatures) -> Iterator[str]:
    lacking = "Your kernel does not support {} or the cgroup is not mounted. {} discarded."
    if limits.memory and "memory" not in host.controllers:
        yield lacking.format("memory limit capabilities", "Limitation")
    elif limits.memory_swap > 0 and not host.swap_limit:
        yield lacking.format("swap limit capabilities", "Memory limited without swap; swap limit")
    if "cpu" not in host.controllers:
        if limits.nano_cpus or limits.cpu_quota or limits.cpu_period:
            yield lacking.format("CPU CFS scheduler", "CPU limit")
        if limits.cpu_shares:
            yield lacking.format("CPU shares", "Shares")
    if (limits.cpuset_cpus or limits.cpuset_mems) and "cpuset" not in host.controllers:
        yield lacking.format("cpuset", "Cpuset")
    if limits.pids_limit > 0 and "pids" not in host.controllers:
        yield lacking.format("PIDs limit", "PIDs limit")


def _may_set(limit: Ulimit, host: HostFeatures) -> bool:
    if "CAP_SYS_RESOURCE" in host.capabilities:
        return True
    ceiling = host.rlimits.get(limit.name.lower())
    return ceiling is None or max(_size(limit.hard), _size(limit.soft)) <= _size(ceiling)


def _size(value: int) -> int:
    return value if value >= 0 else (1 << 64) - 1
