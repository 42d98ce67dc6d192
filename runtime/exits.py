"""How a container ended, whoever started it and whenever that was.

conmon is the witness: it waits for the container's process, empties its output into the log and
the attached streams, writes the exit code to a file named by the container's id, and leaves. So
its own end, told by a pidfd, is the moment when all of that is done; the file is then read. A
conmon that was killed leaves no file: nobody would ever know the exit code, and the output has
nowhere to go, so the container is killed too.
"""

import asyncio
import logging
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runtime.conmon import read_pid
from runtime.readiness import readable

log = logging.getLogger(__name__)

LOST = 137
_LOST_TEXT = "conmon died without telling how the container ended, so the container was killed"
_SIGKILL_WAIT_S = 10
_CONMON_WAIT_MS = 1000


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended."""

    code: int  # 128 + signal when a signal ended it
    oom_killed: bool
    finished: datetime  # with UTC
    error: str = ""  # a sentence when the code is not the container's own


async def exited(id_: str, bundle: Path, exits: Path, process_ended: Callable[[], None]) -> Exit:
    """Wait until a container has ended and all its output is where it belongs.

    Works by the files in the folders alone, so it does not matter who started it. Calls
    `process_ended` as soon as its process is gone, which is before its last output is written.
    """
    finished: datetime | None = None
    with _conmon(id_, bundle) as conmon:
        if conmon is not None:
            with _process(id_, bundle) as process:
                if process is not None:
                    await _either(process, conmon)
            process_ended()
            await readable(conmon)
            # More exact than a file's time, which may lag by a tick and so precede the start.
            finished = datetime.now(UTC)
    return _told(id_, bundle, exits, finished) or await _lost(id_, bundle)


def forget(id_: str, exits: Path) -> None:
    """Remove the exit file, before the container starts again or is removed."""
    (exits / id_).unlink(missing_ok=True)


def send_signal(id_: str, bundle: Path, number: int) -> bool:
    """Send a signal to a container's first process; False if it is gone, or not to be told apart.

    What the OCI runtime does with a process of its own that takes 10 ms.
    """
    with _process(id_, bundle) as process:
        if process is None:
            return False
        try:
            signal.pidfd_send_signal(process, number)
        except ProcessLookupError:
            return False
        return True


def kill_conmon(id_: str, bundle: Path) -> None:
    """End the conmon of a container that is not there any more; nothing if it is gone.

    Waits for the moment that takes, so that it writes nothing afterwards.
    """
    with _conmon(id_, bundle) as conmon:
        if conmon is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(conmon, signal.SIGKILL)
            end = select.poll()
            end.register(conmon, select.POLLIN)
            end.poll(_CONMON_WAIT_MS)


def _told(id_: str, bundle: Path, exits: Path, finished: datetime | None) -> Exit | None:
    path = exits / id_
    try:
        code = int(path.read_text(encoding="ascii"))
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError):
        return None
    return Exit(code, (bundle / "oom").exists(), finished or written)


async def _lost(id_: str, bundle: Path) -> Exit:
    with _process(id_, bundle) as process:
        if process is not None:
            log.warning("conmon of container %s is gone, killing the container", id_[:12])
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            with suppress(TimeoutError):  # one that hangs in the kernel; its exit is told anyway
                await asyncio.wait_for(readable(process), _SIGKILL_WAIT_S)
    return Exit(LOST, (bundle / "oom").exists(), datetime.now(UTC), _LOST_TEXT)


async def _either(first: int, second: int) -> None:
    waits = [asyncio.ensure_future(readable(descriptor)) for descriptor in (first, second)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _conmon(id_: str, bundle: Path) -> AbstractContextManager[int | None]:
    return _opened(read_pid(bundle / "conmon.pid"), "cmdline", id_)  # it was started with "-c ID"


def _process(id_: str, bundle: Path) -> AbstractContextManager[int | None]:
    return _opened(read_pid(bundle / "pidfile"), "cgroup", id_)  # its cgroup is named by the id


@contextmanager
def _opened(pid: int, file: str, id_: str) -> Iterator[int | None]:
    """Open a pidfd; None if the process is gone, or its number is another's by now."""
    try:
        descriptor = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        descriptor = -1
    if descriptor < 0:
        yield None
        return
    try:
        # Looked at after opening: if the name fits now, the descriptor is the right one's.
        yield descriptor if _names(Path("/proc") / str(pid) / file, id_) else None
    finally:
        os.close(descriptor)


def _names(path: Path, id_: str) -> bool:
    try:
        return id_.encode() in path.read_bytes()
    except OSError:
        return False
