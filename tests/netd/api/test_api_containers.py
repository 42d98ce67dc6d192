"""`/containers`: inspect, list, verbs, prune."""

import json
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from netd.errors import ConflictError
from netd.model import Config, Container, HostConfig, Mount, State, Status
from netd.store import now
from tests.netd.api.conftest import Api, missing_fields
from tests.netd.makers import EPOCH, container, endpoint, network, running

IMAGE = "sha256:" + "a" * 64


def web(**more: Any) -> Container:
    """Return a running container on a network of its own."""
    front = network("front")
    joined = replace(
        endpoint(front, "10.0.0.9/24", "fd00::9/64", aliases=("alias",)),
        request=endpoint(front, aliases=("alias",), ipv4=ip_address("10.0.0.9")).request,
        mac="02:42:0a:00:00:09",
        gateways=(ip_address("10.0.0.1"), ip_address("fd00::1")),
    )
    settings = {"config": Config(image="demo", cmd=("sleep", "9"), hostname="776562000000"), **more}
    made = container("web", joined, path="sleep", args=("9", "a b"), **settings)
    return replace(made, state=State(Status.RUNNING, pid=42, started=now() - timedelta(seconds=3)))


async def test_inspect_has_every_field_that_docker_gives(api: Api) -> None:
    api.daemon.containers.add(container("web", endpoint(network("bridge"))))

    answer = await api("GET", "/v1.45/containers/web/json")

    assert missing_fields("container", answer.json) == set()


