"""Errors as answers: the one table of classes and statuses, and Docker's JSON around the sentence.

What is not in the table is a mistake of ours: it is logged, and the client gets a 500 that says so.
"""

import logging

from aiohttp import web

from netd import errors
from netd.api.answers import json_answer

log = logging.getLogger(__name__)

STATUSES: dict[type[errors.NetdError], int] = {
    errors.NotModifiedError: 304,
    errors.InvalidError: 400,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.InternalError: 500,
    errors.NotImplementedByDriverError: 501,
    errors.NotSupportedError: 501,
    errors.UnavailableError: 503,
    errors.NetdError: 500,
}


def status(error: errors.NetdError) -> int:
    """Return the HTTP status for an error: its class's, or its nearest ancestor's."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def error_answer(error: errors.NetdError) -> web.Response:
    """Return the answer for an error of the daemon's own."""
    code = status(error)
    if code == 304:
        return web.Response(status=304)
    if code == 500:  # the others are the user's, or were told at start
        log.error("%s", error)
    return message_answer(code, str(error))


def message_answer(code: int, message: str) -> web.Response:
    """Return Docker's form of an error."""
    return json_answer({"message": message}, status=code)


def unexpected_answer(request: web.Request, error: Exception) -> web.Response:
    """Return the answer for a mistake of ours, which is logged with its place."""
    log.error("%s %s: %r", request.method, request.path, error, exc_info=error)
    kind = type(error).__name__
    return message_answer(500, f"internal error: {kind}: {error} (the daemon's log says where)")
