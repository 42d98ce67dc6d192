"""HTTP/1.1 by hand over a unix socket: one request a connection (RFC 9112).

`http.client` costs 29 ms to import, half of what a command may take, and hides the socket that
attach and exec take over. A request is sent whole or in chunks; an answer is read as it comes.
"""

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from netd.cli.errors import UnreachableError

_RECEIVE_BYTES = 65536
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] \d{3}( |$)")
_ADDRESS_BYTES = 107  # sun_path without its closing zero, unix(7)


class Connection:
    """One connection to the daemon, with what was received beyond the parsed part in `rest`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rest = bytearray()
        self.socket = _connected(path)

    def send(self, head: bytes, body: bytes | Iterable[bytes]) -> None:
        """Send a request; a daemon that answers before it has read all is not an error."""
        try:
            if isinstance(body, bytes):
                self.socket.sendall(head + body)
                return
            self.socket.sendall(head)
            for piece in body:
                if piece:
                    self.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.socket.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # its answer, or the lack of one, says why

    def line(self) -> bytes:
        """Read one line, without its end."""
        while (end := self.rest.find(b"\r\n")) < 0:
            self._receive()
        line = bytes(self.rest[:end])
        del self.rest[: end + 2]
        return line

    def some(self, most: int) -> bytes:
        """Read what is there, at least one octet, at most so many; empty at the end."""
        if not self.rest:
            return self.socket.recv(min(most, _RECEIVE_BYTES))
        data = bytes(self.rest[:most])
        del self.rest[:most]
        return data

    def close(self) -> None:
        """Close it; may be repeated."""
        self.socket.close()

    def _receive(self) -> None:
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            raise UnreachableError(
                f"the daemon at unix://{self.path} closed the connection",
                "its log says why: journalctl -u netd, or the terminal it runs in",
            )
        self.rest += data


class Answer:
    """The answer to a request; its body is read by one of the methods, once."""

    def __init__(self, connection: Connection, method: str) -> None:
        self.connection = connection
        first = connection.line()
        if not _STATUS_LINE.match(first):
            raise UnreachableError(f"what answers at unix://{connection.path} speaks no HTTP")
        self.status = int(first.split(b" ", 2)[1])
        self.headers: dict[str, str] = {}
        while line := connection.line():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._empty = method == "HEAD" or self.status in {204, 304}

    def pieces(self) -> Iterator[bytes]:
        """Give the body as it arrives."""
        if self._empty:
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunked()
        elif "content-length" in self.headers:
            yield from self._exactly(int(self.headers["content-length"]))
        else:
            while data := self.connection.some(_RECEIVE_BYTES):
                yield data

    def read(self) -> bytes:
        """Give the whole body and close the connection."""
        with self:
            return b"".join(self.pieces())

    def json(self) -> Any:
        """Give the whole body, decoded; the caller knows its shape."""
        import json

        return json.loads(self.read() or b"null")

    def lines(self) -> Iterator[bytes]:
        """Give the body line by line, as they arrive; empty ones are left out."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in map(bytes.strip, whole) if line)
        if rest.strip():
            yield rest.strip()

    def close(self) -> None:
        """Close the connection; what was not read is lost."""
        self.connection.close()

    def __enter__(self) -> Self:
        """Use it in a with statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def _chunked(self) -> Iterator[bytes]:
        while size := int(self.connection.line().split(b";")[0], 16):
            yield from self._exactly(size)
            self.connection.line()
        while self.connection.line():
            pass  # trailers

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            data = self.connection.some(size)
            if not data:
                raise UnreachableError(
                    f"the daemon at unix://{self.connection.path} broke off its answer"
                )
            size -= len(data)
            yield data


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Give the head of a request, with the empty line that ends it."""
    lines = [f"{method} {target} HTTP/1.1", "Host: netd", "User-Agent: netd"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _connected(path: str) -> socket.socket:
    where = f"unix://{path}"
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short(path) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        connection.close()
        raise UnreachableError(
            f"no daemon answers at {where}", "start it with: sudo netd daemon"
        ) from error
    except PermissionError as error:
        connection.close()
        raise UnreachableError(
            f"not allowed to talk to the daemon at {where}",
            "use sudo, or start the daemon with --group and a group you are in",
        ) from error
    except OSError as error:
        connection.close()
        raise UnreachableError(f"no daemon answers at {where}: {error.strerror}") from error
    return connection


@contextmanager
def _short(path: str) -> Iterator[str]:
    """Give an address for the path that fits into sockaddr_un, however long the path is."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES:
        yield path
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_CLOEXEC)  # noqa: PTH120
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"  # noqa: PTH119
    finally:
        os.close(folder)
