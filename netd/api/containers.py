"""`/containers`: creating, finding, starting, stopping and removing them."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from netd.api.answers import empty_answer, json_answer
from netd.api.container_filters import LIST_KEYS, PRUNE_KEYS, listed, pruned
from netd.api.docker.container_request import creation
from netd.api.docker.containers import Places, container_answer, summary_answer
from netd.api.docker.shapes import Json
from netd.api.filters import Filters, filters
from netd.api.layers import layer_paths
from netd.api.requests import flag, json_value, number
from netd.api.services import DaemonServices
from netd.api.state import daemon_of, finish
from netd.api.versions import version_of
from netd.errors import ConflictError, InvalidError, NetdError, NotFoundError, NotModifiedError
from netd.model import Container


async def create(request: web.Request) -> web.Response:
    """POST /containers/create: what cannot be honoured is refused, never dropped."""
    asked = creation(
        await json_value(request),
        request.query.get("name", ""),
        request.query.get("platform", ""),
    )
    missing = [path for path in asked.sources if not Path(path).exists()]
    if missing:
        raise InvalidError(
            f'invalid mount config for type "bind": bind source path does not exist: {missing[0]}'
        )
    container, warnings = await finish(request, daemon_of(request).containers.create(asked.request))
    return json_answer({"Id": container.id, "Warnings": [*asked.warnings, *warnings]}, status=201)


async def inspect(request: web.Request) -> web.Response:
    """GET /containers/{id}/json."""
    daemon = daemon_of(request)
    container = daemon.containers.container(_reference(request))
    answer = container_answer(
        container,
        _places(daemon, container),
        daemon.execs.of(container.id),
        version_of(request),
        daemon.system().default_runtime,
    )
    if flag(request, "size"):
        answer |= await sizes(daemon, container)
    return json_answer(answer)


async def list_(request: web.Request) -> web.Response:
    """GET /containers/json."""
    daemon = daemon_of(request)
    shown = listed(
        daemon,
        filters(request, LIST_KEYS),
        everything=flag(request, "all"),
        limit=number(request, "limit") or -1,
    )
    answers = await summaries(daemon, shown, version_of(request), with_size=flag(request, "size"))
    return json_answer(answers)


async def start(request: web.Request) -> web.Response:
    """POST /containers/{id}/start."""
    await finish(request, daemon_of(request).containers.start(_reference(request)))
    return empty_answer(204)


async def stop(request: web.Request) -> web.Response:
    """POST /containers/{id}/stop: `t` seconds for the signal to work, -1 for ever."""
    await finish(
        request,
        daemon_of(request).containers.stop(
            _reference(request),
            timeout_s=number(request, "t"),
            signal=request.query.get("signal", ""),
        ),
    )
    return empty_answer(204)


async def restart(request: web.Request) -> web.Response:
    """POST /containers/{id}/restart; one that does not run is started."""
    await finish(
        request,
        _restart(
            daemon_of(request),
            _reference(request),
            number(request, "t"),
            request.query.get("signal", ""),
        ),
    )
    return empty_answer(204)


async def kill(request: web.Request) -> web.Response:
    """POST /containers/{id}/kill."""
    await finish(
        request,
        daemon_of(request).containers.kill(
            _reference(request), signal=request.query.get("signal") or "KILL"
        ),
    )
    return empty_answer(204)


async def rename(request: web.Request) -> web.Response:
    """POST /containers/{id}/rename."""
    name = request.query.get("name", "")
    if not name.removeprefix("/"):
        raise InvalidError("Neither old nor new names may be empty")
    await finish(request, daemon_of(request).containers.rename(_reference(request), name))
    return empty_answer(204)


async def remove(request: web.Request) -> web.Response:
    """DELETE /containers/{id}."""
    if flag(request, "link"):
        raise InvalidError(f"netd has no links to remove: {_reference(request)}")
    await finish(
        request,
        daemon_of(request).containers.remove(_reference(request), force=flag(request, "force")),
    )
    return empty_answer(204)


async def prune(request: web.Request) -> web.Response:
    """POST /containers/prune."""
    return json_answer(
        await finish(request, _prune(daemon_of(request), filters(request, PRUNE_KEYS)))
    )


async def summaries(
    daemon: DaemonServices,
    containers: list[Container],
    version: tuple[int, int],
    *,
    with_size: bool,
) -> list[Json]:
    """Return containers as lists show them."""
    now = datetime.now(UTC)
    answers: list[Json] = []
    for container in containers:
        answer = summary_answer(container, _image_name(daemon, container), now, version)
        if with_size:
            answer |= await sizes(daemon, container)
        answers.append(answer)
    return answers


async def sizes(daemon: DaemonServices, container: Container) -> Json:
    """Return how much a container's own layer and its whole file system take."""
    own = await asyncio.to_thread(daemon.containers.size, container.id)
    try:
        image = daemon.images.image(container.image_id).size
    except NotFoundError:
        image = 0
    return {"SizeRw": own, "SizeRootFs": image + own}


async def _restart(
    daemon: DaemonServices, reference: str, timeout_s: int | None, signal: str
) -> None:
    id_ = daemon.containers.container(reference).id
    with suppress(NotModifiedError):  # one that does not run is started, no more
        await daemon.containers.stop(id_, timeout_s=timeout_s, signal=signal)
    await daemon.containers.start(id_)


async def _prune(daemon: DaemonServices, chosen: Filters) -> Json:
    removed: list[str] = []
    space = 0
    for container in pruned(daemon, chosen):
        try:
            size = await asyncio.to_thread(daemon.containers.size, container.id)
            await daemon.containers.remove(container.id)
        except (ConflictError, NotFoundError):
            continue  # started or removed by somebody else meanwhile
        removed.append(container.id)
        space += size
    return {"ContainersDeleted": removed or None, "SpaceReclaimed": space}


def _places(daemon: DaemonServices, container: Container) -> Places:
    try:
        layers = layer_paths(daemon, daemon.images.image(container.image_id))
    except NetdError:
        layers = []  # removed by force, with the container left behind
    return Places(
        folder=daemon.containers.folder(container.id),
        rootfs=daemon.config.exec_root / "c" / container.id / "rootfs",
        layers=layers,
        sandbox=daemon.containers.sandbox(container.id),
    )


def _image_name(daemon: DaemonServices, container: Container) -> str:
    """Return what the image was called, its id when that name means another one by now."""
    try:
        current = daemon.images.image(container.config.image).id
    except NetdError:
        current = ""
    return container.config.image if current == container.image_id else container.image_id


def _reference(request: web.Request) -> str:
    return request.match_info["id"]


ROUTES = (
    web.post("/containers/create", create),
    web.get("/containers/json", list_),
    web.post("/containers/prune", prune),
    web.get("/containers/{id}/json", inspect),
    web.post("/containers/{id}/start", start),
    web.post("/containers/{id}/stop", stop),
    web.post("/containers/{id}/restart", restart),
    web.post("/containers/{id}/kill", kill),
    web.post("/containers/{id}/rename", rename),
    web.delete("/containers/{id}", remove),
)
