"""The holding process: `python -m drivers.ports SOCKET` holds ports until it gets SIGTERM.

A lock beside its control socket sees to it that there is one process a socket, however many are
started. With --detach the command returns once the process answers, and leaves it running. It ends
by itself when nobody could reach it any more: no client is there and its socket's file is gone.
"""

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drivers.ports import descriptors
from drivers.ports.control import Control
from drivers.ports.holder import Holder
from drivers.ports.protocol import ANOTHER_HOLDS, LONGEST_REQUEST

ORPHAN_CHECK_S = 30.0

log = logging.getLogger("drivers.ports")


def main() -> int:
    """Run the process and return its exit status."""
    parser = argparse.ArgumentParser(prog="drivers.ports", description="Hold published ports.")
    parser.add_argument("socket", type=Path, help="the control socket's path")
    parser.add_argument(
        "--detach", type=Path, metavar="LOG", help="return once it answers; it writes to LOG"
    )
    arguments = parser.parse_args()
    path: Path = arguments.socket.absolute()
    if arguments.detach is None:
        return _serve(path, lambda: None)
    return _detached(path, arguments.detach.absolute())


def _detached(path: Path, log_path: Path) -> int:
    """Serve in a child that outlives its starter; until it answers, stderr is the starter's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        if os.read(reading, 1):
            return 0
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reading)
    os.setsid()
    os.chdir("/")

    def ready() -> None:
        with Path(os.devnull).open("rb") as nothing, log_path.open("ab") as output:
            os.dup2(nothing.fileno(), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.write(writing, b"\0")
        os.close(writing)

    return _serve(path, ready)


def _serve(path: Path, ready: Callable[[], None]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    descriptors.raise_limit()
    try:
        with _lock(path.with_name(f"{path.name}.lock")) as taken:
            if not taken:
                sys.stderr.write(f"another process holds ports for {path}\n")
                return ANOTHER_HOLDS
            with _listening(path) as listening:
                asyncio.run(_run(listening, path, ready))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {path}: {error}\n")
        return 1
    return 0


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    if path.is_socket():  # left by a process that was killed: the lock is ours
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        umask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(umask)
        inode = path.stat().st_ino
        try:
            yield listening
        finally:
            _unlink(path, inode)


async def _run(listening: socket.socket, path: Path, ready: Callable[[], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    holder = Holder()
    control = Control(holder, stop)
    server = await asyncio.start_unix_server(control.begin, sock=listening, limit=LONGEST_REQUEST)
    inode = path.stat().st_ino
    gc.freeze()  # what is there now stays: the collector need not look at it again
    ready()
    log.info("holds ports for %s", path)
    while not stop.is_set() and (control.connected or _reachable(path, inode)):
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), ORPHAN_CHECK_S)
    # Before the clients learn of the end: they may start another process, which wants the ports.
    _unlink(path, inode)
    holder.close()
    server.close()
    await control.close()
    log.info("ended")


def _reachable(path: Path, inode: int) -> bool:
    with suppress(OSError):
        return path.stat().st_ino == inode
    return False


def _unlink(path: Path, inode: int) -> None:
    if _reachable(path, inode):  # else it is gone, or another process's
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
