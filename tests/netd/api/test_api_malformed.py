"""What is no request: answered as every other error is, and nothing is logged for it."""

import logging

import msgspec
import pytest

from tests.netd.api.conftest import Api

JSON = "Host: d\r\nContent-Type: application/json\r\n"
CREATE = f"POST /containers/create HTTP/1.1\r\n{JSON}"


async def answered(api: Api, octets: bytes, *, ended: bool = False) -> tuple[int, str]:
    raw = await api.raw(octets)
    if ended:
        raw.writer.write_eof()
    head, _, body = (await raw.rest()).partition(b"\r\n\r\n")
    raw.close()
    assert b"Content-Type: application/json" in head and b"Server: netd/" in head
    return int(head.split()[1]), str(msgspec.json.decode(body)["message"])


def loud(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "octets",
    [
        b"garbage\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
        b"A" * 200_000,
        b"GET /_ping HTTP/9.9\r\nHost: d\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n\r\n",
        b"BREW /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET _ping HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /containers/\xff/json HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nBad Name: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /_ping?" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        f"{CREATE}Content-Length: -5\r\n\r\n".encode(),
        f"{CREATE}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".encode(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(15),
)
async def test_what_is_no_http_is_refused_in_a_sentence(
    api: Api, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    status, message = await answered(api, octets)

    assert status == 400
    assert message.startswith("malformed HTTP request: ") and len(message) < 120
    assert "bytearray" not in message and "b'" not in message
    assert loud(caplog) == []


@pytest.mark.parametrize(
    ("path", "head", "body"),
    [
        ("/containers/create", "Content-Length: 500", b'{"Image":'),
        ("/containers/create", "Transfer-Encoding: chunked", b'5\r\n{"I'),
        ("/images/load", "Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        ("/exec/x/start", "Content-Length: 99", b"{}"),
    ],
)
async def test_a_body_that_ends_early_is_refused(
    api: Api, path: str, head: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    request = f"POST {path} HTTP/1.1\r\n{JSON}{head}\r\n\r\n".encode() + body

    assert await answered(api, request, ended=True) == (400, "the request's body ends early")
    assert loud(caplog) == []


@pytest.mark.parametrize("path", ["/containers/create", "/images/load"])
async def test_a_body_that_is_not_encoded_as_it_says_is_refused(
    api: Api, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    answer = await api("POST", path, b"hello", headers=headers)

    assert answer.status == 400
    assert answer.message == (
        "the request's body makes no sense: Can not decode content-encoding: gzip"
    )
    assert loud(caplog) == []


async def test_a_long_first_line_is_read(api: Api) -> None:
    labels = ",".join(f'"key{number}=value"' for number in range(2000))

    answer = await api("GET", f'/containers/json?filters={{"label":[{labels}]}}')

    assert (answer.status, answer.json) == (200, [])
