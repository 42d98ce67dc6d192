"""System calls that Python's os module lacks, by number.

Numbers from 424 on are the same on every architecture Linux has (but alpha), so one table does.
"""

import ctypes
import errno
import os
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _OPENAT2 = 429, 430, 431, 432, 437
_PIDFD_GETFD = 438

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
_AT_FDCWD = -100
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6
_RETRIES = 64


def openat2(folder: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """Return a descriptor of `path` below the open folder, closed on exec; see the man page."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    if b"\0" in name:
        raise OSError(errno.EINVAL, "a path may hold no NUL", path)
    for _ in range(_RETRIES):
        descriptor: int = _LIBC.syscall(_OPENAT2, folder, name, how, ctypes.c_size_t(len(how)))
        if descriptor >= 0:
            return descriptor
        # EAGAIN: something was renamed meanwhile, and the kernel could not rule out an escape.
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    raise _error(path)


def pidfd_getfd(pidfd: int, number: int) -> int:
    """Return a copy of another process's descriptor."""
    return _checked(_LIBC.syscall(_PIDFD_GETFD, pidfd, number, 0), f"descriptor {number}")


def fsopen(kind: str) -> int:
    """Open a configuration context for a new file system of this kind; a descriptor."""
    return _checked(_LIBC.syscall(_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC), kind)


def fsconfig_string(context: int, key: str, value: str) -> None:
    """Set one option of the file system being configured."""
    words = (key.encode(), os.fsencode(value), 0)
    _checked(_LIBC.syscall(_FSCONFIG, context, _FSCONFIG_SET_STRING, *words), f"{key}={value}")


def fsconfig_create(context: int) -> None:
    """Make the file system that was configured."""
    _checked(_LIBC.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), "")


def fsmount(context: int) -> int:
    """Return a descriptor of the made file system as a mount that hangs nowhere yet."""
    return _checked(_LIBC.syscall(_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0), "")


def move_mount(mount_fd: int, target: str) -> None:
    """Hang a mount made by fsmount at `target`."""
    path = os.fsencode(target)
    _checked(
        _LIBC.syscall(_MOVE_MOUNT, mount_fd, b"", _AT_FDCWD, path, _MOVE_MOUNT_F_EMPTY_PATH),
        target,
    )


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """Mount a file system the old way, its options in one text of at most 4095 octets."""
    words = (os.fsencode(source), os.fsencode(target), kind.encode())
    _checked(_LIBC.mount(*words, ctypes.c_ulong(flags), os.fsencode(options) or None), target)


def umount(target: str, flags: int) -> None:
    """Take the topmost mount at `target` away."""
    _checked(_LIBC.umount2(os.fsencode(target), flags), target)


def syncfs(folder: int) -> None:
    """Write all of the file system that holds the open folder to its disk."""
    _checked(_LIBC.syncfs(folder), "")


def _checked(result: int, subject: str) -> int:
    if result < 0:
        raise _error(subject)
    return result


def _error(subject: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), subject or None)
