"""`/_ping`, `/version`, `/info` and `/system/df`: the daemon itself."""

from aiohttp import web

from netd.api.answers import json_answer
from netd.api.containers import summaries
from netd.api.docker.images import image_summary
from netd.api.docker.system import info_answer, version_answer
from netd.api.state import daemon_of
from netd.api.versions import version_of


async def ping(request: web.Request) -> web.Response:
    """GET and HEAD /_ping: clients read the API's version from its head."""
    headers = {
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
        "Swarm": "inactive",
    }
    if request.method == "HEAD":
        kind = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "0"}
        return web.Response(headers=headers | kind)
    return web.Response(text="OK", headers=headers)


async def version(request: web.Request) -> web.Response:
    """GET /version."""
    return json_answer(version_answer(daemon_of(request).system()))


async def info(request: web.Request) -> web.Response:
    """GET /info."""
    daemon = daemon_of(request)
    return json_answer(info_answer(daemon.system(), debug=daemon.config.log_level == "debug"))


async def disk_usage(request: web.Request) -> web.Response:
    """GET /system/df."""
    daemon = daemon_of(request)
    images = daemon.images.list()
    containers = list(daemon.containers.list())
    users = [each.image_id for each in containers]
    shown = await summaries(daemon, containers, version_of(request), with_size=True)
    return json_answer({
        "LayersSize": sum(image.size for image in images),
        "Images": [
            image_summary(image) | {"Containers": users.count(image.id), "SharedSize": 0}
            for image in images
        ],
        "Containers": shown,
        "Volumes": [],
        "BuildCache": [],
        "BuilderSize": 0,
    })  # fmt: skip


ROUTES = (
    web.get("/_ping", ping, allow_head=False),
    web.head("/_ping", ping),
    web.get("/version", version),
    web.get("/info", info),
    web.get("/system/df", disk_usage),
)
