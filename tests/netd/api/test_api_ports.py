"""Published ports in Docker's words: asked for at create, told by inspect and lists, filtered."""

import json
from io import BytesIO
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from netd.api.requests import JSON_LIMIT
from netd.model import Config, Container, HostConfig, PortMapping, PortRequest
from tests.netd.api.conftest import Api
from tests.netd.makers import container, running

V4, V6, LOOPBACK = (ip_address(each) for each in ("0.0.0.0", "::", "127.0.0.1"))


def binding(host_port: str = "", host_ip: str = "") -> dict[str, str]:
    return {"HostIp": host_ip, "HostPort": host_port}


async def created(
    api: Api, bindings: object, exposed: object = None, **host: object
) -> tuple[Container, list[str]]:
    """Create a container; return it and the warnings."""
    settings = {"PortBindings": bindings, **host}
    body = {"Image": "demo", "ExposedPorts": exposed, "HostConfig": settings}
    answer = await api("POST", "/v1.45/containers/create", body)
    assert answer.status == 201, answer.body
    return api.daemon.containers.rows[answer.json["Id"]], answer.json["Warnings"]


async def refusal(api: Api, bindings: object, exposed: object = None) -> str:
    body = {"Image": "demo", "ExposedPorts": exposed, "HostConfig": {"PortBindings": bindings}}
    answer = await api("POST", "/v1.45/containers/create", body)
    assert answer.status == 400, answer.body
    assert api.daemon.containers.calls == []
    return str(answer.message)


def each_port(first: int, last: int, shift: int = 0, kind: str = "tcp") -> dict[str, Any]:
    """Return what the docker client sends for a range."""
    ports = range(first, last + 1)
    return {f"{port}/{kind}": [binding(str(port + shift))] for port in ports}


ASKED: list[tuple[dict[str, Any] | None, tuple[PortRequest, ...]]] = [
    (None, ()),
    ({}, ()),
    ({"80/tcp": [binding("8080")]}, (PortRequest(80, host_port=8080),)),
    ({"80": [binding("8080")]}, (PortRequest(80, host_port=8080),)),
    ({"53/UDP": [binding("53")]}, (PortRequest(53, "udp", host_port=53),)),
    ({"132/sctp": [binding("132")]}, (PortRequest(132, "sctp", host_port=132),)),
    ({"80/tcp": [binding("")]}, (PortRequest(80),)),
    ({"80/tcp": [binding("0")]}, (PortRequest(80),)),
    ({"80/tcp": [{}]}, (PortRequest(80),)),
    ({"80/tcp": [{"HostIp": None, "HostPort": None}]}, (PortRequest(80),)),
    ({"80/tcp": [None]}, (PortRequest(80),)),
    ({"80/tcp": []}, (PortRequest(80),)),
    ({"80/tcp": None}, (PortRequest(80),)),
    ({"80/tcp": [binding("8000-8010")]}, (PortRequest(80, host_port=8000, host_last=8010),)),
    ({"80/tcp": [binding("8080-8080")]}, (PortRequest(80, host_port=8080),)),
    (
        {"80/tcp": [binding("8080", "127.0.0.1")]},
        (PortRequest(80, host_address=LOOPBACK, host_port=8080),),
    ),
    (
        {"80/tcp": [binding("8080", "[::1]")]},
        (PortRequest(80, host_address=ip_address("::1"), host_port=8080),),
    ),
    (
        {"80/tcp": [binding("8080", "::ffff:127.0.0.1")]},
        (PortRequest(80, host_address=LOOPBACK, host_port=8080),),
    ),
    (
        {"80/tcp": [binding("8080"), binding("8081"), binding("", "127.0.0.1")]},
        (
            PortRequest(80, host_port=8080),
            PortRequest(80, host_port=8081),
            PortRequest(80, host_address=LOOPBACK),
        ),
    ),
    # What is asked for twice is meant once.
    (
        {"80/tcp": [binding("8080"), binding("8080")], "80": [binding("8080")], "81": [{}, {}]},
        (PortRequest(80, host_port=8080), PortRequest(81)),
    ),
    # Neighbours that shift together are one request, others are not.
    (each_port(80, 82, 7920), (PortRequest(80, count=3, host_port=8000),)),
    (
        {**each_port(80, 81, 7920), "82/tcp": [binding("9000")], "83/udp": [binding("8003")]},
        (
            PortRequest(80, count=2, host_port=8000),
            PortRequest(82, host_port=9000),
            PortRequest(83, "udp", host_port=8003),
        ),
    ),
    (
        {"80/tcp": [binding("8080")], "81/tcp": [binding("8081", "127.0.0.1")]},
        (
            PortRequest(80, host_port=8080),
            PortRequest(81, host_address=LOOPBACK, host_port=8081),
        ),
    ),
    # A key may be a range itself.
    ({"80-82/tcp": [binding("8000-8002")]}, (PortRequest(80, count=3, host_port=8000),)),
    (
        {"80-81/tcp": [binding("8000-8001")], "81-82/tcp": [binding("8001-8002")]},
        (PortRequest(80, count=3, host_port=8000),),
    ),
    ({"80-81/udp": [binding()]}, (PortRequest(80, "udp"), PortRequest(81, "udp"))),
]


