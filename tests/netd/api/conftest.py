"""The API, served on a unix socket over a daemon in memory."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from netd.api.app import application
from netd.api.serve import serve
from netd.model import Config, Container
from tests.netd.fakes import FakeDaemon
from tests.netd.makers import container, running

DEADLINE_S = 5.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def message(self) -> str:
        return self.json["message"]


class Api:
    """A client, and the daemon behind the API."""

    def __init__(self, daemon: FakeDaemon, path: Path, session: aiohttp.ClientSession) -> None:
        self.daemon, self.path, self.session = daemon, path, session

    async def __call__(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request and return its whole answer; `body` is sent as JSON."""
        if body is not None:
            more["data"] = body if isinstance(body, bytes | BytesIO) else msgspec.json.encode(body)
            more.setdefault("headers", {"Content-Type": "application/json"})
        async with (
            asyncio.timeout(DEADLINE_S),
            self.session.request(
                method, f"http://d{path}", allow_redirects=False, **more
            ) as answer,
        ):
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def raw(self, request: str | bytes) -> "Raw":
        """Send octets as they are."""
        raw = Raw(*await asyncio.open_unix_connection(self.path))
        raw.writer.write(request if isinstance(request, bytes) else request.encode())
        return raw

    async def post_raw(
        self, path: str, body: bytes = b"", *headers: str, after: bytes = b""
    ) -> "Raw":
        """Send a POST that may take the connection over."""
        lines = [f"POST {path} HTTP/1.1", "Host: d", f"Content-Length: {len(body)}", *headers]
        if body:
            lines.append("Content-Type: application/json")
        return await self.raw("\r\n".join([*lines, "", ""]).encode() + body + after)

    async def upgrade(self, path: str, body: bytes = b"") -> "Raw":
        """Send a POST that asks for the raw connection, and read the head of the answer."""
        raw = await self.post_raw(path, body, "Connection: Upgrade", "Upgrade: tcp")
        raw.head = await raw.until(b"\r\n\r\n")
        return raw


class Raw:
    """A connection's octets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readuntil(end)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


HEAD_101 = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


def frame(data: bytes, stream: int = 1) -> bytes:
    """Return output as it travels without a terminal."""
    return struct.pack(">BxxxI", stream, len(data)) + data


def web(api: Api, **config: Any) -> Container:
    """Add a running container."""
    made = running(container("web", config=Config(image="demo", **config)))
    return api.daemon.containers.add(made)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.002)


async def settled(count: Callable[[], int]) -> int:
    """Return a count once it no longer grows."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            before = count()
            await asyncio.sleep(0.1)
            if before and count() == before:
                return before


@pytest.fixture
async def daemon(tmp_path: Path) -> FakeDaemon:
    return FakeDaemon(tmp_path)


@pytest.fixture
async def api(daemon: FakeDaemon, tmp_path: Path) -> AsyncIterator[Api]:
    path = tmp_path / "s"
    runner = await serve(application(daemon), path, None)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        yield Api(daemon, path, session)
    await runner.close()


FIELDS: dict[str, list[str]] = msgspec.json.decode(
    (Path(__file__).parents[2] / "golden" / "docker_fields.json").read_bytes()
)
_MAPS = {
    "Attributes", "Data", "ExposedPorts", "IPAMConfig", "IndexConfigs", "Labels", "Options",
    "PortBindings", "Ports", "Runtimes", "Tmpfs",
}  # fmt: skip


def missing_fields(kind: str, answer: object) -> set[str]:
    """Return the fields that Docker's answer of a kind has and this one lacks."""
    return set(FIELDS[kind]) - _fields(answer)


def _fields(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, list):
        return {name for each in value for name in _fields(each, prefix)}
    names: set[str] = set()
    for key, each in value.items() if isinstance(value, dict) else ():
        names.add(prefix + key)
        if key in {"Networks", "Containers"} and isinstance(each, dict):
            names |= _fields([*each.values()], f"{prefix}{key}.*.")
        elif key not in _MAPS:
            names |= _fields(each, f"{prefix}{key}.")
    return names
