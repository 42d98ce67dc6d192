"""netd's own requests about the ports of containers that are there already."""

from ipaddress import ip_address
from typing import Any

import pytest

from netd.errors import ConflictError, NetdError
from netd.model import PortRequest
from tests.netd.api.conftest import Api, web
from tests.netd.makers import container

PATH = "/netd/containers/web/ports"
BODY = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/udp": None}}
REQUESTS = (
    PortRequest(80, host_address=ip_address("127.0.0.1"), host_port=8080),
    PortRequest(81, "udp"),
)


@pytest.mark.parametrize("path", [PATH, f"/v1.45{PATH}"])
async def test_more_ports_are_published_and_all_are_answered(api: Api, path: str) -> None:
    web(api, exposed_ports=("90/tcp",))

    answer = await api("POST", path, BODY)

    assert api.daemon.ports.calls == [("add", "web", REQUESTS)]
    assert (answer.status, answer.json) == (
        200,
        {"Ports": {
            "90/tcp": None,
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
            "81/udp": [{"HostIp": "0.0.0.0", "HostPort": "49153"}],
        }},
    )  # fmt: skip


async def test_ports_are_taken_away_and_what_is_left_is_answered(api: Api) -> None:
    web(api)
    await api("POST", PATH, BODY)

    answer = await api("DELETE", PATH, {"PortBindings": {"80/tcp": None}})

    assert api.daemon.ports.calls[-1] == ("remove", "web", (PortRequest(80),))
    assert (answer.status, answer.json) == (
        200,
        {"Ports": {"81/udp": [{"HostIp": "0.0.0.0", "HostPort": "49153"}]}},
    )


async def test_a_container_that_does_not_run_has_no_ports_yet(api: Api) -> None:
    api.daemon.containers.add(container("web"))

    answer = await api("POST", PATH, BODY)

    assert (answer.status, answer.json) == (200, {"Ports": {}})
    assert api.daemon.containers.container("web").host.ports == REQUESTS


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "no port is named: PortBindings is empty"),
        ({}, "no port is named: PortBindings is empty"),
        ({"PortBindings": {}}, "no port is named: PortBindings is empty"),
        (
            {"PortBindings": {"0/tcp": None, "80/tcp": [{"HostPort": "x"}]}},
            'invalid port specification: "0/tcp"; invalid port specification: "x" (of 80/tcp)',
        ),
        ({"PortBindings": []}, "invalid JSON: PortBindings: expected object | null, got array"),
    ],
)
async def test_what_names_no_ports_is_refused(
    api: Api, method: str, body: dict[str, Any] | None, message: str
) -> None:
    web(api)

    answer = await api(method, PATH, body)

    assert (answer.status, answer.message) == (400, message)
    assert api.daemon.ports.calls == []


@pytest.mark.parametrize(("method", "verb"), [("POST", "add"), ("DELETE", "remove")])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConflictError("web has the host's network"), 409),
        (NetdError("driver failed: port is already allocated"), 500),
    ],
)
async def test_what_the_service_refuses_is_told(
    api: Api, method: str, verb: str, error: NetdError, status: int
) -> None:
    web(api)
    api.daemon.ports.errors[verb] = error

    answer = await api(method, PATH, BODY)

    assert (answer.status, answer.message) == (status, str(error))


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_unknown_container_has_no_ports(api: Api, method: str) -> None:
    answer = await api(method, PATH, BODY)

    assert (answer.status, answer.message) == (404, "No such container: web")


async def test_the_path_knows_no_other_verb(api: Api) -> None:
    assert (await api("GET", PATH)).status == 404
