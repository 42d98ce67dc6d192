"""The daemon's API as the commands use it: requests in, JSON or streams out."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netd.cli.connection import Answer, Connection, request_head
from netd.cli.errors import CliError, DaemonError

DEFAULT_HOST = "unix:///run/netd/netd.sock"

Query = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Hijacked:
    """A connection taken over by attach or exec: raw octets both ways."""

    connection: Connection
    status: int

    @property
    def early(self) -> bytes:
        """What arrived together with the head, already part of the stream."""
        return bytes(self.connection.rest)

    def close(self) -> None:
        """Close both directions."""
        self.connection.close()


class Client:
    """Speaks to one daemon; opens a connection for each request."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._path = socket_path(host)

    def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        stream: Iterable[bytes] | None = None,
    ) -> Answer:
        """Send a request and give its answer as soon as the head is there.

        `body` is sent as JSON, `stream` as it is, in chunks. Raises DaemonError from 400 on.
        """
        headers = {"Connection": "close"}
        content: bytes | Iterable[bytes] = b""
        if stream is not None:
            headers |= {"Transfer-Encoding": "chunked", "Content-Type": "application/x-tar"}
            content = stream
        else:
            content = _encoded(body)
            headers |= _entity_headers(content, method)
        return self._answer(method, path, query, headers, content)

    def json(self, method: str, path: str, query: Query | None = None, body: object = None) -> Any:
        """Send a request and give its decoded answer; the caller knows its shape."""
        return self.open(method, path, query, body=body).json()

    def send(self, method: str, path: str, query: Query | None = None, body: object = None) -> int:
        """Send a request whose answer holds nothing of interest but its status."""
        with self.open(method, path, query, body=body) as answer:
            return answer.status

    def hijack(self, path: str, query: Query | None = None, body: object = None) -> Hijacked:
        """Send a request and take its connection over (Upgrade: tcp)."""
        content = _encoded(body)
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"} | _entity_headers(content, "POST")
        answer = self._answer("POST", path, query, headers, content)
        return Hijacked(answer.connection, answer.status)

    def _answer(
        self,
        method: str,
        path: str,
        query: Query | None,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes],
    ) -> Answer:
        connection = Connection(self._path)
        try:
            connection.send(request_head(method, _target(path, query), headers), content)
            answer = Answer(connection, method)
            if answer.status >= 400:
                raise DaemonError(answer.status, _message(answer))
        except BaseException:
            connection.close()
            raise
        return answer


def default_host(environment: Mapping[str, str] = os.environ) -> str:
    """Give the daemon's address where no flag names one."""
    return environment.get("NETD_HOST") or environment.get("DOCKER_HOST") or DEFAULT_HOST


def socket_path(host: str) -> str:
    """Give the socket's path of a `unix://PATH` address."""
    scheme, separator, path = host.partition("://")
    if not separator or scheme != "unix" or not path:
        raise CliError(
            f"host {host!r} is no unix socket",
            f"name one with -H or NETD_HOST, for example {DEFAULT_HOST}",
        )
    return path


def quoted(name: str) -> str:
    """Give a name as one part of a path; image names keep their slashes.

    Raises CliError for none at all: the path would be another one, of a list perhaps.
    """
    if not name:
        raise CliError("a name or id is needed, not ''")
    from urllib.parse import quote

    return quote(name, safe="/:@")


def filters(values: Iterable[str]) -> str:
    """Give `key=value` filters of the command line as the API's JSON; empty for none."""
    chosen: dict[str, list[str]] = {}
    for value in values:
        key, separator, wanted = value.partition("=")
        if not separator:
            raise CliError(
                f"filter {value!r} has no value",
                "write it as key=value, for example name=web",
                exit_code=125,
            )
        chosen.setdefault(key.strip().lower(), []).append(wanted.strip())
    if not chosen:
        return ""
    import json

    return json.dumps(chosen)


def _target(path: str, query: Query | None) -> str:
    items = (query or {}).items()
    given = {name: _text(value) for name, value in items if value is not None and value != ""}
    if not given:
        return path
    from urllib.parse import urlencode

    return f"{path}?{urlencode(given, doseq=True)}"


def _text(value: object) -> str | list[str]:
    if isinstance(value, list):  # the key is repeated
        return [str(item) for item in value]
    return str(int(value)) if isinstance(value, bool) else str(value)


def _encoded(body: object) -> bytes:
    if body is None:
        return b""
    import json

    return json.dumps(body).encode()


def _entity_headers(content: bytes, method: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if content else {}
    if content or method in {"POST", "PUT"}:
        headers["Content-Length"] = str(len(content))
    return headers


def _message(answer: Answer) -> str:
    body = answer.read().decode(errors="replace").strip()
    try:
        import json

        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body or f"the daemon answered with status {answer.status}"