@pytest.mark.parametrize(("bindings", "requests"), ASKED)
async def test_bindings_become_requests(
    api: Api, bindings: dict[str, Any] | None, requests: tuple[PortRequest, ...]
) -> None:
    made, warnings = await created(api, bindings)

    assert made.host.ports == requests
    assert warnings == []


async def test_what_is_published_is_exposed_too(api: Api) -> None:
    made, _ = await created(
        api, {"80/tcp": [binding("8080")], "90-91": None}, {"53/udp": {}, "80/tcp": {}}
    )

    answer = (await api("GET", f"/containers/{made.id}/json")).json

    assert answer["Config"]["ExposedPorts"] == {
        "53/udp": {}, "80/tcp": {}, "90/tcp": {}, "91/tcp": {},
    }  # fmt: skip


async def test_all_exposed_ports_may_be_published(api: Api) -> None:
    made, _ = await created(api, {}, {"80/tcp": {}}, PublishAllPorts=True)

    answer = (await api("GET", f"/containers/{made.id}/json")).json

    assert made.host.publish_all
    assert answer["HostConfig"]["PublishAllPorts"] is True


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"0/tcp": [binding("80")]}, 'invalid port specification: "0/tcp"'),
    ({"65536/tcp": None}, 'invalid port specification: "65536/tcp"'),
    ({"http": None}, 'invalid port specification: "http"'),
    ({"": None}, 'invalid port specification: ""'),
    ({"80/icmp": None}, 'invalid port specification: "80/icmp"'),
    ({"82-80/tcp": None}, 'invalid port specification: "82-80/tcp"'),
    ({"80/tcp/udp": [{}, {}]}, 'invalid port specification: "80/tcp/udp"'),
    ({"80/tcp": [binding("http")]}, 'invalid port specification: "http" (of 80/tcp)'),
    ({"80/tcp": [binding("65536")]}, 'invalid port specification: "65536" (of 80/tcp)'),
    ({"80/tcp": [binding("-1")]}, 'invalid port specification: "-1" (of 80/tcp)'),
    ({"80/tcp": [binding("81-80")]}, 'invalid port specification: "81-80" (of 80/tcp)'),
    ({"80/tcp": [binding("0-80")]}, 'invalid port specification: "0-80" (of 80/tcp)'),
    ({"80/tcp": [binding("80\u0660")]}, 'invalid port specification: "80\u0660" (of 80/tcp)'),
    ({"80/tcp": [binding("80", "host")]}, "invalid IP address: host (of 80/tcp)"),
    ({"80/tcp": [binding("80", "[::1")]}, "invalid IP address: [::1 (of 80/tcp)"),
    ({"80/tcp": [binding("80", "fe80::1%eth0")]}, "invalid IP address: fe80::1%eth0 (of 80/tcp)"),
    (
        {"80-81/tcp": [binding("8000-8002")]},
        "invalid ranges specified for container and host Ports: 80-81 and 8000-8002",
    ),
    (
        {"80-81/tcp": [binding("8000")]},
        "invalid ranges specified for container and host Ports: 80-81 and 8000",
    ),
    ({"80/tcp": "8080"}, "invalid JSON: HostConfig.PortBindings[...]: expected array | null"),
    ({"80/tcp": [{"HostPort": 80}]}, "invalid JSON: HostConfig.PortBindings[...][0].HostPort: exp"),
]


@pytest.mark.parametrize(("bindings", "message"), WRONG)
async def test_what_makes_no_sense_is_refused_by_port_and_value(
    api: Api, bindings: dict[str, Any], message: str
) -> None:
    said = await refusal(api, bindings)

    assert said.startswith(message) if message.startswith("invalid JSON") else said == message


async def test_all_mistakes_about_ports_are_told_at_once(api: Api) -> None:
    bindings = {"0/tcp": None, "80/tcp": [binding("x", "y")], "81/tcp": [binding("82", "z")]}

    assert await refusal(api, bindings, {"nine": {}}) == (
        "invalid exposed port: 'nine'; "
        'invalid port specification: "0/tcp"; '
        "invalid IP address: y (of 80/tcp); "
        'invalid port specification: "x" (of 80/tcp); '
        "invalid IP address: z (of 81/tcp)"
    )


