"""`/netd/containers/{id}/ports`: publishing more ports of a container, and fewer; netd's own.

Docker knows published ports at create only. The bodies and the answer are in its words all the
same: `{"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}` and `{"Ports": {...}}` as
inspect gives them.
"""

from collections.abc import Sequence

from aiohttp import web

from netd.api.answers import json_answer
from netd.api.docker.port_answers import ports_answer
from netd.api.docker.ports import PublishBody, asked_ports
from netd.api.requests import json_body
from netd.api.state import daemon_of, finish
from netd.errors import InvalidError
from netd.model import Container, PortRequest


async def add(request: web.Request) -> web.Response:
    """POST /netd/containers/{id}/ports: publish more, at once where the container runs."""
    asked = await _requests(request)
    return _answer(await finish(request, daemon_of(request).ports.add(_reference(request), asked)))


async def remove(request: web.Request) -> web.Response:
    """DELETE /netd/containers/{id}/ports: without a port of the host, all that lead to a port."""
    asked = await _requests(request)
    return _answer(
        await finish(request, daemon_of(request).ports.remove(_reference(request), asked))
    )


async def _requests(request: web.Request) -> Sequence[PortRequest]:
    body = await json_body(request, PublishBody)
    asked = asked_ports((), body.port_bindings).requests
    if not asked:
        raise InvalidError("no port is named: PortBindings is empty")
    return asked


def _answer(container: Container) -> web.Response:
    return json_answer({"Ports": ports_answer(container)})


def _reference(request: web.Request) -> str:
    return request.match_info["id"]


ROUTES = (
    web.post("/netd/containers/{id}/ports", add),
    web.delete("/netd/containers/{id}/ports", remove),
)
