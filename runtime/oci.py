"""The OCI runtime, runc or crun: everything but creating, which its monitor does.

Each verb is one short-lived process. It always runs to its end, also when the caller is cancelled,
because a start or delete that was cut in half helps nobody.
"""

import asyncio
import json
import logging
import os
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from runtime.errors import NotRunningError, OciError
from runtime.signals import signal_number

log = logging.getLogger(__name__)

_TIMEOUT_S = 60
_GONE = ("does not exist", "no such container", "no such file or directory")
_ENDED = ("not running", "already finished", "no such process", *_GONE)
_NO_COMMAND = ("executable file not found", "no such file or directory")
_NO_PERMISSION = (
    "permission denied", "operation not permitted", "is a directory", "not a directory",
    "exec format error",
)  # fmt: skip
# crun writes strerror's words; clients look for Go's, which are the same in lower case.
_LOWERED = (
    "No such file or directory", "Permission denied", "Is a directory", "Not a directory",
    "Exec format error", "No such process", "Operation not permitted",
)  # fmt: skip


class OciRuntime:
    """An OCI runtime and the folder in which it keeps its containers."""

    def __init__(self, path: Path, root: Path) -> None:
        """Use the program at `path`; it makes `root` when it needs it."""
        self.path = path
        self.root = root

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands before each of its verbs."""
        return ("--root", str(self.root))

    async def start(self, id_: str) -> None:
        """Let a created container's process go. Raises OciError with the runtime's words."""
        await self._run("start", id_)

    async def kill(self, id_: str, signal: str | int, *, all_processes: bool = False) -> None:
        """Send a signal by name or number; NotRunningError when there is no process for it."""
        flag = ("--all",) if all_processes else ()
        try:
            await self._run("kill", *flag, id_, str(signal_number(signal)))
        except OciError as error:
            if _mentions(error, _ENDED):
                raise NotRunningError(str(error)) from error
            raise

    async def delete(self, id_: str, *, force: bool = False) -> None:
        """Forget a container, its processes killed first if forced; nothing if it is unknown."""
        try:
            await self._run("delete", *(("--force",) if force else ()), id_)
        except OciError as error:
            if not _mentions(error, _GONE):
                raise

    async def state(self, id_: str) -> dict[str, Any] | None:
        """Return OCI's state (status, pid, bundle, ...); None for a container it does not know."""
        try:
            output = await self._run("state", id_)
        except OciError as error:
            if _mentions(error, _GONE):
                return None
            raise
        state: dict[str, Any] = json.loads(output)
        return state

    async def _run(self, *words: str) -> str:
        task = asyncio.ensure_future(self._run_to_the_end(words))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_note)
            raise

    async def _run_to_the_end(self, words: tuple[str, ...]) -> str:
        log.debug("%s %s", self.path.name, " ".join(words))
        process = await asyncio.create_subprocess_exec(
            str(self.path), *self.arguments, "--log-format", "json", *words,
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                output, errors = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.communicate()
            raise OciError(f"{self.path.name} {' '.join(words)} did not end") from error
        if process.returncode:
            raise oci_error(f"{self.path.name} {words[0]}", errors.decode(errors="replace"))
        return output.decode(errors="replace")


def oci_error(what: str, *outputs: str) -> OciError:
    """Return the error for what an OCI runtime wrote, log lines in JSON or plain text.

    The first of the outputs that tells something counts; `what` was done, if none does.
    """
    message = next(filter(None, map(_message, outputs)), f"{what} failed without a word")
    for words in _LOWERED:
        message = message.replace(words, words.lower())
    if any(words in message for words in _NO_COMMAND):
        return OciError(message, 127)
    return OciError(message, 126 if any(words in message for words in _NO_PERMISSION) else 128)


def _message(output: str) -> str:
    """Return the last error of a log in JSON lines, or else the text as it is."""
    plain, told = list[str](), ""
    for line in filter(None, map(str.strip, output.splitlines())):
        try:
            entry = json.loads(line)
        except ValueError:
            plain.append(line)
            continue
        if isinstance(entry, dict) and entry.get("level") in {"error", "fatal"}:
            told = str(entry.get("msg", ""))
    return told or "; ".join(plain)


def _mentions(error: OciError, words: tuple[str, ...]) -> bool:
    return any(word in str(error) for word in words)


def _note(task: asyncio.Future[str]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("nobody waited for this error any more: %s", error)
