"""Measure and remove whole trees of files, which may be as deep as a container made them."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it, or a file; may be repeated.

    No link is followed. The depth does not matter, to neither the stack nor descriptors: folders
    inside folders are first moved up to the top.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        path.unlink()
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    path.rmdir()


def folder_size(path: Path) -> int:
    """Return the octets of the regular files below a folder, each hard linked one once.

    What vanishes meanwhile does not count, nor what lies deeper than a path can say.
    """
    total = 0
    linked: set[tuple[int, int]] = set()
    for entry in _entries(path):
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in linked:
                    continue
                linked.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all that is no folder, at every depth."""
    folders = [os.fspath(path)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    yield entry


def _empty(top: int) -> None:
    free = f".removed-{secrets.token_hex(8)}-"
    moved = 0
    while folders := _without_files(top):
        for name in folders:
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                for inner in _without_files(folder):
                    moved += 1
                    os.rename(inner, f"{free}{moved}", src_dir_fd=folder, dst_dir_fd=top)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)


def _without_files(folder: int) -> list[str]:
    """Unlink all in an open folder that is no folder; the names of the folders in it."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in found if is_folder]
