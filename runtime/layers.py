"""Unpack a layer's tar into a folder, as overlayfs wants a lower folder to be.

Every path is resolved by the kernel inside the folder (runtime.inroot), so whatever links the
archive holds, nothing is written, linked or changed outside it. Whiteouts become character
devices 0/0 or mark a folder opaque; they hide what lower layers have, never what this one has,
and so are made last.
"""

import errno
import os
import posixpath
import stat
from pathlib import Path

from runtime import entries
from runtime.entries import FOLDER
from runtime.errors import ArchiveError
from runtime.inroot import make_directories_in_root, open_in_root
from runtime.tarstream import Member, TarStream

OPAQUE_XATTR = "trusted.overlay.opaque"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_AUFS = ".wh..wh."  # aufs kept files of its own under such names; they mean nothing here
# What is wrong with this machine, not with the archive.
_OWN_FAULTS = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.EPERM, errno.EACCES,
}  # fmt: skip


def unpack(tar: TarStream, folder: Path) -> None:
    """Write a layer's members into an empty folder; ArchiveError names the member that is bad.

    On an error the folder is left as far as it came.
    """
    root = os.open(folder, FOLDER)
    layer = _Layer(tar, root)
    try:
        for member in tar:
            layer.add(member)
        layer.finish()
    finally:
        layer.close()
        os.close(root)


class _Layer:
    def __init__(self, tar: TarStream, root: int) -> None:
        self._tar = tar
        self._root = root
        self._parent_path = ""
        self._parent_fd = -1  # of the last member: members come folder by folder
        self._folder_times: dict[str, tuple[int, int]] = {}
        self._whiteouts: list[str] = []
        self._opaque: list[str] = []

    def add(self, member: Member) -> None:
        """Make what one member says."""
        path = inside(member.name)
        if path is None:
            raise self._error(member.name, "leads out of the layer")
        try:
            if not self._is_whiteout(path):
                self._make(member, path)
        except OSError as error:
            raise self._fault(member.name, error) from error
        except (ValueError, OverflowError) as error:  # a NUL in a name, a device beyond any
            raise self._error(member.name, f"cannot be made: {error}") from error

    def finish(self) -> None:
        """Make the whiteouts, and set the folders' times, which each new entry changes."""
        # Deepest first: what is inside a hidden folder makes it an opaque one.
        for path in sorted(self._whiteouts, key=lambda path: -path.count("/")):
            try:
                self._hide(path)
            except OSError as error:
                raise self._fault(f"whiteout of {path}", error) from error
        for path in self._opaque:
            try:
                os.setxattr(self._parent(path), OPAQUE_XATTR, b"y")
            except OSError as error:
                raise self._fault(posixpath.join(path, _OPAQUE), error) from error
        for path, times in self._folder_times.items():
            try:
                os.utime(self._open(path), ns=times)
            except OSError as error:
                if error.errno in _OWN_FAULTS:
                    raise
                # Otherwise a later member has replaced the folder.

    def close(self) -> None:
        """Let go of the last parent folder."""
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
        self._parent_fd = -1

    def _make(self, member: Member, path: str) -> None:
        folder, name = posixpath.split(path)
        if not path and member.kind != "folder":
            raise self._error(member.name, f"is a {member.kind} in place of the layer's root")
        parent = self._parent(folder)
        if member.kind == "file":
            entries.make_file(self._tar, member, parent, name)
        elif member.kind == "folder":
            entries.make_folder(member, parent, name or ".")
            self._folder_times[path] = entries.times(member)
        elif member.kind == "hardlink":
            self._link(member, parent, name)
        else:
            entries.make_special(member, parent, name)

    def _link(self, member: Member, parent: int, name: str) -> None:
        folder, target = posixpath.split(inside(member.target) or "")
        try:
            source = open_in_root(self._root, folder or ".", FOLDER)
            try:
                entries.make_hardlink(source, target, parent, name)
            finally:
                os.close(source)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._error(
                member.name, f"is a hard link to {member.target!r}, which is not in the layer"
            ) from error

    def _is_whiteout(self, path: str) -> bool:
        """Note a whiteout for the end; say whether this is one."""
        if _WHITEOUT not in path:
            return False
        *folders, name = path.split("/")
        if any(part.startswith(_AUFS) for part in folders):
            return True
        if any(part.startswith(_WHITEOUT) for part in folders):
            raise self._error(path, "lies below a whiteout")
        if not name.startswith(_WHITEOUT):
            return False
        hidden = name.removeprefix(_WHITEOUT)
        if name == _OPAQUE:
            self._opaque.append("/".join(folders))
        elif hidden in ("", ".", ".."):
            raise self._error(path, "is a whiteout of nothing")
        elif not name.startswith(_AUFS):
            self._whiteouts.append("/".join([*folders, hidden]))
        return True

    def _hide(self, path: str) -> None:
        folder, name = posixpath.split(path)
        parent = self._parent(folder)
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
            return
        if stat.S_ISDIR(mode):
            os.setxattr(self._parent(path), OPAQUE_XATTR, b"y")

    def _parent(self, path: str) -> int:
        """Return a descriptor of a folder of the layer, made if it is missing."""
        try:
            return self._open(path)
        except FileNotFoundError:
            make_directories_in_root(self._root, path)
            return self._open(path)

    def _open(self, path: str) -> int:
        """Return a descriptor of a folder, valid until the next call."""
        if self._parent_fd < 0 or path != self._parent_path:
            folder = open_in_root(self._root, path or ".", FOLDER)
            self.close()
            self._parent_path, self._parent_fd = path, folder
        return self._parent_fd

    def _error(self, name: str, sentence: str) -> ArchiveError:
        return self._tar.error(f"member {name!r} {sentence}")

    def _fault(self, name: str, error: OSError) -> Exception:
        if error.errno in _OWN_FAULTS:
            return error
        return self._error(name, f"cannot be made: {error.strerror}")


def inside(name: str) -> str | None:
    """Return a name as a path from the root, "" for the root; None if it leads out."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
