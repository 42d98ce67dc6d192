"""`/images`: taking them in, finding, naming and removing them."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial

import msgspec
from aiohttp import web

from netd.api.answers import empty_answer, json_answer
from netd.api.container_filters import until
from netd.api.docker.images import history_answer, image_answer, image_summary, removed_answer
from netd.api.filters import Filters, any_holds, filters, labels_hold, truth
from netd.api.layers import layer_paths
from netd.api.requests import flag
from netd.api.services import DaemonServices
from netd.api.state import daemon_of, finish
from netd.errors import ConflictError, InvalidError, NotFoundError
from netd.model import Image

_LIST_KEYS = ("reference", "dangling", "label", "label!", "before", "since", "until")
_PRUNE_KEYS = ("dangling", "label", "label!", "until")
_CHUNK = 1 << 18  # octets


async def load(request: web.Request) -> web.Response:
    """POST /images/load: an archive of `docker save` or OCI's, of any size."""
    names = await finish(request, daemon_of(request).images.load(_chunks(request)))
    return _progress([
        {"stream": f"Loaded image ID: {name}\n"}
        if name.startswith("sha256:")
        else {"stream": f"Loaded image: {name}\n"}
        for name in names
    ])  # fmt: skip


async def create(request: web.Request) -> web.Response:
    """POST /images/create: an import; netd asks no registry."""
    query = request.query
    if query.get("fromImage"):
        name, tag = query["fromImage"], query.get("tag", "")
        separator = "@" if tag.startswith("sha256:") else ":"
        whole = f"{name}{separator}{tag}" if tag else name
        raise NotFoundError(
            f"pull access denied for {whole}: netd asks no registries; bring the image in with "
            "load (docker save) or import"
        )
    if query.get("fromSrc") != "-":
        raise InvalidError(
            f"image source {query.get('fromSrc', '')!r}: netd imports what the request carries, "
            "fromSrc=-"
        )
    id_ = await finish(
        request,
        daemon_of(request).images.import_(
            _chunks(request),
            repo=query.get("repo", ""),
            tag=query.get("tag", ""),
            changes=query.getall("changes", []),
            message=query.get("message", ""),
        ),
    )
    return _progress([{"status": id_}])


async def list_(request: web.Request) -> web.Response:
    """GET /images/json: the newest first."""
    daemon = daemon_of(request)
    chosen = filters(request, _LIST_KEYS)
    return json_answer([image_summary(each) for each in _listed(daemon, chosen)])


async def inspect(request: web.Request) -> web.Response:
    """GET /images/{name}/json."""
    daemon = daemon_of(request)
    image = daemon.images.image(request.match_info["name"])
    raw = daemon.images.config(image.id)
    return json_answer(image_answer(image, raw, layer_paths(daemon, image)))


async def history(request: web.Request) -> web.Response:
    """GET /images/{name}/history."""
    images = daemon_of(request).images
    image = images.image(request.match_info["name"])
    return json_answer(history_answer(image, images.config(image.id)))


async def tag(request: web.Request) -> web.Response:
    """POST /images/{name}/tag."""
    repo = request.query.get("repo", "")
    if not repo:
        raise InvalidError("invalid reference format: repo is empty")
    await finish(
        request,
        daemon_of(request).images.tag(
            request.match_info["name"], repo, request.query.get("tag", "")
        ),
    )
    return empty_answer(201)


async def remove(request: web.Request) -> web.Response:
    """DELETE /images/{name}."""
    removed = await finish(
        request,
        daemon_of(request).images.remove(
            request.match_info["name"],
            force=flag(request, "force"),
            prune=not flag(request, "noprune"),
        ),
    )
    return json_answer(removed_answer(removed))


async def prune(request: web.Request) -> web.Response:
    """POST /images/prune: those without a name; with dangling=false all that nothing uses."""
    return json_answer(
        await finish(request, _prune(daemon_of(request), filters(request, _PRUNE_KEYS)))
    )


async def _prune(daemon: DaemonServices, chosen: Filters) -> dict[str, object]:
    nameless_only = truth(chosen, "dangling") is not False
    until_ns = min((until(text) for text in chosen.get("until", ())), default=None)
    used = {each.image_id for each in daemon.containers.list()}
    removed: list[dict[str, object]] = []
    space = 0
    for image in tuple(daemon.images.list()):
        if (
            image.id in used
            or (nameless_only and image.names)
            or not labels_hold(chosen, image.config.labels)
            or (until_ns is not None and image.created.timestamp() * 1e9 >= until_ns)
        ):
            continue
        try:
            # By id and forced, so that one with several names goes, too; no container uses it.
            gone = await daemon.images.remove(image.id, force=True)
        except (ConflictError, NotFoundError):
            continue  # used or removed by somebody else meanwhile
        removed += removed_answer(gone)
        space += image.size
    return {"ImagesDeleted": removed or None, "SpaceReclaimed": space}


def _listed(daemon: DaemonServices, chosen: Filters) -> Sequence[Image]:
    dangling = truth(chosen, "dangling")
    before = min((_created(daemon, name) for name in chosen.get("before", ())), default=None)
    since = max((_created(daemon, name) for name in chosen.get("since", ())), default=None)
    until_ns = min((until(text) for text in chosen.get("until", ())), default=None)
    return [
        image
        for image in sorted(daemon.images.list(), key=lambda each: each.created, reverse=True)
        if (dangling is None or dangling is not bool(image.names))
        and labels_hold(chosen, image.config.labels)
        and (before is None or image.created < before)
        and (since is None or image.created > since)
        and (until_ns is None or image.created.timestamp() * 1e9 < until_ns)
        and any_holds(chosen, "reference", partial(_named_like, image))
    ]


def _created(daemon: DaemonServices, reference: str) -> datetime:
    return daemon.images.image(reference).created


def _named_like(image: Image, pattern: str) -> bool:
    """Return whether a name, or one without its tag, looks like a pattern with * ? and []."""
    shape = _pattern(pattern)
    for name in image.names:
        repository = name.partition("@")[0]
        head, _, last = repository.rpartition("/")
        bare = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
        if shape.fullmatch(name) or shape.fullmatch(bare):
            return True
    return False


def _pattern(text: str) -> re.Pattern[str]:
    """Return Go's path patterns as a regular expression: a star stops at a slash."""
    pieces = re.split(r"(\*|\?|\[[^\]]+\])", text)
    words = {"*": "[^/]*", "?": "[^/]"}
    try:
        return re.compile(
            "".join(
                words.get(piece) or (piece if piece.startswith("[") else re.escape(piece))
                for piece in pieces
            )
        )
    except re.error as error:
        raise InvalidError(f"invalid filter 'reference={text}'") from error


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_chunked(_CHUNK):
        yield chunk


def _progress(objects: Sequence[dict[str, str]]) -> web.Response:
    return web.Response(
        body=b"".join(msgspec.json.encode(each) + b"\r\n" for each in objects),
        content_type="application/json",
    )


ROUTES = (
    web.get("/images/json", list_),
    web.post("/images/load", load),
    web.post("/images/create", create),
    web.post("/images/prune", prune),
    web.get("/images/{name:.+}/json", inspect),
    web.get("/images/{name:.+}/history", history),
    web.post("/images/{name:.+}/tag", tag),
    web.delete("/images/{name:.+}", remove),
)
