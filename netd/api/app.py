"""The application: all routes with and without a version, and what holds for every request."""

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from netd.api import (
    absent,
    containers,
    events,
    execs,
    images,
    netd_ports,
    netd_rules,
    networks,
    process_streams,
    system,
)
from netd.api.answers import HEADERS, NoAnswer, empty_answer
from netd.api.connection import Connection
from netd.api.errors import error_answer, message_answer, unexpected_answer
from netd.api.requests import JSON_LIMIT
from netd.api.services import DaemonServices
from netd.api.state import DAEMON, STREAMS, WORK, await_work, end_streams
from netd.api.versions import PREFIX, version_of
from netd.errors import NetdError

_MODULES = (
    system, containers, process_streams, execs, images, networks, events, netd_ports, netd_rules,
    absent,
)  # fmt: skip


def application(daemon: DaemonServices) -> web.Application:
    """Return the API of a daemon; `netd.api.serve` serves it."""
    app = web.Application(
        middlewares=[_closing, _errors, _paths, _version], client_max_size=JSON_LIMIT
    )
    app[DAEMON], app[WORK], app[STREAMS] = daemon, set(), set()
    for module in _MODULES:
        for route in module.ROUTES:
            app.router.add_route(route.method, route.path, route.handler)
            app.router.add_route(route.method, PREFIX + route.path, route.handler)
    app.on_response_prepare.append(_name_ourselves)
    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(await_work)
    return app


@web.middleware
async def _closing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Close the connection after the answer when no further request can come on it.

    The client has ended its side, or what it sends is not to be told apart any more.
    """
    transport = request.transport
    connection = transport.get_protocol() if transport else None
    if isinstance(connection, Connection):
        connection.reading(request.content)
    response = await handler(request)
    broken = request.content.exception() is not None
    if broken:
        request.content.feed_eof()  # or aiohttp would read on, and log the error as its own
    if (isinstance(connection, Connection) and connection.answered()) or broken:
        response.force_close()
    return response


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer; none leaves the application."""
    try:
        return await handler(request)
    except NetdError as error:
        return error_answer(error)
    except web.HTTPException as error:
        return _http_answer(error)
    except web.RequestPayloadError as error:
        reason = str(error).splitlines()[-1].strip()
        return message_answer(400, f"the request's body makes no sense: {reason}")
    except Exception as error:
        if isinstance(error, ConnectionError) and _gone(request):
            return NoAnswer()
        return unexpected_answer(request, error)


@web.middleware
async def _paths(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer OPTIONS, and send clients that double a slash to the clean path."""
    path, question, query = request.raw_path.partition("?")
    if "//" in path:
        location = re.sub("/{2,}", "/", path) + question + query
        return web.Response(status=301, headers={"Location": location})
    if request.method == "OPTIONS":
        return empty_answer()
    return await handler(request)


@web.middleware
async def _version(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse versions that are not spoken."""
    version_of(request)
    return await handler(request)


def _http_answer(error: web.HTTPException) -> web.Response:
    if error.status in {404, 405}:
        return message_answer(404, "page not found")
    if error.status == 413:
        return message_answer(413, f"the request's body is larger than {JSON_LIMIT} octets")
    return message_answer(error.status, error.reason)


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _name_ourselves(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.update(HEADERS)
