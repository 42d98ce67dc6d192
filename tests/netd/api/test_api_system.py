"""The daemon itself, what it does not have, and the socket it is reached on."""

import asyncio
import os
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from netd.api.app import application
from netd.api.docker.times import duration, rfc3339, rfc3339_ns
from netd.api.serve import bound_socket, serve
from netd.errors import UnavailableError
from tests.netd.api.conftest import Api, missing_fields, until
from tests.netd.fakes import FakeDaemon
from tests.netd.makers import container, running


async def test_version_has_every_field_that_docker_gives(api: Api) -> None:
    answer = (await api("GET", "/version")).json

    assert missing_fields("version", answer) == set()
    assert (answer["ApiVersion"], answer["MinAPIVersion"]) == ("1.48", "1.24")
    assert (answer["Version"], answer["Os"], answer["Arch"]) == ("0.1.0", "linux", "amd64")


async def test_info_has_every_field_that_docker_gives(api: Api) -> None:
    answer = (await api("GET", "/info")).json

    assert missing_fields("info", answer) == set()
    assert answer["Plugins"]["Network"] == ["bridge", "host", "null"]
    assert answer["Swarm"]["LocalNodeState"] == "inactive"
    assert (answer["Containers"], answer["ContainersRunning"]) == (2, 1)
    assert answer["Runtimes"] == {"runc": {"path": "/usr/bin/runc"}}
    assert answer["FirewallBackend"] == {"Driver": "iptables"}


async def test_disk_usage_counts_users(api: Api) -> None:
    api.daemon.containers.add(container("web"))

    answer = (await api("GET", "/system/df")).json

    assert answer["Images"][0]["Containers"] == 1
    assert answer["Containers"][0]["SizeRw"] == 100
    assert (answer["LayersSize"], answer["Volumes"], answer["BuildCache"]) == (1000, [], [])


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/volumes", {"Volumes": [], "Warnings": None}),
        ("POST", "/volumes/prune", {"VolumesDeleted": None, "SpaceReclaimed": 0}),
        ("POST", "/build/prune", {"CachesDeleted": None, "SpaceReclaimed": 0}),
        ("GET", "/plugins", []),
    ],
)
async def test_what_netd_has_not_is_an_empty_list(
    api: Api, method: str, path: str, answer: object
) -> None:
    assert (await api(method, path)).json == answer


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", "/volumes/x", 404, "get x: no such volume"),
        ("DELETE", "/volumes/x", 404, "get x: no such volume"),
        ("GET", "/plugins/x/json", 404, 'plugin "x" not found'),
        ("POST", "/build", 501, "netd does not support building images"),
        ("POST", "/commit", 501, "netd does not support committing containers"),
        ("POST", "/images/a/b:c/push", 501, "netd does not support registries"),
        ("GET", "/images/a/b:c/get", 501, "netd does not support saving images"),
        ("POST", "/volumes/create", 501, "netd does not support volumes"),
        ("POST", "/containers/nobody/pause", 404, "No such container: nobody"),
        ("POST", "/swarm/leave", 503, "This node is not part of a swarm"),
        *(
            ("GET", path, 503, "This node is not a swarm manager. Use")
            for path in ("/swarm", "/nodes", "/services/x", "/tasks", "/secrets/x", "/configs")
        ),
    ],
)
async def test_one_of_what_netd_has_not_is_missing(
    api: Api, method: str, path: str, code: int, message: str
) -> None:
    answer = await api(method, path)

    assert answer.status == code
    assert answer.message.startswith(message)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"), (0.9, "Less than a second"), (1, "1 second"),
        (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"), (120, "2 minutes"),
        (3600, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"), (48 * 3600, "2 days"),
        (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (61 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations_are_in_dockers_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_moments_have_as_many_digits_as_they_need() -> None:
    assert rfc3339(None) == "0001-01-01T00:00:00Z"
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 120000, UTC)) == "2026-01-02T03:04:05.12Z"
    assert rfc3339_ns(1) == "1970-01-01T00:00:00.000000001Z"


async def test_the_socket_is_for_its_owner_and_group(tmp_path: Path, daemon: FakeDaemon) -> None:
    path = tmp_path / "run" / "netd.sock"

    runner = await serve(application(daemon), path, "root")

    mode = path.stat()
    assert (stat.S_ISSOCK(mode.st_mode), stat.S_IMODE(mode.st_mode)) == (True, 0o660)
    assert (mode.st_uid, mode.st_gid) == (os.geteuid(), 0)
    assert [each.name for each in path.parent.iterdir()] == ["netd.sock"]
    await runner.close()
    assert not path.exists()


async def test_a_group_that_does_not_exist_lets_only_the_owner_in(tmp_path: Path) -> None:
    listening, _ = bound_socket(tmp_path / "s", "no-such-group")

    assert (tmp_path / "s").stat().st_gid == os.getegid()
    listening.close()


async def test_a_stale_socket_is_replaced(tmp_path: Path, daemon: FakeDaemon) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()

    runner = await serve(application(daemon), path, None)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")

    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    writer.close()
    await runner.close()


async def test_the_socket_of_a_later_daemon_is_left_alone(
    tmp_path: Path, daemon: FakeDaemon
) -> None:
    path = tmp_path / "s"
    first = await serve(application(daemon), path, None)
    second = await serve(application(daemon), path, None)

    await first.close()

    assert path.exists()
    await second.close()


async def test_a_path_longer_than_an_address_may_be_is_served(
    tmp_path: Path, daemon: FakeDaemon
) -> None:
    path = tmp_path / ("x" * 90) / "s"

    runner = await serve(application(daemon), path, None)

    assert path.is_socket()
    await runner.close()


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, daemon: FakeDaemon) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UnavailableError, match=f"cannot listen on {tmp_path}/file/s"):
        await serve(application(daemon), tmp_path / "file" / "s", None)


async def test_closing_ends_open_streams_at_once(tmp_path: Path, daemon: FakeDaemon) -> None:
    path = tmp_path / "s"
    runner = await serve(application(daemon), path, None)
    daemon.containers.add(running(container("web")))
    clients = []
    for request in (
        "GET /events", "POST /containers/web/wait", "POST /containers/web/attach?stream=1&stdout=1",
        "GET /containers/web/logs?follow=1&stdout=1",
    ):  # fmt: skip
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(f"{request} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        clients.append((reader, writer))

    async with asyncio.timeout(2):
        await runner.close()

    for reader, writer in clients:
        assert not (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()
    assert len(daemon.containers.waiters) == 0
    assert daemon.events.listeners == 0


async def test_closing_awaits_work_whose_client_has_gone(
    tmp_path: Path, daemon: FakeDaemon
) -> None:
    path = tmp_path / "s"
    runner = await serve(application(daemon), path, None)
    daemon.containers.add(container("web"))
    daemon.containers.gate = asyncio.Event()
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b"POST /containers/web/start HTTP/1.1\r\nHost: d\r\n\r\n")
    await until(lambda: daemon.containers.calls)
    writer.close()

    closing = asyncio.create_task(runner.close())
    await asyncio.sleep(0)
    daemon.containers.gate.set()
    await closing

    assert ("started", "web") in daemon.containers.calls
