"""The unix socket: made so that nobody else may ever connect, served, and taken away again."""

import asyncio
import grp
import logging
import os
import socket
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from aiohttp import web

from netd.api.connection import Connection
from netd.api.http import Http
from netd.errors import UnavailableError

log = logging.getLogger(__name__)

_BACKLOG = 1024
_SHUTDOWN_S = 3.0  # for answers under way; open streams are ended at once


class Runner:
    """A served application."""

    def __init__(
        self, runner: web.AppRunner, server: asyncio.AbstractServer, path: Path, inode: int
    ) -> None:
        self._runner, self._server = runner, server
        self._path, self._inode = path, inode

    async def close(self) -> None:
        """Accept no more, end open streams, let answers end, remove the socket. Repeatable."""
        self._server.close()
        with suppress(FileNotFoundError):
            # Another daemon may have put its own in this place.
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        await self._runner.cleanup()


async def serve(app: web.Application, socket_path: Path, group: str | None) -> Runner:
    """Serve an application on a unix socket that root and the group, where it exists, may use.

    A socket that is there already is replaced in one step.
    """
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    server = runner.server
    assert server is not None
    try:
        listening, inode = bound_socket(socket_path, group)
        loop = asyncio.get_running_loop()
        unix = await loop.create_unix_server(
            lambda: Connection(lambda: Http(server)), sock=listening, backlog=_BACKLOG
        )
    except BaseException:
        await runner.cleanup()
        raise
    return Runner(runner, unix, socket_path, inode)


def bound_socket(path: Path, group: str | None) -> tuple[socket.socket, int]:
    """Return a socket bound at the path, for root and the group only at any moment; and its inode.

    It is made in a folder that only root may enter, and moved when its owner and mode are right.
    """
    with ExitStack() as undo:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(dir=path.parent)))
            made = folder / path.name
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            undo.callback(listening.close)
            # By its folder's descriptor: a path in sun_path has at most 107 octets (unix(7)).
            descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, descriptor)
            listening.bind(f"/proc/self/fd/{descriptor}/{path.name}")
            os.chown(made, -1, _group_id(group))
            made.chmod(0o660)
            inode = made.stat().st_ino
            made.rename(path)
        except OSError as error:
            raise UnavailableError(f"cannot listen on {path}: {error.strerror}") from error
        keep = listening.dup()
    return keep, inode


def _group_id(group: str | None) -> int:
    if not group:
        return -1
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        log.info("there is no group %s: only root may use the API", group)
        return -1
