"""`/networks`: creating, finding, joining and removing them."""

from aiohttp import web

from netd.api.answers import empty_answer, json_answer
from netd.api.container_filters import PRUNE_KEYS, until
from netd.api.docker.networks import (
    Connect,
    CreateNetwork,
    Disconnect,
    connection_request,
    network_answer,
    network_request,
)
from netd.api.filters import Filters, any_holds, filters, found, labels_hold, one_of, truth
from netd.api.requests import json_body
from netd.api.services import DaemonServices
from netd.api.state import daemon_of, finish
from netd.errors import InvalidError
from netd.model import PREDEFINED, Network

_LIST_KEYS = ("dangling", "driver", "id", "label", "label!", "name", "scope", "type")


async def create(request: web.Request) -> web.Response:
    """POST /networks/create."""
    asked = network_request(await json_body(request, CreateNetwork))
    network = await finish(request, daemon_of(request).networks.create(asked))
    return json_answer({"Id": network.id, "Warning": ""}, status=201)


async def list_(request: web.Request) -> web.Response:
    """GET /networks."""
    daemon = daemon_of(request)
    chosen = filters(request, _LIST_KEYS)
    one_of(chosen, "type", ("custom", "builtin"))
    dangling = truth(chosen, "dangling")
    return json_answer([
        network_answer(each)
        for each in daemon.networks.list()
        if _holds(chosen, each)
        and (dangling is None or dangling is _dangling(daemon, each))
    ])  # fmt: skip


async def inspect(request: web.Request) -> web.Response:
    """GET /networks/{id}."""
    networks = daemon_of(request).networks
    if request.query.get("scope", "local") not in {"", "local"}:
        raise InvalidError(f"netd has local networks only: {request.query['scope']!r}")
    network = networks.network(request.match_info["id"])
    return json_answer(network_answer(network, networks.members(network.id)))


async def connect(request: web.Request) -> web.Response:
    """POST /networks/{id}/connect."""
    daemon = daemon_of(request)
    body = await json_body(request, Connect)
    network = daemon.networks.network(request.match_info["id"])
    if not body.container:
        raise InvalidError("no container is named: Container is empty")
    asked = connection_request(network.name, body)
    await finish(request, daemon.endpoints.connect(network.id, body.container, asked))
    return empty_answer()


async def disconnect(request: web.Request) -> web.Response:
    """POST /networks/{id}/disconnect."""
    daemon = daemon_of(request)
    body = await json_body(request, Disconnect)
    network = daemon.networks.network(request.match_info["id"])
    if not body.container:
        raise InvalidError("no container is named: Container is empty")
    await finish(
        request,
        daemon.endpoints.disconnect(network.id, body.container, force=bool(body.force)),
    )
    return empty_answer()


async def remove(request: web.Request) -> web.Response:
    """DELETE /networks/{id}."""
    await finish(request, daemon_of(request).networks.remove(request.match_info["id"]))
    return empty_answer(204)


async def prune(request: web.Request) -> web.Response:
    """POST /networks/prune."""
    chosen = filters(request, PRUNE_KEYS)
    until_ns = min((until(text) for text in chosen.get("until", ())), default=None)

    def matches(network: Network) -> bool:
        return labels_hold(chosen, network.labels) and (
            until_ns is None or network.created.timestamp() * 1e9 < until_ns
        )

    removed = await finish(request, daemon_of(request).networks.prune(matches))
    return json_answer({"NetworksDeleted": list(removed) or None})


def _holds(chosen: Filters, network: Network) -> bool:
    kind = "builtin" if network.name in PREDEFINED else "custom"
    return (
        any_holds(chosen, "driver", lambda value: network.driver == value)
        and any_holds(chosen, "id", lambda value: found(value, network.id))
        and any_holds(chosen, "name", lambda value: found(value, network.name))
        and any_holds(chosen, "scope", lambda value: value == "local")
        and any_holds(chosen, "type", lambda value: value == kind)
        and labels_hold(chosen, network.labels)
    )


def _dangling(daemon: DaemonServices, network: Network) -> bool:
    return network.name not in PREDEFINED and not daemon.networks.members(network.id)


ROUTES = (
    web.get("/networks", list_),
    web.get("/networks/", list_),
    web.post("/networks/create", create),
    web.post("/networks/prune", prune),
    web.get("/networks/{id:.+}", inspect),
    web.post("/networks/{id:.+}/connect", connect),
    web.post("/networks/{id:.+}/disconnect", disconnect),
    web.delete("/networks/{id:.+}", remove),
)
