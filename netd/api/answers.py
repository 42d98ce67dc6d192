"""Answers: JSON as Docker writes it, and streams that are begun at once."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from netd import __version__
from netd.api.state import open_stream
from netd.api.versions import NEWEST, text

log = logging.getLogger(__name__)

HEADERS = {
    "Api-Version": text(NEWEST),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"netd/{__version__} (linux)",
}


class NoAnswer(web.StreamResponse):
    """The answer to a request whose connection is no HTTP any more: nothing is left to send."""

    def __init__(self) -> None:
        """Let aiohttp close the connection."""
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


def json_answer(value: object, status: int = 200) -> web.Response:
    """Return a value as JSON with a newline at its end."""
    return web.Response(
        status=status, body=msgspec.json.encode(value) + b"\n", content_type="application/json"
    )


def empty_answer(status: int = 200) -> web.Response:
    """Return an answer without a body."""
    return web.Response(status=status)


@asynccontextmanager
async def streamed(
    request: web.Request, content_type: str = ""
) -> AsyncIterator[web.StreamResponse]:
    """Give an answer whose head is sent on entry and that is ended on leaving.

    It counts as open all the while, so that a daemon that stops can end it; a client that goes away
    cancels it.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type} if content_type else None)
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    else:
        response.force_close()
    with open_stream(request):
        await response.prepare(request)
        try:
            yield response
        except ConnectionError:
            raise
        except Exception as error:
            # The head was a success: breaking off is the only way left to say that it is not one.
            log.exception("%s broken off", request.path)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError(f"broken off: {error}") from error
        await response.write_eof()