async def test_a_port_that_is_exposed_because_it_is_published_is_wrong_once(api: Api) -> None:
    said = await refusal(api, {"0/tcp": [binding("80")]}, {"0/tcp": {}})

    assert said == 'invalid port specification: "0/tcp"'


async def test_a_long_range_of_mistakes_is_told_in_short(api: Api) -> None:
    said = await refusal(api, {f"{port}/tcp": [binding("x")] for port in range(1, 1001)})

    assert said.count("invalid port specification") == 6
    assert said.endswith("; and 994 more")


@pytest.mark.parametrize(
    ("bindings", "exposed", "message"),
    [
        (
            {f"{port}-65535/tcp": [binding()] for port in range(1, 1000)}, None,
            "too many ports to publish: 64970964, at most 196605",
        ),
        (
            {}, {f"{port}-65535": {} for port in range(1, 5)},
            "too many ports to expose: 262134, at most 196605",
        ),
    ],
)  # fmt: skip
async def test_more_ports_than_there_are_is_refused(
    api: Api, bindings: object, exposed: object, message: str
) -> None:
    assert await refusal(api, bindings, exposed) == message


async def test_every_port_there_is_may_be_published_by_the_docker_client(api: Api) -> None:
    bindings = each_port(1, 65535)
    exposed: dict[str, Any] = {port: {} for port in bindings}
    body = {"Image": "demo", "ExposedPorts": exposed, "HostConfig": {"PortBindings": bindings}}

    answer = await api("POST", "/containers/create", BytesIO(encode(body)))

    assert answer.status == 201
    (made,) = api.daemon.containers.rows.values()
    assert made.host.ports == (PortRequest(1, count=65535, host_port=1),)
    assert len(made.config.exposed_ports) == 65535


async def test_a_body_above_the_limit_is_refused(api: Api) -> None:
    bindings = {f"{port}/{kind}": [binding(str(port), "2001:db8::1")]
                for kind in ("tcp", "udp") for port in range(1, 65536)}  # fmt: skip

    body = {"HostConfig": {"PortBindings": bindings}}

    answer = await api("POST", "/containers/create", BytesIO(encode(body)))

    assert answer.status == 413
    assert answer.message == f"the request's body is larger than {JSON_LIMIT} octets"


@pytest.mark.parametrize(
    "settings",
    [{"PortBindings": {"80/tcp": [binding("8080")]}}, {"PublishAllPorts": True}],
)
@pytest.mark.parametrize("mode", ["host", "default"])
async def test_published_ports_on_the_hosts_network_are_discarded_with_a_warning(
    api: Api, settings: dict[str, Any], mode: str
) -> None:
    named = {"EndpointsConfig": {"host": {}}}
    body = {"HostConfig": {"NetworkMode": mode, **settings}, "NetworkingConfig": named}

    answer = await api("POST", "/containers/create", {"Image": "demo", **body})

    assert answer.status == 201
    assert answer.json["Warnings"] == ["Published ports are discarded when using host network mode"]
    host = api.daemon.containers.rows[answer.json["Id"]].host
    assert (host.network_mode, host.ports, host.publish_all) == ("host", (), False)


async def test_published_ports_without_a_network_are_kept(api: Api) -> None:
    made, warnings = await created(api, {"80/tcp": [binding("8080")]}, NetworkMode="none")

    assert (made.host.ports, warnings) == ((PortRequest(80, host_port=8080),), [])


async def test_inspect_gives_the_bindings_as_they_were_asked_for(api: Api) -> None:
    bindings = {
        "53/udp": [binding("53", "::1")],
        "80/tcp": [binding("8000"), binding("9000-9010", "0.0.0.0")],
        "81/tcp": [binding("8001")],
        "90/tcp": [binding()],
    }
    made, _ = await created(api, bindings)

    answer = (await api("GET", f"/containers/{made.id}/json")).json

    assert answer["HostConfig"]["PortBindings"] == bindings


def published(
    *mappings: PortMapping, exposed: tuple[str, ...] = (), name: str = "web"
) -> Container:
    config = Config(image="demo", exposed_ports=exposed)
    return replace(running(container(name, config=config)), published=mappings)


BOTH = (PortMapping(V4, 8080, 80), PortMapping(V6, 8080, 80))


async def test_inspect_gives_what_is_published_by_now(api: Api) -> None:
    api.daemon.containers.add(published(*BOTH, exposed=("80/tcp", "81/tcp", "53/udp")))

    settings = (await api("GET", "/containers/web/json")).json["NetworkSettings"]

    assert settings["Ports"] == {
        "80/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": "8080"},
            {"HostIp": "::", "HostPort": "8080"},
        ],
        "81/tcp": None,
        "53/udp": None,
    }


