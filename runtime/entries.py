"""Make one entry of a layer in an open folder, with all its attributes.

Each function takes the place of what is there under the name, but a folder for a folder.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from runtime.tarstream import Member, TarStream
from runtime.trees import remove_tree

log = logging.getLogger(__name__)

T = TypeVar("T")
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OVERLAY_XATTRS = "trusted.overlay."  # orders to overlayfs itself: not for archives to give
_CHUNK = 1 << 20
_SECONDS_AT_MOST = 1 << 34  # ext4 ends in 2446; other file systems clamp by themselves
_FORMATS = {"character": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}


def make_file(tar: TarStream, member: Member, parent: int, name: str) -> None:
    """Write a regular file with the data that comes next in the archive."""
    file = _replacing(parent, name, lambda: os.open(name, _NEW_FILE, 0o600, dir_fd=parent))
    try:
        _write(tar, member, file)
        # In this order: a change of owner takes set-uid bits and capabilities away.
        os.fchown(file, member.uid, member.gid)
        os.fchmod(file, member.mode)
        _set_xattrs(member, file)
        os.utime(file, ns=times(member))
    finally:
        os.close(file)


def make_folder(member: Member, parent: int, name: str) -> None:
    """Make a folder, or change the one there. Its time is not set: entries will change it."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            _remove(parent, name)
            os.mkdir(name, 0o700, dir_fd=parent)
    folder = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    try:
        os.fchown(folder, member.uid, member.gid)
        os.fchmod(folder, member.mode)
        _set_xattrs(member, folder)
    finally:
        os.close(folder)


def make_hardlink(source: int, target: str, parent: int, name: str) -> None:
    """Link the entry `target` of the open folder `source`; a link itself, not what it names."""
    os.stat(target, dir_fd=source, follow_symlinks=False)

    def link() -> None:
        os.link(target, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    _replacing(parent, name, link)


def make_special(member: Member, parent: int, name: str) -> None:
    """Make a symbolic link, a device or a fifo."""
    symlink = member.kind == "symlink"

    def make() -> None:
        if symlink:
            os.symlink(member.target, name, dir_fd=parent)
        else:
            mode = _FORMATS[member.kind] | 0o600
            os.mknod(name, mode, os.makedev(*member.device), dir_fd=parent)

    _replacing(parent, name, make)
    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    if not symlink:
        os.chmod(name, member.mode, dir_fd=parent)
    _set_xattrs(member, f"/proc/self/fd/{parent}/{name}")
    os.utime(name, ns=times(member), dir_fd=parent, follow_symlinks=False)


def times(member: Member) -> tuple[int, int]:
    """Return a member's time as times of access and change, within what can be stored."""
    limit = _SECONDS_AT_MOST * 10**9
    bounded = max(-limit, min(limit, member.mtime_ns))
    return bounded, bounded


def _write(tar: TarStream, member: Member, file: int) -> None:
    if member.sparse is None:
        while chunk := tar.data(_CHUNK):
            _write_all(file, chunk)
        return
    os.ftruncate(file, member.sparse.size)
    for offset, length in member.sparse.pieces:
        os.lseek(file, offset, os.SEEK_SET)
        left = length
        while left:
            chunk = tar.data(min(left, _CHUNK))
            _write_all(file, chunk)
            left -= len(chunk)


def _write_all(file: int, chunk: bytes) -> None:
    written = os.write(file, chunk)
    while written < len(chunk):  # a disk that fills up takes a part first
        written += os.write(file, chunk[written:])


def _set_xattrs(member: Member, subject: int | str) -> None:
    for name, value in member.xattrs.items():
        if name.startswith(_OVERLAY_XATTRS):
            continue
        try:
            os.setxattr(subject, name, value, follow_symlinks=isinstance(subject, int))
        except OSError as error:
            # As Docker: a file system without them is no reason to refuse an image.
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
                raise
            log.warning("attribute %s of %r is not kept: %s", name, member.name, error.strerror)


def _replacing(parent: int, name: str, make: Callable[[], T]) -> T:
    """Make an entry; if there is one of this name, remove it first."""
    try:
        return make()
    except FileExistsError:
        _remove(parent, name)
        return make()


def _remove(parent: int, name: str) -> None:
    remove_tree(Path(f"/proc/self/fd/{parent}/{name}"))
