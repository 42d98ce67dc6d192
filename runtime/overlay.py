"""Mount overlayfs, through the new mount interface where the kernel has it.

mount(2) takes all options in one page, which 40 layers can fill; fsconfig(2) takes a layer a call
(lowerdir+, Linux 6.8).
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from runtime import syscalls
from runtime.errors import SnapshotError

_OPTIONS_AT_MOST = 4095
_ESCAPES = {"\\": "\\\\", ":": "\\:", ",": "\\,"}
# By these an older kernel says that it lacks the interface or the option.
_OLD_KERNEL = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The folders an overlay is made of."""

    lower: tuple[Path, ...]  # lowest first, at least one, none twice
    upper: Path
    work: Path


def mount_overlay(overlay: Overlay, target: Path) -> None:
    """Mount at an existing folder; private, so that no copy of it appears elsewhere."""
    try:
        _mount_new(overlay, target)
    except OSError as error:
        if error.errno not in _OLD_KERNEL:
            raise _fault(target, error) from error
        try:
            mount_old(overlay, target)
        except OSError as fallback_error:
            raise _fault(target, fallback_error) from error
    syscalls.mount("none", os.fspath(target), "", syscalls.MS_PRIVATE, "")


def unmount(target: Path) -> None:
    """Unmount; files still open there stay usable until they are closed. May be repeated."""
    try:
        syscalls.umount(os.fspath(target), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    except OSError as error:
        # EINVAL: no mount point.
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise SnapshotError(f"{target} cannot be unmounted: {error.strerror}") from error


def mounted_upper(target: Path) -> str | None:
    """Return the upper folder of the overlay mounted at `target`.

    Empty if something else is mounted there, None if nothing is.
    """
    wanted = os.path.realpath(target)
    found = None
    for place, upper in _mounts():
        if place == wanted:
            found = upper  # the last one is on top
    return found


def mount_places(upper: Path) -> list[str]:
    """Return where overlays with this upper folder are mounted."""
    return [place for place, found in _mounts() if found == os.fspath(upper)]


def mount_old(overlay: Overlay, target: Path) -> None:
    """Mount with mount(2); OSError."""
    with ExitStack() as stack:
        options = _options(overlay, [os.fspath(path) for path in overlay.lower])
        if len(options) > _OPTIONS_AT_MOST:
            short = []
            for path in overlay.lower:
                descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                short.append(f"/proc/self/fd/{descriptor}")
            options = _options(overlay, short)
        syscalls.mount("overlay", os.fspath(target), "overlay", 0, options)


def _mount_new(overlay: Overlay, target: Path) -> None:
    with ExitStack() as stack:
        context = syscalls.fsopen("overlay")
        stack.callback(os.close, context)
        try:
            syscalls.fsconfig_string(context, "source", "overlay")
            for path in reversed(overlay.lower):  # overlayfs wants the topmost first
                syscalls.fsconfig_string(context, "lowerdir+", os.fspath(path))
            syscalls.fsconfig_string(context, "upperdir", os.fspath(overlay.upper))
            syscalls.fsconfig_string(context, "workdir", os.fspath(overlay.work))
            syscalls.fsconfig_create(context)
        except OSError as error:
            words = _kernel_words(context) or error.filename
            raise OSError(error.errno, error.strerror, words) from error
        mount_fd = syscalls.fsmount(context)
        stack.callback(os.close, mount_fd)
        syscalls.move_mount(mount_fd, os.fspath(target))


def _kernel_words(context: int) -> str:
    """Return what the kernel says was wrong with a file system's options, often nothing."""
    words = []
    with suppress(OSError):  # ENODATA: no more
        while True:
            words.append(os.read(context, 1024).decode("utf-8", "replace").strip())
    return "; ".join(words)


def _mounts() -> Iterator[tuple[str, str]]:
    """Yield each mount's place and upper folder, empty if it is no overlay; proc(5)."""
    with Path("/proc/self/mountinfo").open("rb") as file:
        for line in file:
            front, _, back = line.decode("utf-8", "surrogateescape").partition(" - ")
            kind, _, options = back.rstrip("\n").split(" ", 2)
            upper = _upper_option(options) if kind == "overlay" else ""
            yield _unescaped(front.split(" ")[4]), upper


def _options(overlay: Overlay, lower: Sequence[str]) -> str:
    joined = ":".join(_escaped(path) for path in reversed(lower))
    upper, work = _escaped(os.fspath(overlay.upper)), _escaped(os.fspath(overlay.work))
    return f"lowerdir={joined},upperdir={upper},workdir={work}"


def _escaped(path: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in path)


def _unescaped(text: str) -> str:
    """Undo the octal escapes of proc(5)."""
    for character in " \t\n":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text.replace("\\134", "\\")


def _upper_option(options: str) -> str:
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key == "upperdir":
            return _unescaped(value)
    return ""


def _fault(target: Path, error: OSError) -> SnapshotError:
    if error.errno == errno.ENODEV:
        return SnapshotError("this kernel has no overlayfs (module overlay)")
    details = f" ({error.filename})" if error.filename else ""
    return SnapshotError(f"no overlay can be mounted at {target}: {error.strerror}{details}")
