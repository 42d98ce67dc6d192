"""The cgroups of a container: where they are, who is in them, and how to be rid of them.

The OCI runtime makes and removes them. This module is for what is left behind when it, or the
daemon, was killed in between: it kills what still runs there and removes the empty folders.
"""

import asyncio
import errno
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import RuntimeFault

_STEP_S = 0.005
_NOT_CONTROLLERS = frozenset({"rw", "ro", "xattr", "clone_children", "noprefix", "release_agent"})
_ROOT = Path("/sys/fs/cgroup")
_OCTAL = re.compile(r"\\([0-7]{3})")


class CgroupError(RuntimeFault):
    """A container's cgroup could not be emptied or removed."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of cgroups."""

    path: Path
    version: int  # 1 or 2
    controllers: frozenset[str] = frozenset()  # of version 1; "name=systemd" is none


def hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Return the trees below /sys/fs/cgroup from the text of a mountinfo (proc(5)), v2 last."""
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        words, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        if kind not in {"cgroup", "cgroup2"}:
            continue
        path = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), words.split(" ")[4]))
        # Trees mounted elsewhere, into somebody's root file system, are the same ones again.
        if path != _ROOT and _ROOT not in path.parents:
            continue
        # A later mount at the same place hides the earlier one.
        found[path] = Hierarchy(path, 1 if kind == "cgroup" else 2, _controllers(kind, options))
    return tuple(sorted(found.values(), key=lambda one: (one.version, str(one.path))))


def mounted() -> tuple[Hierarchy, ...]:
    """Return the trees this process sees."""
    return hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def folders(parent: str, id_: str, trees: Sequence[Hierarchy]) -> tuple[Path, ...]:
    """Return where a container's cgroups are, in each tree once, whether they exist or not."""
    place = f"{parent.strip('/')}/{id_}".lstrip("/")
    # cpu and cpuacct may be one tree at two places; the device and inode tell, if it is there.
    unique: dict[object, Path] = {}
    for tree in trees:
        path = tree.path / place
        try:
            facts = path.stat()
            unique.setdefault((facts.st_dev, facts.st_ino), path)
        except OSError:
            unique.setdefault(path, path)
    return tuple(unique.values())


def processes(paths: Iterable[Path]) -> frozenset[int]:
    """Return the ids of all processes in these cgroups and below them."""
    found: set[int] = set()
    for path in paths:
        for folder in _tree(path):
            with suppress(OSError):
                text = (folder / "cgroup.procs").read_text(encoding="ascii")
                found.update(int(word) for word in text.split())
    return frozenset(found - {0})  # 0: of a pid namespace that this process does not see


async def clear(paths: Sequence[Path], timeout_s: float = 10) -> None:
    """Kill every process in these cgroups and remove them; nothing happens if they are gone.

    Raises CgroupError when a process or a folder is still there after the time.
    """
    deadline = time.monotonic() + timeout_s
    while left := [path for path in paths if not _removed(path)]:
        if time.monotonic() > deadline:
            names = ", ".join(str(path) for path in left)
            raise CgroupError(f"cgroup is still in use: {names}: {sorted(processes(left))}")
        _kill(left)
        await asyncio.sleep(_STEP_S)


async def remove(paths: Sequence[Path], timeout_s: float = 2) -> None:
    """Remove cgroups that are empty or just emptying; ones with living processes stay."""
    deadline = time.monotonic() + timeout_s
    while not all([_removed(path) for path in paths]):  # noqa: C419 (each is tried)
        if time.monotonic() > deadline or processes(paths):
            return
        await asyncio.sleep(_STEP_S)


def _controllers(kind: str, options: str) -> frozenset[str]:
    if kind == "cgroup2":
        return frozenset()
    return frozenset(word for word in options.split(",") if "=" not in word) - _NOT_CONTROLLERS


def _kill(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):  # from Linux 5.14 on, version 2 alone
            (path / "cgroup.kill").write_text("1", encoding="ascii")
    for pid in processes(paths):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _removed(path: Path) -> bool:
    for folder in _tree(path):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise CgroupError(f"cannot remove cgroup {folder}: {error.strerror}") from error
    return True


def _tree(path: Path) -> Iterator[Path]:
    """Yield the folders below and at path, the deepest first."""
    for folder, _, _ in os.walk(path, topdown=False):
        yield Path(folder)
