"""What netd does not have: volumes, plugins, a swarm, said so that clients go on.

`docker inspect X` asks for every kind of thing, `docker system prune` prunes every kind.
"""

from aiohttp import web

from netd.api.answers import json_answer
from netd.errors import NotFoundError, UnavailableError

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


ROUTES = (
    web.get("/volumes", volumes),
    web.post("/volumes/prune", pruned_volumes),
    web.get("/volumes/{name}", volume),
    web.delete("/volumes/{name}", volume),
    web.post("/build/prune", pruned_builds),
    web.get("/plugins", plugins),
    web.get("/plugins/{name:.+}/json", plugin),
    web.post("/swarm/leave", leave_swarm),
    *(web.get(f"/{noun}", swarm) for noun in _SWARM),
    *(web.get(f"/{noun}/{{id}}", swarm) for noun in _SWARM),
)
