"""The daemon's API by hand: one connection, kept, and what goes over it."""

import http.client
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self


class ApiError(Exception):
    """The daemon's answer is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api(http.client.HTTPConnection):
    """A connection to a daemon; a context manager that closes it."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the whole answer, decoded; ApiError for an error."""
        text = self.octets(method, path, body)
        return json.loads(text) if text else None

    def octets(self, method: str, path: str, body: object = None) -> bytes:
        """Return the whole answer as it comes; also of a stream, at its end."""
        with self.opened(method, path, body) as answer:
            return answer.read()

    def opened(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        """Return an answer that has begun, to be read and closed; ApiError for an error."""
        data = None if body is None else json.dumps(body)
        self.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = self.getresponse()
        if answer.status >= 400:
            with answer:
                raise ApiError(answer.status, answer.read().decode())
        return answer

    def created(self, name: str, command: Sequence[str], network: str, **more: object) -> str:
        """Return the id of a new container of the demo image; more: fields of its HostConfig."""
        settings = {"Image": "demo", "Cmd": command, "HostConfig": {"NetworkMode": network, **more}}
        return str(self.call("POST", f"/containers/create?name={name}", settings)["Id"])

    def start(self, id_: str) -> None:
        """Start a container."""
        self.call("POST", f"/containers/{id_}/start")

    def wait(self, id_: str, condition: str = "not-running") -> int:
        """Wait for a container's end; return its exit code."""
        return int(self.call("POST", f"/containers/{id_}/wait?condition={condition}")["StatusCode"])

    def remove(self, id_: str) -> None:
        """Remove a container, running or not."""
        self.call("DELETE", f"/containers/{id_}?force=1")

    def executed(self, container: str, *command: str) -> tuple[int, bytes]:
        """Run a command in a container; return its exit code and what it wrote."""
        wanted = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "Tty": True}
        id_ = self.call("POST", f"/containers/{container}/exec", wanted)["Id"]
        output = self.octets("POST", f"/exec/{id_}/start", {"Tty": True})
        return self.call("GET", f"/exec/{id_}/json")["ExitCode"], output.replace(b"\r", b"")
