"""The root file systems of containers: an image's layers, and a folder of its own above them.

<root>/<id>/upper   what the container has changed
<root>/<id>/work    overlayfs's own; empty but while it is mounted
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.errors import SnapshotError
from runtime.layers import OPAQUE_XATTR
from runtime.overlay import Overlay, mount_overlay, mount_places, mounted_upper, unmount
from runtime.trees import folder_size, remove_tree


class Snapshots:
    """The writable layers below one folder. Every verb may be repeated."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()  # as the kernel's list of mounts will have it

    def create(self, id: str) -> None:  # noqa: A002 (the field's own word)
        """Make an empty writable layer."""
        for folder in (self._upper(id), self._work(id)):
            folder.mkdir(parents=True, exist_ok=True)
        # The upper folder's mode is that of the container's "/", whatever the umask is here.
        self._upper(id).chmod(0o755)

    def mount(self, id: str, layers: Sequence[Path], target: Path) -> None:  # noqa: A002
        """Mount the layers, lowest first, and the writable one above them at `target`.

        `target` is made if it is missing. SnapshotError if something else is mounted there.
        """
        upper = os.fspath(self._upper(id))
        target.mkdir(parents=True, exist_ok=True)
        mounted = mounted_upper(target)
        if mounted == upper:
            return
        if mounted is not None:
            raise SnapshotError(f"something else is mounted at {target}: {mounted or 'no overlay'}")
        lower = _effective(layers)
        if not lower:  # an image from scratch: overlayfs wants a lower folder all the same
            empty = self._root / id / "empty"
            empty.mkdir(exist_ok=True)
            lower = (empty,)
        mount_overlay(Overlay(lower, self._upper(id), self._work(id)), target)

    def unmount(self, target: Path) -> None:
        """Unmount what `mount` mounted; files still open stay usable until they are closed."""
        unmount(target)

    def remove(self, id: str) -> None:  # noqa: A002
        """Delete a writable layer, and its folder if nothing else is in it.

        SnapshotError if it is still mounted: what runs there would lose its files.
        """
        if places := mount_places(self._upper(id)):
            raise SnapshotError(f"the file system of {id} is still mounted at {places[0]}")
        for name in ("upper", "work", "empty"):
            remove_tree(self._root / id / name)
        with suppress(OSError):
            (self._root / id).rmdir()

    def size(self, id: str) -> int:  # noqa: A002
        """Return the octets of the files a container has made or changed."""
        return folder_size(self._upper(id))

    def _upper(self, id: str) -> Path:  # noqa: A002
        return self._root / id / "upper"

    def _work(self, id: str) -> Path:  # noqa: A002
        return self._root / id / "work"


def _effective(layers: Sequence[Path]) -> tuple[Path, ...]:
    """Return the layers that can be seen, each once.

    overlayfs refuses a folder that comes twice; of two equal layers the upper one has all that
    the lower one has. Nor does it look at the opaque mark of a layer's own root.
    """
    found: list[Path] = []
    for path in reversed(layers):
        if path not in found:
            found.append(path)
        if _is_opaque(path):
            break
    return tuple(reversed(found))


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, OPAQUE_XATTR) == b"y"
    except OSError:
        return False
