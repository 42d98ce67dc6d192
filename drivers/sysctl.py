"""Kernel settings below /proc/sys/net, which belong to this thread's network namespace."""

import logging
from pathlib import Path

from drivers.contract import DriverError

log = logging.getLogger(__name__)

ROOT = Path("/proc/sys/net")
# The kernel keeps a number for each interface and makes nothing of it (ip-sysctl.rst, tag): "nd".
INTERNAL_TAG = "28260"
FORWARDING = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


def put(key: str, value: str) -> None:
    """Set `ipv4/ip_forward` to a value, unless it has it already.

    It is read first, because a setting that is right need not be writable. One of IPv6 that is
    not there means that the kernel has no IPv6, and nothing is to be done.
    """
    path = ROOT / key
    try:
        if path.read_text().split() == value.split():
            return
        path.write_text(value)
        log.debug("net/%s = %s", key, value)
    except FileNotFoundError as error:
        if not key.startswith("ipv6/"):
            raise DriverError(f"the kernel has no setting net/{key}") from error
    except OSError as error:
        raise DriverError(f"cannot set net/{key} to {value}: {error.strerror}") from error


def has(key: str, value: str) -> bool:
    """Return whether a setting has a value; one that is not there has none that is wrong."""
    try:
        return (ROOT / key).read_text().split() == value.split()
    except FileNotFoundError:
        return True


def bridged_families() -> frozenset[int]:
    """Return of which families rules see packets that only cross a bridge (br_netfilter)."""
    settings = {4: "bridge/bridge-nf-call-iptables", 6: "bridge/bridge-nf-call-ip6tables"}
    return frozenset(family for family, key in settings.items() if _is_one(ROOT / key))


def is_internal(interface: str) -> bool:
    """Return whether an interface is the bridge of an internal network."""
    try:
        return (ROOT / f"ipv4/conf/{interface}/tag").read_text().strip() == INTERNAL_TAG
    except FileNotFoundError:  # it has gone
        return False


def forwards(family: int) -> bool:
    """Return whether this host forwards packets of a family between its interfaces."""
    return _is_one(ROOT / FORWARDING[family])


def forward(family: int) -> None:
    """Let this host forward packets of a family between its interfaces; it is never undone.

    A host that forwards IPv6 ignores router advertisements and drops the routes it has from them,
    unless `accept_ra` says 2 (Documentation/networking/ip-sysctl.rst); so where they are accepted
    now, they stay so.
    """
    if family == 6 and not forwards(6):
        interfaces = ROOT / "ipv6/conf"
        for path in sorted(interfaces.glob("*/accept_ra")):
            if path.parent.name not in {"all", "default"} and _is_one(path):
                put(f"ipv6/conf/{path.parent.name}/accept_ra", "2")
    put(FORWARDING[family], "1")


def _is_one(path: Path) -> bool:
    try:
        return path.read_text().strip() == "1"
    except FileNotFoundError:  # the interface has gone
        return False
