"""The server's process: `python -m dns.server SOCKET` serves until it gets SIGTERM.

It holds a lock beside its control socket, so that there is one server a socket however many are
started. With --detach the command returns once the server answers, and leaves it running. It ends
by itself when nobody could reach it any more: no client is there and its socket's file is gone.
"""

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dns.control import ANOTHER_SERVES
from dns.conversations import Conversations
from dns.forward import Forwarder
from dns.verbs import Verbs

_MOST_FORWARDS = 4096
ORPHAN_CHECK_S = 30.0
_DESCRIPTORS_A_FORWARD = 8  # three upstreams at once, and the views' own sockets beside them

log = logging.getLogger(__name__)


def main(words: list[str] | None = None) -> int:
    """Run the server and return its exit status."""
    parser = argparse.ArgumentParser(prog="dns.server", description="Answer for containers.")
    parser.add_argument("socket", type=Path, help="the control socket's path")
    parser.add_argument(
        "--detach", type=Path, metavar="LOG", help="return once it answers; it writes to LOG"
    )
    arguments = parser.parse_args(words)
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
    try:
        with _lock(path.with_name(f"{path.name}.lock")) as held:
            if not held:
                sys.stderr.write(f"another dns server serves on {path}\n")
                return ANOTHER_SERVES
            with _listening(path) as listening:
                asyncio.run(_run(listening, path, ready))
    except OSError as error:
        sys.stderr.write(f"cannot serve on {path}: {error}\n")
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
    if path.is_socket():  # left by a server that was killed: the lock is ours
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        umask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(umask)
        inode = path.stat().st_ino
        try:
            listening.listen()
            listening.setblocking(False)
            yield listening
        finally:
            _unlink(path, inode)


async def _run(listening: socket.socket, path: Path, ready: Callable[[], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    capacity = min(_MOST_FORWARDS, _descriptor_limit() // _DESCRIPTORS_A_FORWARD)
    verbs = Verbs(Forwarder(capacity))
    conversations = Conversations(verbs, stop)
    serving = asyncio.create_task(conversations.serve(listening))
    inode = path.stat().st_ino
    gc.freeze()  # what is there now stays: the collector need not look at it again
    ready()
    log.info("serves on %s", path)
    while not stop.is_set() and (conversations.connected or _reachable(path, inode)):
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), ORPHAN_CHECK_S)
    _unlink(path, inode)  # before the clients learn of the end: they start another one
    serving.cancel()
    await asyncio.wait({serving})
    verbs.close()
    log.info("ended")


def _reachable(path: Path, inode: int) -> bool:
    with suppress(OSError):
        return path.stat().st_ino == inode
    return False


def _unlink(path: Path, inode: int) -> None:
    if _reachable(path, inode):  # else it is gone, or another server's
        path.unlink(missing_ok=True)


def _descriptor_limit() -> int:
    """Raise this process's limit as far as it may and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


if __name__ == "__main__":
    sys.exit(main())