async def test_inspect_tells_a_running_container(api: Api) -> None:
    made = api.daemon.containers.add(web())

    answer = (await api("GET", "/v1.45/containers/web/json")).json

    assert (answer["Id"], answer["Name"], answer["Image"]) == (made.id, "/web", IMAGE)
    assert (answer["Path"], answer["Args"]) == ("sleep", ["9", "a b"])
    assert answer["Created"] == "2026-01-02T03:04:05Z"
    assert answer["State"]["Status"] == "running"
    assert (answer["State"]["Running"], answer["State"]["Pid"]) == (True, 42)
    assert answer["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert answer["HostsPath"].endswith(f"/containers/{made.id}/hosts")
    assert answer["LogPath"].endswith("/ctr.log")
    settings = answer["NetworkSettings"]
    assert settings["SandboxKey"] == f"/run/netd/netns/{made.short_id}"
    assert settings["IPAddress"] == ""
    assert settings["Networks"]["front"] == {
        "IPAMConfig": {"IPv4Address": "10.0.0.9"},
        "Links": None,
        "Aliases": ["alias"],
        "MacAddress": "02:42:0a:00:00:09",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": network("front").id,
        "EndpointID": made.endpoints[0].id,
        "Gateway": "10.0.0.1",
        "IPAddress": "10.0.0.9",
        "IPPrefixLen": 24,
        "IPv6Gateway": "fd00::1",
        "GlobalIPv6Address": "fd00::9",
        "GlobalIPv6PrefixLen": 64,
        "DNSNames": ["web", "alias", made.short_id],
    }


async def test_aliases_hold_the_short_id_for_older_clients(api: Api) -> None:
    made = api.daemon.containers.add(web())

    answer = (await api("GET", "/v1.44/containers/web/json")).json

    aliases = answer["NetworkSettings"]["Networks"]["front"]["Aliases"]
    assert aliases == ["alias", made.short_id]


async def test_the_default_bridge_stands_on_top(api: Api) -> None:
    joined = endpoint(network("bridge"), "172.17.0.2/16")
    api.daemon.containers.add(running(container("web", joined)))

    settings = (await api("GET", "/containers/web/json")).json["NetworkSettings"]

    assert (settings["IPAddress"], settings["IPPrefixLen"]) == ("172.17.0.2", 16)
    assert settings["Networks"]["bridge"]["Aliases"] is None


async def test_a_stopped_container_keeps_its_networks_without_addresses(api: Api) -> None:
    state = State(Status.EXITED, exit_code=3, started=EPOCH, finished=EPOCH, oom_killed=True)
    made = container("web", endpoint(network("front")), state=state)
    api.daemon.containers.add(made)

    answer = (await api("GET", "/containers/web/json")).json

    front = answer["NetworkSettings"]["Networks"]["front"]
    assert (front["IPAddress"], front["EndpointID"], front["MacAddress"]) == ("", "", "")
    assert answer["State"]["ExitCode"] == 3
    assert answer["State"]["OOMKilled"] is True
    assert answer["NetworkSettings"]["SandboxKey"] == ""


async def test_mounts_and_limits_are_told(api: Api) -> None:
    host = HostConfig(
        mounts=(
            Mount("bind", "/in", "/out", read_only=True, propagation="rslave"),
            Mount("tmpfs", "/t", options=("size=1m",)),
        ),
        sysctls={"net.x": "1"},
        init=True,
        privileged=True,
    )
    api.daemon.containers.add(container("web", host=host))

    answer = (await api("GET", "/containers/web/json")).json

    assert answer["HostConfig"]["Binds"] == ["/out:/in:ro,rslave"]
    assert answer["HostConfig"]["Tmpfs"] == {"/t": "size=1m"}
    assert answer["HostConfig"]["Sysctls"] == {"net.x": "1"}
    assert answer["HostConfig"]["MaskedPaths"] == []
    assert answer["HostConfig"]["Runtime"] == "runc"
    assert answer["Mounts"] == [
        {
            "Type": "bind", "Source": "/out", "Destination": "/in", "Mode": "ro,rslave",
            "RW": False, "Propagation": "rslave",
        }
    ]  # fmt: skip


async def test_inspect_gives_sizes_when_asked(api: Api) -> None:
    api.daemon.containers.add(container("web"))

    answer = (await api("GET", "/containers/web/json?size=1")).json

    assert (answer["SizeRw"], answer["SizeRootFs"]) == (100, 1100)


async def test_a_container_outlives_its_image_in_inspect(api: Api) -> None:
    api.daemon.containers.add(container("web"))
    api.daemon.images.rows.clear()

    assert (await api("GET", "/containers/web/json?size=1")).json["SizeRootFs"] == 100
    assert (await api("GET", "/containers/json?all=1")).json[0]["Image"] == IMAGE


async def test_lists_show_what_docker_shows(api: Api) -> None:
    made = api.daemon.containers.add(web())

    (answer,) = (await api("GET", "/v1.45/containers/json?size=1")).json

    assert missing_fields("container in a list", answer) == set()
    assert answer["Names"] == ["/web"]
    assert (answer["Id"], answer["Image"], answer["ImageID"]) == (made.id, "demo", IMAGE)
    assert answer["Command"] == "sleep 9 'a b'"
    assert (answer["State"], answer["Status"]) == ("running", "Up 3 seconds")
    assert answer["Created"] == int(EPOCH.timestamp())
    assert (answer["Ports"], answer["Mounts"]) == ([], [])
    assert answer["NetworkSettings"]["Networks"]["front"]["IPAddress"] == "10.0.0.9"


def _several(api: Api) -> None:
    """Add a created, a running and an exited container; the last is the newest."""
    finished = now() - timedelta(minutes=2)
    exited = State(Status.EXITED, exit_code=7, started=EPOCH, finished=finished)
    for number, each in enumerate((
        container("one", config=Config(image="demo", labels={"a": "b", "c": ""})),
        running(container("two", endpoint(network("front")))),
        container("three", state=exited, config=Config(image="demo", labels={"a": "x"})),
    )):  # fmt: skip
        api.daemon.containers.add(replace(each, created=EPOCH + timedelta(hours=number)))
    api.daemon.networks.rows.append(network("front"))


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["two"]),
    ({"all": "1"}, ["three", "two", "one"]),
    ({"all": "True", "limit": "-1"}, ["three", "two", "one"]),
    ({"limit": "2"}, ["three", "two"]),
    ({"filters": {"status": ["exited", "created"]}}, ["three", "one"]),
    ({"all": "1", "filters": {"name": ["^/t"]}}, ["three", "two"]),
    ({"all": "1", "filters": {"name": {"^one$": True}}}, ["one"]),
    ({"all": "1", "filters": {"name": ["["]}}, []),
    ({"all": "1", "filters": {"id": [container("one").id[:6]]}}, ["one"]),
    ({"all": "1", "filters": {"label": ["a"]}}, ["three", "one"]),
    ({"all": "1", "filters": {"label": ["a=b", "c"]}}, ["one"]),
    ({"all": "1", "filters": {"label!": {"a=b": True}}}, ["three", "two"]),
    ({"all": "1", "filters": {"exited": ["7"]}}, ["three"]),
    ({"all": "1", "filters": {"ancestor": ["demo"]}}, ["three", "two", "one"]),
    ({"all": "1", "filters": {"ancestor": ["nosuch"]}}, []),
    ({"filters": {"network": ["front"]}}, ["two"]),
    ({"filters": {"network": ["nosuch"]}}, []),
    ({"all": "1", "filters": {"before": ["two"]}}, ["one"]),
    ({"all": "1", "filters": {"since": ["one"]}}, ["three", "two"]),
]


