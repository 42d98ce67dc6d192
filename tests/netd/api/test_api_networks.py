"""`/networks`."""

import json
from datetime import timedelta
from ipaddress import IPv4Address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace

from netd.errors import ForbiddenError
from netd.model import EndpointRequest, NetworkRequest, SubnetRequest
from tests.netd.api.conftest import Api, missing_fields
from tests.netd.makers import EPOCH, container, endpoint, network, running, subnet


async def test_create_takes_every_field(api: Api) -> None:
    answer = await api(
        "POST",
        "/networks/create",
        {
            "Name": "front", "CheckDuplicate": True, "Driver": "bridge", "Internal": True,
            "Attachable": True, "EnableIPv4": False, "EnableIPv6": True, "Scope": "local",
            "ConfigFrom": {"Network": ""}, "ConfigOnly": False, "Ingress": False,
            "IPAM": {"Driver": "default", "Options": {"i": "1"}, "Config": [
                {"Subnet": "10.1.0.0/16", "IPRange": "10.1.2.0/24", "Gateway": "10.1.0.1",
                 "AuxiliaryAddresses": {"router": "10.1.0.2"}},
                {"Subnet": "fd00::/64"},
            ]},
            "Options": {"o": "1"}, "Labels": {"l": "v"},
        },
    )  # fmt: skip

    assert answer.status == 201
    assert answer.json == {"Id": network("front").id, "Warning": ""}
    assert api.daemon.networks.calls == [(
        "create",
        NetworkRequest(
            name="front", driver="bridge",
            subnets=(
                SubnetRequest("10.1.0.0/16", "10.1.0.1", "10.1.2.0/24", {"router": "10.1.0.2"}),
                SubnetRequest("fd00::/64"),
            ),
            internal=True, enable_ipv4=False, enable_ipv6=True, attachable=True,
            options={"o": "1"}, labels={"l": "v"}, ipam_driver="default", ipam_options={"i": "1"},
        ),
    )]  # fmt: skip


async def test_create_with_null_everywhere_is_a_plain_bridge(api: Api) -> None:
    fields = ("Driver", "IPAM", "Options", "Labels", "EnableIPv4", "EnableIPv6", "Internal")

    await api("POST", "/networks/create", {"Name": "x", **dict.fromkeys(fields)})

    assert api.daemon.networks.calls == [("create", NetworkRequest(name="x"))]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Ingress", True), ("ConfigOnly", True), ("ConfigFrom", {"Network": "x"}),
        ("Scope", "swarm"),
    ],
)  # fmt: skip
async def test_create_refuses_what_is_the_swarms(api: Api, field: str, value: object) -> None:
    answer = await api("POST", "/networks/create", {"Name": "x", field: value})

    assert answer.status == 400
    assert answer.message == f"netd does not support: {field} is {value!r}"


async def test_inspect_has_every_field_that_docker_gives(api: Api) -> None:
    front = network(
        "front",
        replace(subnet("10.0.0.0/24"), ip_range=ip_network("10.0.0.128/25"),
                auxiliary={"r": IPv4Address("10.0.0.7")}),
        options={"o": "1"}, labels={"l": "v"}, internal=True,
    )  # fmt: skip
    api.daemon.networks.rows.append(front)
    made = running(container("web", replace(endpoint(front, "10.0.0.9/24"), mac="02:42:0a:00")))
    api.daemon.containers.add(made)
    api.daemon.containers.add(container("idle", endpoint(front)))

    answer = (await api("GET", "/networks/front")).json

    assert missing_fields("network", answer) == set()
    assert (answer["Name"], answer["Id"], answer["Driver"]) == ("front", front.id, "bridge")
    assert answer["IPAM"] == {
        "Driver": "default", "Options": {}, "Config": [{
            "Subnet": "10.0.0.0/24", "IPRange": "10.0.0.128/25", "Gateway": "10.0.0.1",
            "AuxiliaryAddresses": {"r": "10.0.0.7"},
        }],
    }  # fmt: skip
    assert answer["Containers"] == {made.id: {
        "Name": "web", "EndpointID": made.endpoints[0].id, "MacAddress": "02:42:0a:00",
        "IPv4Address": "10.0.0.9/24", "IPv6Address": "",
    }}  # fmt: skip
    assert (answer["Internal"], answer["EnableIPv4"], answer["EnableIPv6"]) == (True, True, False)


