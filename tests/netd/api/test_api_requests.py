"""What holds for every request: versions, heads, paths, bodies, errors."""

import asyncio
import inspect
from io import BytesIO

import pytest

from netd import errors
from netd.api.errors import STATUSES, status
from netd.runner import StartError
from tests.netd.api.conftest import Api


async def test_ping_says_ok_and_the_version(api: Api) -> None:
    answer = await api("GET", "/_ping")

    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["Api-Version"] == "1.48"
    assert answer.headers["Ostype"] == "linux"
    assert answer.headers["Docker-Experimental"] == "false"
    assert answer.headers["Server"] == "netd/0.1.0 (linux)"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"


async def test_the_head_of_ping_has_no_body(api: Api) -> None:
    answer = await api("HEAD", "/_ping")

    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert answer.headers["Api-Version"] == "1.48"


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.41", "/v1.48"])
async def test_spoken_versions_are_served(api: Api, prefix: str) -> None:
    assert (await api("GET", f"{prefix}/containers/json")).json == []


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("9.99", "client version 9.99 is too new. Maximum supported API version is 1.48"),
        ("1.49", "client version 1.49 is too new. Maximum supported API version is 1.48"),
        ("1.45.1", "client version 1.45.1 is too new. Maximum supported API version is 1.48"),
    ],
)
async def test_versions_to_come_are_refused(api: Api, version: str, message: str) -> None:
    answer = await api("GET", f"/v{version}/info")

    assert (answer.status, answer.message) == (400, message)


async def test_versions_of_old_are_refused(api: Api) -> None:
    answer = await api("GET", "/v1.12/info")

    assert answer.status == 400
    assert answer.message.startswith("client version 1.12 is too old. Minimum supported")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/no/such/thing"),
        ("DELETE", "/_ping"),
        ("GET", "/containers/create"),
        ("PUT", "/v1.45/info"),
        ("GET", "/v1.45/nothing"),
        ("POST", "/containers/web/nothing"),
    ],
)
async def test_unknown_pages_are_not_found(api: Api, method: str, path: str) -> None:
    answer = await api(method, path)

    assert answer.status == 404
    assert answer.body == b'{"message":"page not found"}\n'
    assert answer.headers["Content-Type"].startswith("application/json")


async def test_options_are_answered_with_nothing(api: Api) -> None:
    answer = await api("OPTIONS", "/v1.45/containers/json")

    assert (answer.status, answer.body) == (200, b"")


async def test_doubled_slashes_are_sent_to_the_clean_path(api: Api) -> None:
    raw = await api.raw("GET /v1.45//containers///json?all=1&x=// HTTP/1.1\r\nHost: d\r\n\r\n")

    head = await raw.until(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 301 ")
    assert b"\r\nLocation: /v1.45/containers/json?all=1&x=//\r\n" in head
    raw.close()


BROKEN = [
    (b"{", "invalid JSON: Input data was truncated"),
    (b"{} {}", "invalid JSON: JSON is malformed"),
    (b'{"Name":"\xff"}', "invalid JSON: "),
    (b"[]", "invalid JSON: the body: expected object, got array"),
    (b"null", "invalid JSON: the body: expected object, got null"),
    (b'{"Name":3}', "invalid JSON: Name: expected str, got int"),
    (b'{"Name":"x","Internal":"yes"}', "invalid JSON: Internal: expected bool"),
    (
        b'{"Name":"x","IPAM":{"Config":[{"Subnet":1}]}}',
        "invalid JSON: IPAM.Config[0].Subnet: exp",
    ),
    (b'{"Name":"a\\u0000b"}', "invalid JSON: a text holds a NUL character"),
    (b"{}", "invalid JSON: the body: object missing required field Name"),
    (b'{"Name":' + b"[" * 100000 + b"]" * 100000 + b"}", "invalid JSON: nested too deeply"),
]


@pytest.mark.parametrize(("body", "message"), BROKEN, ids=[str(n) for n in range(len(BROKEN))])
async def test_a_broken_body_is_refused_with_a_sentence(
    api: Api, body: bytes, message: str
) -> None:
    answer = await api("POST", "/networks/create", body)

    assert answer.status == 400
    assert answer.message.startswith(message)


async def test_a_body_must_be_called_json(api: Api) -> None:
    answer = await api(
        "POST", "/networks/create", b'{"Name":"x"}', headers={"Content-Type": "text/plain"}
    )

    assert answer.status == 400
    assert answer.message == (
        "unsupported Content-Type header (text/plain): must be 'application/json'"
    )


async def test_no_body_may_be_called_anything(api: Api) -> None:
    answer = await api(
        "POST", "/containers/x/start", headers={"Content-Type": "text/plain"}, data=b""
    )

    assert (answer.status, answer.message) == (404, "No such container: x")


async def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    answer = await api("POST", "/networks/create", BytesIO(b" " * (5 << 20)))

    assert answer.status == 413
    assert "larger than 4194304 octets" in answer.message


async def test_unknown_keys_are_ignored(api: Api) -> None:
    answer = await api("POST", "/networks/create", {"Name": "x", "Nonsense": {"a": [1]}})

    assert answer.status == 201


async def test_the_connection_goes_on_after_an_error(api: Api) -> None:
    request = "GET /containers/x/json HTTP/1.1\r\nHost: d\r\n\r\n"
    raw = await api.raw(request + request)

    for _ in range(2):
        head = await raw.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ")
        assert await raw.until(b"\n") == b'{"message":"No such container: x"}\n'
    raw.close()


async def test_a_client_that_ends_its_side_still_gets_its_answer(api: Api) -> None:
    raw = await api.raw("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
    raw.writer.write_eof()

    assert (await raw.rest()).endswith(b"OK")
    raw.close()


def test_every_error_has_a_status() -> None:
    own = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}

    assert own - set(STATUSES) == set()


def test_an_error_derived_from_another_has_its_status() -> None:
    assert status(StartError("no such file", 127)) == 400


@pytest.mark.parametrize(("kind", "code"), STATUSES.items(), ids=str)
async def test_an_error_of_a_service_becomes_its_status(
    api: Api, kind: type[errors.NetdError], code: int
) -> None:
    api.daemon.networks.errors["create"] = kind("network x: because")

    answer = await api("POST", "/networks/create", {"Name": "x"})

    assert answer.status == code
    if code == 304:
        assert (answer.body, "Content-Length" in answer.headers) == (b"", False)
    else:
        assert answer.body == b'{"message":"network x: because"}\n'


@pytest.mark.parametrize("error", [ValueError("oops"), ConnectionRefusedError("no server")])
async def test_a_mistake_of_ours_is_logged_and_told(
    api: Api, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    api.daemon.broken = error

    answer = await api("GET", "/info")

    assert answer.status == 500
    assert f"{type(error).__name__}: {error}" in answer.message
    assert "GET /info" in caplog.text


async def test_what_was_begun_is_done_when_the_client_goes_away(api: Api) -> None:
    containers = api.daemon.containers
    created = await api("POST", "/containers/create", {"Image": "demo", "Cmd": "sh"})
    containers.gate = asyncio.Event()
    raw = await api.post_raw(f"/containers/{created.json['Id']}/start")
    async with asyncio.timeout(5):
        while not any(call[0] == "start" for call in containers.calls):
            await asyncio.sleep(0.002)

    raw.close()
    await raw.writer.wait_closed()
    containers.gate.set()

    async with asyncio.timeout(5):
        while not any(call[0] == "started" for call in containers.calls):
            await asyncio.sleep(0.002)