@pytest.mark.parametrize(("query", "names"), FILTERS)
async def test_lists_are_filtered(api: Api, query: dict[str, Any], names: list[str]) -> None:
    _several(api)
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in query.items()}

    answer = await api("GET", "/containers/json", params=texts)

    assert [each["Names"][0][1:] for each in answer.json] == names


async def test_the_words_of_status(api: Api) -> None:
    _several(api)

    answer = (await api("GET", "/containers/json?all=1")).json

    assert answer[0]["Status"] == "Exited (7) 2 minutes ago"
    assert answer[2]["Status"] == "Created"


BAD_FILTERS = [
    ({"nonsense": ["x"]}, 400, "invalid filter 'nonsense'"),
    ({"status": ["bogus"]}, 400, "invalid filter 'status=bogus'"),
    ({"exited": ["x"]}, 400, "invalid filter 'exited=x'"),
    ({"before": ["nosuch"]}, 404, "No such container: nosuch"),
    ([], 400, "invalid filters: "),
    ({"status": 1}, 400, "invalid filters: "),
]


@pytest.mark.parametrize(("filters", "code", "message"), BAD_FILTERS)
async def test_filters_that_cannot_be_are_refused(
    api: Api, filters: object, code: int, message: str
) -> None:
    answer = await api("GET", "/containers/json", params={"filters": json.dumps(filters)})

    assert answer.status == code
    assert answer.message.startswith(message)


VERBS: list[tuple[str, str, tuple[object, ...]]] = [
    ("POST", "/containers/web/start", ("start", "web")),
    ("POST", "/containers/web/kill", ("kill", "web", "KILL")),
    ("POST", "/containers/web/kill?signal=SIGHUP", ("kill", "web", "SIGHUP")),
    ("POST", "/containers/web/rename?name=other", ("rename", "web", "other")),
    ("DELETE", "/containers/web", ("remove", "web", False)),
    ("DELETE", "/containers/web?force=True&v=True&link=False", ("remove", "web", True)),
]


@pytest.mark.parametrize(("method", "path", "call"), VERBS)
async def test_verbs_reach_the_service(
    api: Api, method: str, path: str, call: tuple[object, ...]
) -> None:
    api.daemon.containers.add(container("web"))

    answer = await api(method, path)

    assert (answer.status, answer.body, "Content-Length" in answer.headers) == (204, b"", False)
    assert call in api.daemon.containers.calls


@pytest.mark.parametrize("path", [
    "/containers/x/json", "/containers/x/start", "/containers/x/stop", "/containers/x/restart",
    "/containers/x/kill", "/containers/x/wait", "/containers/x/attach", "/containers/x/exec",
    "/containers/x/logs?stdout=1", "/containers/x/resize?h=1&w=1", "/containers/x",
])  # fmt: skip
async def test_an_unknown_container_is_not_found(api: Api, path: str) -> None:
    method = "GET" if path.endswith(("/json", "stdout=1")) else "POST"
    body = {"Cmd": ["sh"]} if path.endswith("/exec") else None

    answer = await api("DELETE" if path.endswith("/x") else method, path, body)

    assert (answer.status, answer.message) == (404, "No such container: x")


async def test_stop_passes_the_timeout_and_the_signal(api: Api) -> None:
    api.daemon.containers.add(web())

    answer = await api("POST", "/containers/web/stop?t=7&signal=INT")

    assert answer.status == 204
    assert api.daemon.containers.calls == [("stop", "web", 7, "INT")]


