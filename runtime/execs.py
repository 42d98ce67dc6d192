"""Further processes in a running container, each watched by a conmon of its own.

Nothing is lost at the beginning because conmon lets the process go only after we are attached, and
nothing at the end because conmon tells the exit code after the last output.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.conmon import Conmon, clean, launch, runtime_words
from runtime.errors import MonitorError
from runtime.oci import OciRuntime
from runtime.readiness import readable
from runtime.streams import AttachStream, connect

log = logging.getLogger(__name__)

FOLDER = "exec"  # below a bundle: one folder a session
LOST = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """A further process: where, what, and what of it is wanted."""

    container_id: str
    session_id: str
    bundle: Path
    process: dict[str, Any]  # OCI's, see `bundle.exec_process`
    stdin: bool = False  # there is input; of no use without attach
    attach: bool = True


class ExecSession:
    """A running further process."""

    def __init__(
        self, folder: Path, pid: int, stream: AttachStream | None, ended: asyncio.Task[int]
    ) -> None:
        """Made by `open_session`."""
        self.folder = folder
        self.pid = pid
        self.stream = stream  # absent: detached
        self._ended = ended

    async def exited(self) -> int:
        """Return the exit code, 128 + signal when a signal ended it; any number may wait.

        It comes after the last output, so an attached stream must be read or closed.
        """
        return await asyncio.shield(self._ended)

    def abandon(self) -> None:
        """End it at once, when nobody is going to take its output."""
        if self.stream:
            self.stream.close()
        if not self._ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    @property
    def ended(self) -> asyncio.Task[int]:
        """The task that watches it, for callbacks; cancelling it forgets the session."""
        return self._ended


async def open_session(program: Path, runtime: OciRuntime, request: ExecRequest) -> ExecSession:
    """Start it. Raises OciError, exit_code 126 or 127 when the command cannot be run."""
    folder = request.bundle / FOLDER / request.session_id
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    conmon: Conmon | None = None
    stream: AttachStream | None = None
    try:
        clean(folder)
        spec = folder / "process.json"
        spec.write_text(json.dumps(request.process), encoding="utf-8")
        words = _words(runtime, request, folder, spec)
        conmon = await launch(program, words, folder=folder, attach=request.attach)
        if request.attach and await conmon.listening():
            connection = await connect(folder)
            stream = AttachStream(connection, stdin=request.stdin)
            conmon.go()
        pid = await conmon.pid()
        conmon.close()
    except BaseException:
        if stream:
            stream.close()
        if conmon:
            conmon.close()
            conmon.sync.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    ended = asyncio.create_task(_watched(conmon, pid, stream))
    return ExecSession(folder, pid, stream, ended)


def remove_sessions(bundle: Path) -> None:
    """Remove the folders of sessions that an earlier daemon left; their processes may run on."""
    shutil.rmtree(bundle / FOLDER, ignore_errors=True)


def _words(runtime: OciRuntime, request: ExecRequest, folder: Path, spec: Path) -> list[str]:
    terminal = bool(request.process.get("terminal"))
    flags = {
        "--exec-attach": request.attach,
        "-t": terminal,
        "-i": request.stdin,
        "--leave-stdin-open": terminal,
    }
    return [
        "--api-version", "-e", "--exec-process-spec", str(spec), "-c", request.container_id,
        "-u", request.session_id, *runtime_words(runtime, folder), "-b", str(folder),
        "-p", str(folder / "pidfile"), "-P", str(folder / "conmon.pid"), "-l", "none:",
        "--full-attach", "--no-sync-log", "--log-level", "error",
        *(flag for flag, wanted in flags.items() if wanted),
    ]  # fmt: skip


async def _watched(conmon: Conmon, pid: int, stream: AttachStream | None) -> int:
    try:
        if stream:
            draining = asyncio.create_task(_drained(pid, stream))
            try:
                return await _exit_code(conmon, pid)
            finally:
                draining.cancel()
        return await _exit_code(conmon, pid)
    finally:
        conmon.sync.close()
        shutil.rmtree(conmon.folder, ignore_errors=True)


async def _exit_code(conmon: Conmon, pid: int) -> int:
    try:
        answer = await conmon.sync.message()
    except MonitorError as error:
        log.warning("%s", error)
        answer = None
    if answer:
        await conmon.sync.message()  # the end: conmon has left and writes nothing more here
        return answer[0]
    log.warning("conmon of exec session %s is gone, killing process %d", conmon.folder.name, pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return LOST


async def _drained(pid: int, stream: AttachStream) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        stream.drain()
        return
    try:
        await readable(descriptor)
        stream.drain()
    finally:
        os.close(descriptor)
