"""`/containers/{id}`: attach, logs, wait, resize: what goes in and comes out of the process."""

import time

import msgspec
from aiohttp import web

from netd.api.answers import NoAnswer, empty_answer, streamed
from netd.api.closing import closing_iterator
from netd.api.connection import Connection
from netd.api.docker.times import rfc3339_ns
from netd.api.frames import STDERR, STDOUT, content_type, frame
from netd.api.hijack import Terms, outgoing, pass_on, taken_over
from netd.api.keys import detach_keys
from netd.api.requests import flag, moment_ns, number, size
from netd.api.services import Condition, DaemonServices
from netd.api.state import daemon_of
from netd.api.versions import version_of
from netd.errors import InvalidError, NotImplementedByDriverError
from netd.model import Container, LogLine

_CONDITIONS: dict[str, Condition] = {
    "": "not-running", "not-running": "not-running", "next-exit": "next-exit", "removed": "removed",
}  # fmt: skip


async def attach(request: web.Request) -> web.StreamResponse:
    """POST /containers/{id}/attach: past output with `logs`, what follows with `stream`."""
    daemon = daemon_of(request)
    container = daemon.containers.container(request.match_info["id"])
    config = container.config
    terms = Terms(
        tty=config.tty,
        stdin=flag(request, "stdin") and config.open_stdin,
        eof_ends=not config.stdin_once,
        detach_keys=detach_keys(request.query.get("detachKeys", "")),
    )
    stdout, stderr = flag(request, "stdout"), flag(request, "stderr")
    stream = None
    if flag(request, "stream"):
        stream = await daemon.containers.attach(
            container.id, stdin=terms.stdin, stdout=stdout, stderr=stderr
        )
    try:
        async with taken_over(request, tty=config.tty) as connection:
            if flag(request, "logs") and (stdout or stderr):
                await _replay(daemon, container, connection, terms, stdout=stdout, stderr=stderr)
            if stream is not None:
                await pass_on(connection, stream, terms)
    finally:
        if stream is not None:
            stream.close()
    return NoAnswer()


async def logs(request: web.Request) -> web.StreamResponse:
    """GET /containers/{id}/logs."""
    daemon = daemon_of(request)
    container = daemon.containers.container(request.match_info["id"])
    stdout, stderr = flag(request, "stdout"), flag(request, "stderr")
    if not (stdout or stderr):
        raise InvalidError("Bad parameters: you must choose at least one stream")
    if container.host.log_driver == "none":
        raise NotImplementedByDriverError("configured logging driver does not support reading")
    lines = daemon.containers.logs(
        container.id,
        stdout=stdout,
        stderr=stderr,
        follow=flag(request, "follow"),
        since_ns=moment_ns(request, "since") or 0,
        until_ns=moment_ns(request, "until") or 0,
        tail=_tail(request),
    )
    kind = content_type(version_of(request), tty=container.config.tty)
    timestamps = flag(request, "timestamps")
    async with closing_iterator(lines), streamed(request, kind) as response:
        async for line in lines:
            await response.write(_log_octets(line, tty=container.config.tty, stamped=timestamps))
    return response


async def wait(request: web.Request) -> web.StreamResponse:
    """POST /containers/{id}/wait: the head at once, the exit code at the end."""
    word = request.query.get("condition", "")
    if word not in _CONDITIONS:
        raise InvalidError(f'invalid condition: "{word}"')
    # Registered before the head is sent: clients start the container upon it.
    waiter = daemon_of(request).containers.waiter(request.match_info["id"], _CONDITIONS[word])
    async with streamed(request, "application/json") as response:
        code = await waiter
        await response.write(msgspec.json.encode({"StatusCode": code}) + b"\n")
    return response


async def resize(request: web.Request) -> web.Response:
    """POST /containers/{id}/resize."""
    rows, columns = size(request)
    await daemon_of(request).containers.resize(request.match_info["id"], rows, columns)
    return empty_answer()


async def _replay(
    daemon: DaemonServices,
    container: Container,
    connection: Connection,
    terms: Terms,
    *,
    stdout: bool,
    stderr: bool,
) -> None:
    """Send the output up to now; what comes later is the stream's, which is open already."""
    if container.host.log_driver == "none":
        return
    lines = daemon.containers.logs(
        container.id, stdout=stdout, stderr=stderr, until_ns=time.time_ns()
    )
    async with closing_iterator(lines):
        async for line in lines:
            await connection.send(outgoing(terms, _number(line), line.text))


def _log_octets(line: LogLine, *, tty: bool, stamped: bool) -> bytes:
    text = f"{rfc3339_ns(line.time_ns)} ".encode() + line.text if stamped else line.text
    return text if tty else frame(_number(line), text)


def _number(line: LogLine) -> int:
    return STDOUT if line.stream == "stdout" else STDERR


def _tail(request: web.Request) -> int | None:
    """Return how many lines are wanted; absent: all."""
    if request.query.get("tail", "all") in {"", "all"}:
        return None
    count = number(request, "tail")
    return None if count is None or count < 0 else count


ROUTES = (
    web.post("/containers/{id}/attach", attach),
    web.get("/containers/{id}/logs", logs),
    web.post("/containers/{id}/wait", wait),
    web.post("/containers/{id}/resize", resize),
)
