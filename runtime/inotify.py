"""Notice that files in a folder change, by inotify(7)."""

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_EVENTS = 1 << 16


class FolderWatch:
    """Readable when a file in a folder was written to or made; -1 where there is no inotify.

    A user may have 128 of them by default; those beyond get none, and have to look now and then.
    """

    def __init__(self, folder: Path) -> None:
        """Begin to watch; close it."""
        self.descriptor: int = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            return
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
        if _LIBC.inotify_add_watch(self.descriptor, os.fsencode(folder), mask) < 0:
            self.close()

    def forget(self) -> None:
        """Take all that was noticed as known."""
        try:
            while self.descriptor >= 0 and os.read(self.descriptor, _EVENTS):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Watch no longer. May be repeated."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
