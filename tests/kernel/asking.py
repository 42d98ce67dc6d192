"""Many questions from many network namespaces, asked at one time, and servers that answer them.

A server answers with its name and the address it saw. So one look at all answers tells who reached
whom, and as whom; and a refusal costs one short wait, however many there are.
"""

import selectors
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import NamedTuple

from drivers.sandbox import entered

KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "ping": (socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
}
ECHO_REQUESTS = {socket.AF_INET: 8, socket.AF_INET6: 128}  # RFC 792, RFC 4443

PATIENCE_S = 10  # for an answer that should come
REFUSED_S = 0.3  # plenty for one that should not
AGAIN_S = 0.5  # datagrams that are not answered are said again

_tokens = count()


class Question(NamedTuple):
    source: str  # a box
    protocol: str  # tcp, udp, sctp, ping
    address: str
    port: int = 0

    @property
    def family(self) -> int:
        return 6 if ":" in self.address else 4

    def __str__(self) -> str:
        return f"{self.source} to {self.address} {self.port}/{self.protocol}"


Facts = Mapping[Question, str | None]  # absent: neither an answer, nor did the question arrive


class Servers:
    """Answer on many sockets: `<name> saw <address>`; they are closed with it."""

    def __init__(self) -> None:
        self.heard: dict[bytes, str] = {}  # by token: who got a datagram
        self._selector = selectors.DefaultSelector()
        self._sockets = ExitStack()
        waiting, self._ending = socket.socketpair()
        self._selector.register(waiting, selectors.EVENT_READ)
        for each in (waiting, self._ending):
            self._sockets.enter_context(each)
        self._thread = threading.Thread(target=self._serve, name="servers")

    def listen(
        self, name: str, path: Path, protocol: str, address: str, ports: Iterable[int]
    ) -> None:
        """Listen inside a namespace; on `::` for IPv4, too. Only before `start`."""
        with entered(path):
            for port in ports:
                server = self._sockets.enter_context(_server(protocol, address, port))
                self._selector.register(server, selectors.EVENT_READ, name)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.send(b"end")
        self._thread.join()
        self._selector.close()
        self._sockets.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                server = key.fileobj
                assert isinstance(server, socket.socket)
                if key.data is None:
                    return
                with suppress(OSError):
                    self._answer(key.data, server)

    def _answer(self, name: str, server: socket.socket) -> None:
        if server.type == socket.SOCK_STREAM:
            client, peer = server.accept()
            with client:
                client.send(_saw(name, peer))
            return
        token, peer = server.recvfrom(100)
        self.heard[token] = name
        server.sendto(_saw(name, peer), peer)


@dataclass
class _Asked:
    """A question that is on its way."""

    question: Question
    calling: socket.socket
    token: bytes
    answer: str | None = None
    settled: bool = field(default=False)

    def say(self) -> None:
        """Send it, which is done with a connection where that answers by itself."""
        text = self.token
        if self.question.protocol == "ping":
            text = bytes((ECHO_REQUESTS[self.calling.family], *bytes(7))) + text
        if self.calling.type == socket.SOCK_DGRAM and not self.settled:
            with suppress(OSError):
                self.calling.send(text)

    def take(self) -> None:
        """Receive the answer, or that there will be none."""
        try:
            text = self.calling.recv(200)
        except OSError:
            text = b""
        self.settled = True
        if text:
            self.answer = "answers" if self.question.protocol == "ping" else text.decode()


def answers(boxes: Mapping[str, Path], servers: Servers, wanted: Facts) -> Facts:
    """Ask all questions from their boxes; return the answers as soon as all wanted ones are there.

    The calling thread moves between the boxes. A datagram that arrived and was not answered is
    `<name> heard it`.
    """
    with ExitStack() as stack:
        asked = [*_asked(stack, boxes, wanted)]
        _wait(asked, wanted, servers.heard)
        for each in asked:
            if each.answer is None and each.token in servers.heard:
                each.answer = f"{servers.heard[each.token]} heard it"
        return {each.question: each.answer for each in asked}


def _asked(stack: ExitStack, boxes: Mapping[str, Path], wanted: Facts) -> Iterator[_Asked]:
    for source in {question.source: None for question in wanted}:
        with entered(boxes[source]):
            for question in wanted:
                if question.source == source:
                    calling = stack.enter_context(_calling(question))
                    yield _Asked(question, calling, str(next(_tokens)).encode())


def _calling(question: Question) -> socket.socket:
    """Open a socket that is being connected to what the question is for."""
    where = socket.getaddrinfo(
        question.address, question.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
    )[0]
    kind, protocol = KINDS[question.protocol]
    if question.protocol == "ping" and where[0] == socket.AF_INET6:
        protocol = socket.IPPROTO_ICMPV6
    calling = socket.socket(where[0], kind, protocol)
    calling.setblocking(False)
    with suppress(OSError):  # it is on its way, or there is none, which receiving tells
        calling.connect(where[4])
    return calling


def _wait(asked: Sequence[_Asked], wanted: Facts, heard: Mapping[bytes, str]) -> None:
    began = again = time.monotonic()
    least_s = REFUSED_S if None in wanted.values() else 0
    with selectors.DefaultSelector() as selector:
        for each in asked:
            selector.register(each.calling, selectors.EVENT_READ, each)
        while (now := time.monotonic()) < began + PATIENCE_S:
            missing = [each for each in asked if _lacks(each, wanted[each.question], heard)]
            if all(each.settled for each in asked) or (not missing and now > began + least_s):
                return
            if now >= again:
                for each in asked:
                    each.say()
                again += AGAIN_S
            for key, _ in selector.select(0.02):
                key.data.take()
                if key.data.settled:
                    selector.unregister(key.fileobj)


def _lacks(asked: _Asked, wanted: str | None, heard: Mapping[bytes, str]) -> bool:
    if wanted is None or asked.settled:
        return False
    return wanted != f"{heard.get(asked.token)} heard it"


def _server(protocol: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, *KINDS[protocol])
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
    server.setblocking(False)
    server.bind((address, port))
    if server.type == socket.SOCK_STREAM:
        server.listen()
    return server


def _saw(name: str, peer: Sequence[object]) -> bytes:
    seen = ip_address(str(peer[0]))
    return f"{name} saw {getattr(seen, 'ipv4_mapped', None) or seen}".encode()