async def test_predefined_networks_have_null_options(api: Api) -> None:
    api.daemon.networks.rows[1] = replace(api.daemon.networks.rows[1], subnets=())

    ipam = (await api("GET", "/networks/host")).json["IPAM"]

    assert ipam == {"Driver": "default", "Options": None, "Config": None}


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["bridge", "host", "none", "front", "back"]),
    ({"driver": ["bridge"]}, ["bridge", "front", "back"]),
    ({"id": [network("front").id[:8]]}, ["front"]),
    ({"name": {"^fr": True}}, ["front"]),
    ({"name": ["o"]}, ["host", "none", "front"]),
    ({"type": ["builtin"]}, ["bridge", "host", "none"]),
    ({"type": ["custom"]}, ["front", "back"]),
    ({"label": ["l=v"]}, ["front"]),
    ({"scope": ["swarm"]}, []),
    ({"dangling": ["true"]}, ["back"]),
    ({"dangling": ["0"], "type": ["custom"]}, ["front"]),
]


@pytest.mark.parametrize(("filters", "names"), FILTERS)
async def test_lists_are_filtered(api: Api, filters: dict[str, Any], names: list[str]) -> None:
    front = network("front", labels={"l": "v"})
    api.daemon.networks.rows += [front, network("back")]
    api.daemon.containers.add(running(container("web", endpoint(front, "10.0.0.9/24"))))

    answer = await api("GET", "/networks", params={"filters": json.dumps(filters)})

    assert [each["Name"] for each in answer.json] == names
    assert all(each["Containers"] == {} for each in answer.json)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ('{"nonsense":["x"]}', "invalid filter 'nonsense'"),
        ('{"type":["odd"]}', "invalid filter 'type=odd'"),
        ('{"dangling":["maybe"]}', "invalid filter 'dangling=maybe'"),
    ],
)
async def test_filters_that_cannot_be_are_refused(api: Api, filters: str, message: str) -> None:
    answer = await api("GET", "/networks", params={"filters": filters})

    assert (answer.status, answer.message) == (400, message)


async def test_connect_passes_what_is_asked_for(api: Api) -> None:
    body = {
        "Container": "web",
        "EndpointConfig": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}},
    }

    answer = await api("POST", "/networks/bridge/connect", body)

    asked = EndpointRequest(aliases=("a",), ipv4=IPv4Address("10.0.0.9"))
    assert (answer.status, answer.body) == (200, b"")
    assert api.daemon.endpoints.calls == [("connect", network("bridge").id, "web", asked)]


@pytest.mark.parametrize("force", [True, False])
async def test_disconnect_passes_force(api: Api, force: bool) -> None:
    body = {"Container": "web", "Force": force}

    answer = await api("POST", "/networks/bridge/disconnect", body)

    assert (answer.status, answer.body) == (200, b"")
    assert api.daemon.endpoints.calls == [("disconnect", network("bridge").id, "web", force)]


@pytest.mark.parametrize("verb", ["connect", "disconnect"])
async def test_connecting_needs_a_container(api: Api, verb: str) -> None:
    answer = await api("POST", f"/networks/bridge/{verb}", {})

    assert (answer.status, answer.message) == (400, "no container is named: Container is empty")


async def test_an_address_that_is_none_is_refused(api: Api) -> None:
    body = {"Container": "web", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "x"}}}

    answer = await api("POST", "/networks/bridge/connect", body)

    assert answer.status == 400
    assert answer.message.endswith("invalid endpoint settings: invalid IPv4 address: x")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/networks/x"),
        ("DELETE", "/networks/x"),
        ("POST", "/networks/x/connect"),
        ("POST", "/networks/x/disconnect"),
    ],
)
async def test_an_unknown_network_is_not_found(api: Api, method: str, path: str) -> None:
    body = {"Container": "web"} if method == "POST" else None

    answer = await api(method, path, body)

    assert (answer.status, answer.message) == (404, "network x not found")


async def test_a_network_of_another_scope_is_refused(api: Api) -> None:
    assert (await api("GET", "/networks/bridge?scope=swarm")).status == 400


async def test_a_name_with_slashes_and_spaces_is_found(api: Api) -> None:
    api.daemon.networks.rows.append(network("a/b c"))

    assert (await api("GET", "/networks/a/b%20c")).json["Name"] == "a/b c"
    assert (await api("DELETE", "/networks/a%2Fb%20c")).status == 204


async def test_remove_refuses_what_is_in_use(api: Api) -> None:
    api.daemon.networks.errors["remove"] = ForbiddenError("network x has active endpoints")

    answer = await api("DELETE", "/networks/bridge")

    assert (answer.status, answer.message) == (403, "network x has active endpoints")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["unused"]),
        ({"label": ["l"]}, ["unused"]),
        ({"label": ["m"]}, None),
        ({"until": ["1h"]}, ["unused"]),
        ({"until": [str((EPOCH - timedelta(days=1)).timestamp())]}, None),
    ],
)
async def test_prune_takes_what_matches(
    api: Api, filters: dict[str, Any], names: list[str] | None
) -> None:
    api.daemon.networks.rows.append(network("unused", labels={"l": "v"}))

    answer = await api("POST", "/networks/prune", params={"filters": json.dumps(filters)})

    assert answer.json == {"NetworksDeleted": names}
