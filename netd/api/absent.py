"""What netd does not have, said so that clients go on and users know.

`docker inspect X` asks for every kind of thing, `docker system prune` prunes every kind: of volumes
and plugins there are none. A verb that Docker has and netd has not is refused by its name.
"""

from aiohttp import web

from netd.api.answers import json_answer
from netd.api.state import daemon_of
from netd.errors import NotFoundError, NotSupportedError, UnavailableError

# By the last part of the path: what it would do.
_CONTAINER_VERBS = {
    ("POST", "pause"): "pausing containers",
    ("POST", "unpause"): "pausing containers",
    ("POST", "update"): "changing a container's limits",
    ("GET", "top"): "listing a container's processes",
    ("GET", "stats"): "statistics of containers",
    ("GET", "changes"): "listing changed files",
    ("GET", "export"): "exporting containers",
    ("GET", "attach/ws"): "attaching by WebSocket",
    ("HEAD", "archive"): "copying files",
    ("GET", "archive"): "copying files",
    ("PUT", "archive"): "copying files",
}
_VERBS = {
    ("POST", "/commit"): "committing containers",
    ("POST", "/build"): "building images",
    ("GET", "/images/get"): "saving images",
    ("GET", "/images/{name:.+}/get"): "saving images",
    ("GET", "/images/search"): "registries",
    ("POST", "/images/{name:.+}/push"): "registries",
    ("GET", "/distribution/{name:.+}/json"): "registries",
    ("POST", "/auth"): "registries",
    ("POST", "/volumes/create"): "volumes",
    ("POST", "/swarm/init"): "swarms",
    ("POST", "/swarm/join"): "swarms",
    ("POST", "/plugins/pull"): "plugins",
}
_SWARM = ("swarm", "nodes", "services", "tasks", "secrets", "configs")


async def volumes(request: web.Request) -> web.Response:
    """GET /volumes: none."""
    del request
    return json_answer({"Volumes": [], "Warnings": None})


async def volume(request: web.Request) -> web.Response:
    """GET and DELETE /volumes/{name}: there is none of that name."""
    raise NotFoundError(f"get {request.match_info['name']}: no such volume")


async def pruned_volumes(request: web.Request) -> web.Response:
    """POST /volumes/prune: nothing to take away."""
    del request
    return json_answer({"VolumesDeleted": None, "SpaceReclaimed": 0})


async def pruned_builds(request: web.Request) -> web.Response:
    """POST /build/prune: nothing to take away."""
    del request
    return json_answer({"CachesDeleted": None, "SpaceReclaimed": 0})


async def plugins(request: web.Request) -> web.Response:
    """GET /plugins: none."""
    del request
    return json_answer([])


async def plugin(request: web.Request) -> web.Response:
    """GET /plugins/{name}/json: there is none of that name."""
    raise NotFoundError(f'plugin "{request.match_info["name"]}" not found')


async def swarm(request: web.Request) -> web.Response:
    """GET /swarm and what belongs to one."""
    del request
    raise UnavailableError(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
        "connect this node to swarm and try again."
    )


async def leave_swarm(request: web.Request) -> web.Response:
    """POST /swarm/leave."""
    del request
    raise UnavailableError("This node is not part of a swarm")


def _refused(method: str, path: str, what: str) -> web.RouteDef:
    async def refuse(request: web.Request) -> web.Response:
        if "id" in request.match_info:
            # Of a container that is not there this is what matters.
            daemon_of(request).containers.container(request.match_info["id"])
        raise NotSupportedError(f"netd does not support {what}")

    return web.route(method, path, refuse)


ROUTES = (
    web.get("/volumes", volumes),
    web.post("/volumes/prune", pruned_volumes),
    web.get("/volumes/{name}", volume),
    web.delete("/volumes/{name}", volume),
    web.post("/build/prune", pruned_builds),
    web.get("/plugins", plugins),
    web.get("/plugins/{name:.+}/json", plugin),
    web.post("/swarm/leave", leave_swarm),
    *(
        _refused(method, f"/containers/{{id}}/{verb}", what)
        for (method, verb), what in _CONTAINER_VERBS.items()
    ),
    *(_refused(method, path, what) for (method, path), what in _VERBS.items()),
    *(web.get(f"/{noun}", swarm) for noun in _SWARM),
    *(web.get(f"/{noun}/{{id}}", swarm) for noun in _SWARM),
)
