"""One connection's HTTP: aiohttp's, but what is no HTTP is answered as every other error is."""

import asyncio
import logging

from aiohttp import web

from netd.api.answers import HEADERS
from netd.api.errors import message_answer

log = logging.getLogger(__name__)

# Docker takes heads of up to 1 MiB; filters with many labels make a long first line.
HEAD_LIMIT = 64 << 10  # octets


class Http(web.RequestHandler):
    """The protocol behind a `Connection`."""

    __slots__ = ()

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # none is kept; aiohttp takes it
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what was sent in place of a request; 500 is a mistake of ours, as in aiohttp."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        # What follows in the message is the offending octets, as Python shows them.
        problem = (message or "").partition(":")[0].strip().rstrip(".") or "it makes no sense"
        log.debug("refused what is no request: %s", message)
        answer = message_answer(status, f"malformed HTTP request: {problem}")
        answer.headers.update(HEADERS)
        answer.force_close()
        return answer
