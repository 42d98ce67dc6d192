"""The mounts inside a container: Docker's own ones and the user's over them."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from runtime.spec import BundleSpec, Mount

INIT = "/dev/init"  # on the container's own tmpfs, so that the image stays as it is

_Entry = dict[str, Any]
# Docker's words for other systems and labels, which mean nothing to an OCI runtime here.
_IGNORED = frozenset({"z", "Z", "nocopy", "consistent", "cached", "delegated", "rw", "ro"})
_NOT_BELOW_DEV = {"/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}  # noqa: S108


def mounts(spec: BundleSpec, init: str) -> list[_Entry]:
    """Return the OCI runtime's mounts in the order they are made; `init` is the host's or empty."""
    own = [_entry(mount) for mount in spec.mounts]
    targets = {entry["destination"] for entry in own}
    hidden = _NOT_BELOW_DEV if "/dev" in targets else set()
    base = [
        entry
        for entry in _defaults(spec)
        if entry["destination"] not in targets and entry["destination"] not in hidden
    ]
    if init and "/dev" not in targets:
        base.append(_bind(init, INIT, ("ro",)))
    return base + sorted(own, key=lambda entry: len(PurePosixPath(entry["destination"]).parts))


def rootfs_propagation(wanted: Iterable[Mount]) -> str:
    """Return what the root must be for these mounts to pass on what is mounted below; or empty."""
    kinds = {mount.propagation.removeprefix("r") for mount in wanted}
    return "shared" if "shared" in kinds else "rslave" if "slave" in kinds else ""


def _defaults(spec: BundleSpec) -> list[_Entry]:
    guard = ["nosuid", "noexec", "nodev"]
    system = guard if spec.privileged else [*guard, "ro"]
    shm = [*guard, "mode=1777", f"size={spec.shm_size}"]
    return [
        _fs("/proc", "proc", "proc", guard),
        _fs("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _fs(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _fs("/sys", "sysfs", "sysfs", system),
        _fs("/sys/fs/cgroup", "cgroup", "cgroup", system),
        _fs("/dev/mqueue", "mqueue", "mqueue", guard),
        _fs("/dev/shm", "tmpfs", "shm", shm),  # noqa: S108
    ]


def _entry(mount: Mount) -> _Entry:
    if mount.kind == "bind":
        access = ("ro",) if mount.read_only else ()
        options = tuple(word for word in mount.options if word not in _IGNORED)
        return _bind(mount.source, mount.target, (*access, *options), mount.propagation)
    options = ("noexec", "nosuid", "nodev", *mount.options, *(("ro",) if mount.read_only else ()))
    return _fs(mount.target, "tmpfs", "tmpfs", _last_wins(options))


def _bind(source: str, target: str, options: tuple[str, ...], propagation: str = "") -> _Entry:
    recursive = "bind" if "bind-nonrecursive" in options else "rbind"
    rest = [word for word in options if word != "bind-nonrecursive"]
    return _fs(target, "bind", source, [recursive, *rest, propagation or "rprivate"])


def _fs(target: str, kind: str, source: str, options: list[str]) -> _Entry:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _last_wins(options: Iterable[str]) -> list[str]:
    """Drop words that a later one contradicts: noexec by exec, size=1m by size=2m."""
    chosen: dict[str, str] = {}
    for word in options:
        topic = {"ro": "access", "rw": "access"}.get(word) or word.split("=")[0].removeprefix("no")
        chosen.pop(topic, None)
        chosen[topic] = word
    return list(chosen.values())
