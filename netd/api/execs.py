"""`/exec` and `/containers/{id}/exec`: further processes in running containers."""

from contextlib import closing

from aiohttp import web

from netd.api.answers import NoAnswer, empty_answer, json_answer
from netd.api.docker.execs import CreateExec, StartExec, console_size, exec_answer, exec_request
from netd.api.hijack import Terms, pass_on, say, taken_over
from netd.api.keys import detach_keys
from netd.api.requests import json_body, size
from netd.api.state import daemon_of, finish
from netd.errors import NetdError
from netd.model import Exec
from netd.streams import Stream


async def create(request: web.Request) -> web.Response:
    """POST /containers/{id}/exec."""
    asked = exec_request(await json_body(request, CreateExec))
    exec_ = await finish(request, daemon_of(request).execs.create(request.match_info["id"], asked))
    return json_answer({"Id": exec_.id}, status=201)


async def inspect(request: web.Request) -> web.Response:
    """GET /exec/{id}/json."""
    return json_answer(exec_answer(daemon_of(request).execs.exec(request.match_info["id"])))


async def start(request: web.Request) -> web.StreamResponse:
    """POST /exec/{id}/start: raw octets both ways, or nothing when detached."""
    execs = daemon_of(request).execs
    body = await json_body(request, StartExec)
    exec_ = execs.exec(request.match_info["id"])
    rows_columns = console_size(body)
    if body.detach:
        await finish(request, execs.start(exec_.id, detach=True, console_size=rows_columns))
        return empty_answer()
    terms = _terms(exec_)
    if not _has_run(exec_):
        execs.check(exec_.id)
    # The head goes out before the process starts: docker-py loses output that comes with the head.
    async with taken_over(request, tty=terms.tty) as connection:
        try:
            stream = await finish(
                request,
                execs.start(exec_.id, detach=False, console_size=rows_columns),
                abandoned=_close,
            )
        except NetdError as error:
            # A command that cannot be run: clients look for the reason in the output.
            await say(connection, terms, str(error))
            return NoAnswer()
        if stream is not None:
            with closing(stream):
                await pass_on(connection, stream, terms)
    return NoAnswer()


async def resize(request: web.Request) -> web.Response:
    """POST /exec/{id}/resize."""
    rows, columns = size(request)
    await daemon_of(request).execs.resize(request.match_info["id"], rows, columns)
    return empty_answer()


def _terms(exec_: Exec) -> Terms:
    return Terms(
        tty=exec_.request.tty,
        stdin=exec_.request.attach_stdin,
        detach_keys=detach_keys(exec_.request.detach_keys),
    )


def _close(stream: Stream | None) -> None:
    if stream is not None:
        stream.close()


def _has_run(exec_: Exec) -> bool:
    return exec_.running or exec_.exit_code is not None


ROUTES = (
    web.post("/containers/{id}/exec", create),
    web.get("/exec/{id}/json", inspect),
    web.post("/exec/{id}/start", start),
    web.post("/exec/{id}/resize", resize),
)
