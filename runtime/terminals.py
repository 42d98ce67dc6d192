"""The size of a terminal that conmon holds.

conmon takes sizes by a fifo, but of two that wait there it uses the first twice and loses the
second (seen with 2.1.6), so a window that is drawn larger ends with a size on its way. Its
terminal is therefore asked for itself: a copy of the descriptor, pidfd_getfd(2), and TIOCSWINSZ.
"""

import fcntl
import os
import struct
import termios
from contextlib import suppress
from pathlib import Path

from runtime.errors import MonitorError
from runtime.syscalls import pidfd_getfd


def set_size(conmon: int, rows: int, columns: int) -> None:
    """Set the size of the terminal that the process `conmon` holds; MonitorError if it has none.

    Zero stands for a conmon that is not known.
    """
    try:
        pidfd = os.pidfd_open(conmon)
    except OSError as error:
        raise MonitorError(f"cannot resize the terminal: conmon {conmon} has ended") from error
    try:
        for number in _terminals(conmon):
            with suppress(OSError):  # closed in this moment
                terminal = pidfd_getfd(pidfd, number)
                try:
                    size = struct.pack("=4H", rows, columns, 0, 0)
                    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
                finally:
                    os.close(terminal)
                return
    finally:
        os.close(pidfd)
    raise MonitorError(f"cannot resize the terminal: conmon {conmon} holds none")


def _terminals(conmon: int) -> list[int]:
    """Return the numbers of the descriptors that are a terminal's outer end."""
    found = []
    with suppress(OSError):
        for path in Path(f"/proc/{conmon}/fd").iterdir():
            with suppress(OSError):
                if path.readlink().name == "ptmx":
                    found.append(int(path.name))
    return found
