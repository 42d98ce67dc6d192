"""Start conmon and talk with it over its pipes, until it stands on its own.

conmon is told the numbers of inherited descriptors in its environment. It waits for an octet on
the start pipe, forks itself away from us (its parent's exit is all there is to wait for), runs the
OCI runtime, and writes lines of JSON to the sync pipe: `{"data": pid}`, or below zero with a
`message`; of an exec later also the exit code. It may close that pipe without a word when the
OCI runtime failed silently; then the runtime's log tells.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL

from runtime.errors import MonitorError
from runtime.oci import OciRuntime, oci_error
from runtime.readiness import readable

_TIMEOUT_S = 120  # for the OCI runtime to create something; a loaded machine takes its time
_LOG = "oci.log"
_EARLY_LOG = "conmon.log"  # of conmon itself, until it stands on its own
_FIFO = "conmon-term.XXXXXX"
_UNIX_PATH_AT_MOST = 107
# What conmon and the OCI runtime leave in a folder; it must not be there before they start.
LEFT_BEHIND = (
    "attach", "ctl", "winsz", "oom", "pidfile", "conmon.pid", _LOG, _EARLY_LOG,
)  # fmt: skip


class Sync:
    """Reads conmon's lines from a pipe."""

    def __init__(self, descriptor: int) -> None:
        """Take the descriptor over."""
        self._descriptor = descriptor
        self._buffer = b""
        os.set_blocking(descriptor, False)

    async def message(self) -> tuple[int, str] | None:
        """Return the figure and the text of the next line; None at the end."""
        while b"\n" not in self._buffer:
            try:
                piece = os.read(self._descriptor, 65536)
            except BlockingIOError:
                await readable(self._descriptor)
                continue
            if not piece:
                return None
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return _parsed(line)

    def close(self) -> None:
        """Give the descriptor back. May be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Conmon:
    """One conmon being started: its pipes."""

    def __init__(self, folder: Path, start: int, sync: Sync, attach: Sync | None) -> None:
        """Take the descriptors over; `folder` is where it works."""
        self.folder = folder
        self.sync = sync
        self._start = start
        self._attach = attach

    def go(self) -> None:
        """Let it take the next step."""
        with suppress(BrokenPipeError):  # it is gone; reading the sync pipe will show why
            os.write(self._start, b"\0")

    async def listening(self) -> bool:
        """Wait until its attach socket takes connections; False if it ended before."""
        assert self._attach
        async with _in_time(self.folder):
            return await self._attach.message() is not None

    async def pid(self) -> int:
        """Return the id of the process that the OCI runtime made.

        Raises OciError with the runtime's words, MonitorError if nothing comes in time.
        """
        async with _in_time(self.folder):
            answer = await self.sync.message()
        if answer and answer[0] > 0:
            return answer[0]
        told = answer[1] if answer else ""
        raise oci_error(
            "creating a process", _log(self.folder / _LOG), told, _log(self.folder / _EARLY_LOG)
        )

    def close(self) -> None:
        """Give back what is only needed to start; the sync pipe stays open."""
        if self._start >= 0:
            os.close(self._start)
            self._start = -1
        if self._attach:
            self._attach.close()


async def launch(
    program: Path, words: Sequence[str], *, folder: Path, attach: bool = False
) -> Conmon:
    """Start conmon with these words, in its own session, with nothing of ours but its pipes.

    It waits for `go` then. The caller closes the result and its sync pipe.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        start_read, start_write = _pipe(theirs, ours)
        sync_read, sync_write = _pipe(ours, theirs)
        inherited = {"_OCI_STARTPIPE": start_read, "_OCI_SYNCPIPE": sync_write}
        attach_read = -1
        if attach:
            attach_read, inherited["_OCI_ATTACHPIPE"] = _pipe(ours, theirs)
        early = os.open(folder / _EARLY_LOG, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        theirs.callback(os.close, early)
        process = await asyncio.create_subprocess_exec(
            str(program), *words,
            stdin=DEVNULL, stdout=DEVNULL, stderr=early, cwd=folder, start_new_session=True,
            env=_environment(folder) | {name: str(fd) for name, fd in inherited.items()},
            pass_fds=tuple(inherited.values()),
        )  # fmt: skip
        theirs.close()
        conmon = Conmon(folder, start_write, Sync(sync_read), Sync(attach_read) if attach else None)
        ours.pop_all()
    try:
        conmon.go()
        async with _in_time(folder):
            await process.wait()
    except BaseException:
        conmon.close()
        conmon.sync.close()
        raise
    return conmon


def runtime_words(runtime: OciRuntime, folder: Path) -> list[str]:
    """Return conmon's words that say which OCI runtime it uses, and how."""
    arguments = (*runtime.arguments, "--log", str(folder / _LOG), "--log-format", "json")
    return [
        "-r",
        str(runtime.path),
        *(word for one in arguments for word in ("--runtime-arg", one)),
    ]


def clean(folder: Path) -> None:
    """Remove what an earlier conmon left in a folder. May be repeated."""
    for name in LEFT_BEHIND:
        (folder / name).unlink(missing_ok=True)


def read_pid(path: Path) -> int:
    """Return the process id in a file; 0 if there is none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _environment(folder: Path) -> dict[str, str]:
    # Times in the log are local ones; UTC needs no zone file and jumps never.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    if len(str(folder / _FIFO)) <= _UNIX_PATH_AT_MOST:
        # The console's socket is made in TMPDIR: better here than where everybody may write.
        environment["TMPDIR"] = str(folder)
    return environment


def _parsed(line: bytes) -> tuple[int, str]:
    try:
        # strict=False: conmon leaves some control characters of the message as they are.
        entry = json.loads(line.decode(errors="replace"), strict=False)
        return int(entry["data"]), str(entry.get("message", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise MonitorError(f"conmon wrote something odd: {line[:200]!r}") from error


def _log(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-8192:].strip()
    except OSError:
        return ""


@asynccontextmanager
async def _in_time(folder: Path) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise MonitorError(f"conmon did not answer within {_TIMEOUT_S} s for {folder}") from error
