"""Try what a daemon would do, in namespaces of its own, so that nothing of the machine changes.

Run as a program, it enters new network and mount namespaces (and a user namespace, where it has no
privileges), tries, and prints its facts as JSON. All it made is gone with its last process. Only a
kernel module that was loaded for a probe stays: the daemon would load it, too.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from netd.doctor.netlink import link_problem

LINK_KINDS = ("bridge", "veth", "vxlan", "macvlan")
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Probes:
    """What was tried: a problem for each, empty where it works."""

    namespaces: str = ""  # why none could be entered; then nothing else was tried
    links: dict[str, str] = field(default_factory=dict)
    overlay: str = ""
    iptables: str = ""
    nftables: str = ""
    sctp: str = ""


def probed() -> Probes:
    """Try everything in a child process."""
    try:
        child = subprocess.run(
            [sys.executable, "-m", "netd.doctor.probes"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return Probes(**json.loads(child.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return Probes(namespaces=words[-1] if words else "the probes ended without a word")


def main() -> None:
    """Print the probes' facts."""
    print(json.dumps(asdict(_tried())))  # noqa: T201 - this is how they get to the parent


def _tried() -> Probes:
    privileged = os.geteuid() == 0
    flags = _CLONE_NEWNET | _CLONE_NEWNS | (0 if privileged else _CLONE_NEWUSER)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        return Probes(namespaces=os.strerror(ctypes.get_errno()))
    return Probes(
        links={kind: _guarded(partial(link_problem, kind)) for kind in LINK_KINDS},
        overlay=_guarded(_overlay_problem),
        # Without privileges the lock that all iptables share cannot be taken.
        iptables=_guarded(_iptables_problem) if privileged else "",
        nftables=_guarded(_nftables_problem),
        sctp=_guarded(_sctp_problem),
    )


def _guarded(probe: Callable[[], str]) -> str:
    """Give a probe's problem; one that breaks must not keep the others from being tried."""
    try:
        return probe()
    except Exception as error:
        return f"the probe broke: {type(error).__name__}: {error}"


def _overlay_problem() -> str:
    from runtime import syscalls
    from runtime.errors import RuntimeFault
    from runtime.overlay import Overlay, mount_overlay

    with tempfile.TemporaryDirectory() as place:
        try:
            syscalls.mount("none", "/", "", syscalls.MS_PRIVATE | 0x4000, "")  # MS_REC
            syscalls.mount("tmpfs", place, "tmpfs", 0, "")
        except OSError as error:
            return f"no tmpfs to try it on: {error.strerror}"
        try:
            folders = [Path(place, name) for name in ("lower", "upper", "work", "merged")]
            for folder in folders:
                folder.mkdir()
            lower, upper, work, merged = folders
            mount_overlay(Overlay((lower,), upper, work), merged)
            syscalls.umount(str(merged), 0)
        except (OSError, RuntimeFault) as error:
            return str(error)
        finally:
            syscalls.umount(place, 2)  # MNT_DETACH
    return ""


def _iptables_problem() -> str:
    from drivers.iptables import available

    return available() or ""


def _nftables_problem() -> str:
    from drivers.libnftables import available

    return available() or ""


def _sctp_problem() -> str:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


if __name__ == "__main__":
    main()
