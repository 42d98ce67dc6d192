"""What the application carries: the daemon, the work begun, the streams that are open."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web

from netd.api.services import DaemonServices

log = logging.getLogger(__name__)
Result = TypeVar("Result")

Tasks = set[asyncio.Task[Any]]
DAEMON: web.AppKey[DaemonServices] = web.AppKey("daemon")
WORK: web.AppKey[Tasks] = web.AppKey("work")
STREAMS: web.AppKey[Tasks] = web.AppKey("streams")
WORK_TIMEOUT_S = 15.0


def daemon_of(request: web.Request) -> DaemonServices:
    """Return the daemon that the request is for."""
    return request.app[DAEMON]


async def finish(
    request: web.Request,
    work: Coroutine[Any, Any, Result],
    abandoned: Callable[[Result], None] | None = None,
) -> Result:
    """Await work that goes on to its end when the client goes away: what was begun is done.

    `abandoned` takes the result then.
    """
    tasks = request.app[WORK]
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(lambda done: _note(request.path, done, abandoned))
        raise


@contextmanager
def open_stream(request: web.Request) -> Iterator[None]:
    """Count the current request as one that may last, and that is ended when the daemon stops."""
    streams = request.app[STREAMS]
    task = asyncio.current_task()
    assert task is not None
    streams.add(task)
    try:
        yield
    finally:
        streams.discard(task)


async def end_streams(app: web.Application) -> None:
    """End all open streams."""
    for task in app[STREAMS].copy():
        task.cancel()


async def await_work(app: web.Application) -> None:
    """Wait for work whose clients have gone; cancel what does not end."""
    tasks = app[WORK].copy()
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=WORK_TIMEOUT_S)
    for task in pending:
        log.warning("given up at the daemon's end: %s", task.get_coro())
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def _note(
    path: str, task: "asyncio.Task[Result]", abandoned: Callable[[Result], None] | None
) -> None:
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        log.warning("%s, whose client had gone: %s", path, error)
    elif abandoned is not None:
        abandoned(task.result())
