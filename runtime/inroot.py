"""Open and make files below a root whose content is not trusted.

A container's or image's own links decide where a path leads. The kernel follows them here as if
the process had changed its root (openat2(2), RESOLVE_IN_ROOT), so neither `..` nor an absolute
link nor a link swapped at the last moment leads out.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from runtime import syscalls

_LINKS_AT_MOST = 40  # as the kernel, path_resolution(7)


def open_in_root(root: int | Path, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` as seen by a process whose root is `root` (a folder or its descriptor)."""
    if isinstance(root, int):
        return _open(root, path, flags, mode, syscalls.RESOLVE_NO_MAGICLINKS)
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open(folder, path, flags, mode, syscalls.RESOLVE_NO_MAGICLINKS)
    finally:
        os.close(folder)


def make_directories_in_root(
    root: int | Path, path: str, uid: int = 0, gid: int = 0, mode: int = 0o755
) -> None:
    """Make a folder and the missing ones above it; those that are made belong to uid and gid.

    Links on the way are followed inside the root, dangling ones too. May be repeated.
    """

    def make(parent: int, name: str) -> None:
        os.mkdir(name, 0o700, dir_fd=parent)
        folder = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchown(folder, uid, gid)
            os.fchmod(folder, mode)  # whatever the umask is
        finally:
            os.close(folder)

    _make(root, path, make, make)
    os.close(open_in_root(root, path, os.O_PATH | os.O_DIRECTORY))


def touch_in_root(root: int | Path, path: str, mode: int = 0o644) -> None:
    """Make an empty file where nothing is, and the missing folders above it; may be repeated."""

    def make_folder(parent: int, name: str) -> None:
        os.mkdir(name, 0o755, dir_fd=parent)

    def make_file(parent: int, name: str) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        os.close(os.open(name, flags, mode, dir_fd=parent))

    _make(root, path, make_folder, make_file)


_Make = Callable[[int, str], None]


def _make(root: int | Path, path: str, make_folder: _Make, make_last: _Make) -> None:
    """Walk the path and make what is missing: the last of it with make_last."""
    if not isinstance(root, int):
        folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _make(folder, path, make_folder, make_last)
        finally:
            os.close(folder)
        return
    ahead = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    behind: list[str] = []  # the way so far; it holds no link
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del behind[-1:]
            continue
        target = _step(root, behind, part, make_folder if ahead else make_last)
        if target is None:
            behind.append(part)
            continue
        links += 1
        if links > _LINKS_AT_MOST:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            behind = []
        ahead += [step for step in reversed(target.split("/")) if step not in ("", ".")]


def _step(root: int, behind: list[str], part: str, make: _Make) -> str | None:
    """Make one part of a path if it is missing; what it points to if it is a link."""
    flags = os.O_PATH | os.O_DIRECTORY
    parent = _open(root, "/".join(behind) or ".", flags, 0, syscalls.RESOLVE_NO_SYMLINKS)
    try:
        mode = os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode
        return os.readlink(part, dir_fd=parent) if stat.S_ISLNK(mode) else None
    except FileNotFoundError:
        make(parent, part)
        return None
    finally:
        os.close(parent)


def _open(root: int, path: str, flags: int, mode: int, resolve: int) -> int:
    return syscalls.openat2(root, path, flags, mode, syscalls.RESOLVE_IN_ROOT | resolve)