async def test_what_is_so_already_is_not_modified(api: Api) -> None:
    api.daemon.containers.add(container("idle"))
    api.daemon.containers.add(web())

    assert (await api("POST", "/containers/idle/stop")).status == 304
    assert (await api("POST", "/containers/web/start")).status == 304


@pytest.mark.parametrize("make", [web, lambda: container("web")])
async def test_restart_stops_what_runs_and_starts_it(
    api: Api, make: Callable[[], Container]
) -> None:
    made = api.daemon.containers.add(make())

    answer = await api("POST", "/containers/web/restart?t=1")

    assert answer.status == 204
    assert [call[0] for call in api.daemon.containers.calls] == ["stop", "start", "started"]
    assert api.daemon.containers.rows[made.id].state.running


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "/containers/web/stop?t=x", "invalid number for 't': 'x'"),
        ("POST", "/containers/web/rename?name=", "Neither old nor new names may be empty"),
        ("POST", "/containers/web/resize?h=x&w=1", "invalid number for 'h': 'x'"),
        ("POST", "/containers/web/resize?h=1", "a terminal's size needs both h (rows) and w"),
        ("POST", "/containers/web/resize?h=1&w=99999", "invalid terminal size: 1 rows, 99999"),
        ("POST", "/containers/web/wait?condition=bogus", 'invalid condition: "bogus"'),
        ("GET", "/containers/web/logs", "Bad parameters: you must choose at least one stream"),
        ("GET", "/containers/web/logs?stdout=1&since=x", "invalid value for 'since': 'x'"),
        ("GET", "/containers/web/logs?stdout=1&tail=x", "invalid number for 'tail': 'x'"),
        ("POST", "/containers/web/attach?detachKeys=ctrl-A", "invalid detach keys (ctrl-A)"),
        ("DELETE", "/containers/web?link=1", "netd has no links to remove: web"),
        ("POST", "/containers/prune?filters={", "invalid filters: "),
    ],
)
async def test_queries_that_cannot_be_are_refused(
    api: Api, method: str, path: str, message: str
) -> None:
    api.daemon.containers.add(container("web"))

    answer = await api(method, path)

    assert answer.status == 400
    assert answer.message.startswith(message)


async def test_an_ambiguous_prefix_is_refused(api: Api) -> None:
    api.daemon.containers.add(replace(container("a"), id="5" * 64))
    api.daemon.containers.add(replace(container("b"), id="5" * 63 + "6"))

    answer = await api("GET", "/containers/55/json")

    assert answer.status == 400
    assert answer.message == "multiple IDs found with provided prefix: 55"


async def test_removing_what_runs_is_a_conflict(api: Api) -> None:
    api.daemon.containers.add(web())

    answer = await api("DELETE", "/containers/web")

    assert answer.status == 409
    assert answer.message == 'cannot remove container "/web": container is running'


async def test_resize_sets_rows_and_columns(api: Api) -> None:
    api.daemon.containers.add(web())

    answer = await api("POST", "/containers/web/resize?h=24&w=80")

    assert (answer.status, answer.body) == (200, b"")
    assert api.daemon.containers.calls == [("resize", 24, 80)]


async def test_prune_takes_what_does_not_run_and_matches(api: Api) -> None:
    _several(api)

    answer = await api("POST", "/containers/prune", params={"filters": '{"label":["a=b"]}'})

    assert answer.json == {"ContainersDeleted": [container("one").id], "SpaceReclaimed": 100}
    assert {each.name for each in api.daemon.containers.rows.values()} == {"two", "three"}


async def test_prune_spares_what_is_younger(api: Api) -> None:
    _several(api)
    until = str(EPOCH.timestamp() + 60)

    answer = await api("POST", "/containers/prune", params={"filters": f'{{"until":["{until}"]}}'})

    assert answer.json["ContainersDeleted"] == [container("one").id]


async def test_prune_goes_on_past_what_others_use(api: Api) -> None:
    _several(api)
    api.daemon.containers.errors["remove"] = ConflictError("started meanwhile")

    answer = await api("POST", "/containers/prune")

    assert answer.json == {"ContainersDeleted": None, "SpaceReclaimed": 0}
