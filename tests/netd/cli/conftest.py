"""A scripted daemon on a unix socket, and the command line run against it."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from netd.cli.main import main

Talk = Callable[["Request", socket.socket], None]


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Engine:
    """Answers as it was told; what it was not told about is 404."""

    path: Path
    requests: list[Request] = field(default_factory=list)
    talks: list[tuple[str, Talk]] = field(default_factory=list)

    @staticmethod
    def frame(stream: int, data: bytes) -> bytes:
        return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4) + data

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def talk(self, pattern: str, talk: Talk) -> None:
        """Answer `METHOD path-pattern` by hand; later ones win."""
        self.talks.insert(0, (pattern, talk))

    def answer(self, pattern: str, value: object = None, status: int = 200) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        self.talk(pattern, lambda _request, connection: connection.sendall(_whole(status, content)))

    def hijack(self, pattern: str, talk: Callable[[socket.socket], None]) -> None:
        def upgraded(_request: Request, connection: socket.socket) -> None:
            connection.sendall(
                b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
                b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            )
            talk(connection)

        self.talk(pattern, upgraded)

    def seen(self) -> list[str]:
        return [str(request) for request in self.requests]

    def sent(self, pattern: str) -> Request:
        return next(r for r in self.requests if re.fullmatch(pattern, str(r)))

    def serve(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        with connection, suppress(BrokenPipeError, ConnectionResetError):
            request = _received(connection)
            if request is None:
                return
            self.requests.append(request)
            for pattern, talk in self.talks:
                if re.fullmatch(pattern, str(request)):
                    talk(request, connection)
                    return
            problem = json.dumps({"message": f"no such thing: {request.path}"}).encode()
            connection.sendall(_whole(404, problem))


def _whole(status: int, content: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content)


def _received(connection: socket.socket) -> Request | None:
    reader = connection.makefile("rb")
    first = reader.readline().split()
    if not first:
        return None
    headers = {}
    while line := reader.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", 0)))
    target = urlsplit(first[1].decode())
    query = {name: values[-1] for name, values in parse_qs(target.query).items()}
    return Request(first[0].decode(), target.path, query, headers, body)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path / "netd.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(made.path))
        listening.listen()
        thread = threading.Thread(target=made.serve, args=(listening,))
        thread.start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def netd(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run the command line in this process against the scripted daemon."""

    def run(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["netd", *words])
        monkeypatch.setenv("NETD_HOST", engine.host)
        status = main()
        said = capfd.readouterr()
        return Result(status, said.out, said.err)

    return run


@pytest.fixture
def started(engine: Engine) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command line as a process of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **settings: Any) -> subprocess.Popen[bytes]:
        environment = os.environ | {"NETD_HOST": engine.host}
        command = [sys.executable, "-m", "netd.cli.main", *words]
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(command, env=environment, **(streams | settings))
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