async def test_runs_of_ports_are_told_one_by_one(api: Api) -> None:
    api.daemon.containers.add(published(PortMapping(LOOPBACK, 8000, 80, "udp", 2)))

    settings = (await api("GET", "/containers/web/json")).json["NetworkSettings"]
    (summary,) = (await api("GET", "/containers/json")).json

    assert settings["Ports"] == {
        "80/udp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}],
        "81/udp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}],
    }
    assert summary["Ports"] == [
        {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8000, "Type": "udp"},
        {"IP": "127.0.0.1", "PrivatePort": 81, "PublicPort": 8001, "Type": "udp"},
    ]


async def test_lists_give_every_address_of_a_port_and_what_is_exposed_only(api: Api) -> None:
    api.daemon.containers.add(published(*BOTH, exposed=("80/tcp", "81/tcp")))

    (summary,) = (await api("GET", "/containers/json")).json

    assert summary["Ports"] == [
        {"PrivatePort": 81, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
    ]


async def test_a_routed_port_has_none_of_the_host(api: Api) -> None:
    api.daemon.containers.add(published(PortMapping(V6, 0, 80, count=2)))

    settings = (await api("GET", "/containers/web/json")).json["NetworkSettings"]
    (summary,) = (await api("GET", "/containers/json")).json

    assert settings["Ports"] == {
        "80/tcp": [{"HostIp": "::", "HostPort": ""}],
        "81/tcp": [{"HostIp": "::", "HostPort": ""}],
    }
    assert summary["Ports"] == [
        {"IP": "::", "PrivatePort": 80, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 81, "Type": "tcp"},
    ]


async def test_what_an_image_exposes_need_not_be_one_port(api: Api) -> None:
    api.daemon.containers.add(published(exposed=("80", "90-91/udp", "080/tcp", "http", "0/tcp")))

    settings = (await api("GET", "/containers/web/json")).json["NetworkSettings"]
    (summary,) = (await api("GET", "/containers/json")).json

    assert settings["Ports"] == {"80/tcp": None, "90/udp": None, "91/udp": None}
    assert {each["PrivatePort"] for each in summary["Ports"]} == {80, 90, 91}


async def test_a_stopped_container_has_no_ports(api: Api) -> None:
    host = HostConfig(ports=(PortRequest(80, host_port=8080),))
    config = Config(image="demo", exposed_ports=("80/tcp",))
    api.daemon.containers.add(container("web", config=config, host=host))

    answer = (await api("GET", "/containers/web/json")).json
    (summary,) = (await api("GET", "/containers/json?all=1")).json

    assert answer["HostConfig"]["PortBindings"] == {"80/tcp": [binding("8080")]}
    assert (answer["NetworkSettings"]["Ports"], summary["Ports"]) == ({}, [])


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"publish": ["8080"]}, {"web"}),
        ({"publish": ["8080/tcp"]}, {"web"}),
        ({"publish": {"8080/udp": True}}, set()),
        ({"publish": ["80"]}, set()),  # the host's port, as in Docker
        ({"publish": ["7000-8080"]}, {"web"}),
        ({"publish": ["5301/udp"]}, {"dns"}),
        ({"publish": ["8080", "5300-5400/udp"]}, {"web", "dns"}),
        ({"expose": ["80"]}, {"web"}),
        ({"expose": ["90/tcp"]}, {"dns"}),
        ({"expose": ["50-60/udp"]}, {"dns"}),
        ({"expose": ["55/udp"]}, set()),
        ({"publish": ["8080"], "expose": ["90"]}, {"web", "dns"}),  # either, as in Docker
        ({"publish": ["8080"], "name": ["dns"]}, set()),
    ],
)
async def test_lists_are_filtered_by_ports(
    api: Api, filters: dict[str, Any], names: set[str]
) -> None:
    api.daemon.containers.add(published(*BOTH, PortMapping(V6, 0, 443)))
    api.daemon.containers.add(
        published(PortMapping(V4, 5300, 53, "udp", 2), exposed=("90/tcp",), name="dns")
    )
    api.daemon.containers.add(
        replace(container("stopped", config=Config(image="demo", exposed_ports=("80/tcp",))))
    )

    answer = await api("GET", "/containers/json?all=1", params={"filters": json.dumps(filters)})

    assert {each["Names"][0][1:] for each in answer.json} == names


@pytest.mark.parametrize("key", ["publish", "expose"])
@pytest.mark.parametrize("value", ["http", "0", "80/icmp", "90-80", "0.0.0.0:80"])
async def test_a_filter_that_names_no_port_is_refused(api: Api, key: str, value: str) -> None:
    answer = await api("GET", "/containers/json", params={"filters": json.dumps({key: [value]})})

    assert (answer.status, answer.message) == (400, f"invalid filter '{key}={value}'")
