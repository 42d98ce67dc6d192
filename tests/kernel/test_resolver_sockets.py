"""The way to the DNS service inside a sandbox, with a small server standing in for it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import iptables
from drivers.contract import DriverError
from drivers.sandbox import open_resolver

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

RESOLVER = ("127.0.0.11", 53)
KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
Sockets = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["iptables", "nftables"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def answering(sockets: Sockets, answer: bytes) -> Iterator[None]:
    """Answer each question, on udp and tcp, until the context is left."""
    threads = [
        threading.Thread(target=act, args=(opened, answer))
        for act, opened in zip((_serve_udp, _serve_tcp), sockets, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for opened, thread in zip(sockets, threads, strict=True):
            # Wakes recvfrom and accept, which closing would not.
            opened.shutdown(socket.SHUT_RDWR) if opened.type is socket.SOCK_STREAM else _wake(
                opened
            )
            thread.join(10)
            opened.close()


def _serve_udp(server: socket.socket, answer: bytes) -> None:
    while True:
        question, asker = server.recvfrom(100)
        if question == b"end":
            return
        server.sendto(answer + question, asker)


def _wake(server: socket.socket) -> None:
    server.sendto(b"end", server.getsockname())


def _serve_tcp(server: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(answer + connection.recv(100))


def asked(kind: str, address: tuple[str, int], question: bytes = b"?") -> tuple[bytes, object]:
    """Return the answer and who gave it."""
    with socket.socket(socket.AF_INET, KINDS[kind]) as client:
        client.settimeout(5)
        client.connect(address)
        client.sendall(question)
        return client.recv(100), client.getpeername()


def own_server() -> Sockets:
    """Open the sockets of a DNS server that a container runs itself."""
    with ExitStack() as undo:
        opened = tuple(undo.enter_context(socket.socket(socket.AF_INET, k)) for k in KINDS.values())
        for server in opened:
            server.bind(("0.0.0.0", 53))
        opened[1].listen()
        undo.pop_all()
        return opened


@pytest.mark.parametrize("kind", KINDS)
def test_port_53_of_the_resolver_leads_to_its_sockets(
    host: "Host", backend: str, kind: str
) -> None:
    box = host.sandbox("box")

    with answering(host.run(open_resolver, box, backend), b"netd"):
        answer = host.inside(box, asked, kind, RESOLVER)

    assert answer == (b"netd?", RESOLVER)


def test_both_sockets_have_one_unprivileged_port(host: "Host", backend: str) -> None:
    udp, tcp = host.run(open_resolver, host.sandbox("box"), backend)

    with closing(udp), closing(tcp):
        assert udp.getsockname() == tcp.getsockname()
        assert udp.getsockname()[0] == "127.0.0.11" and udp.getsockname()[1] >= 1024


@pytest.mark.parametrize("first", ["resolver", "container"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_container_may_serve_port_53_itself(
    host: "Host", backend: str, kind: str, first: str
) -> None:
    box = host.sandbox("box")
    with ExitStack() as stack:
        for who in ("resolver", "container") if first == "resolver" else ("container", "resolver"):
            if who == "resolver":
                stack.enter_context(answering(host.run(open_resolver, box, backend), b"netd"))
            else:
                stack.enter_context(answering(host.inside(box, own_server), b"mine"))

        assert host.inside(box, asked, kind, RESOLVER) == (b"netd?", RESOLVER)
        assert host.inside(box, asked, kind, ("127.0.0.1", 53))[0] == b"mine?"


def test_a_client_that_keeps_its_port_is_answered_by_the_new_sockets(
    host: "Host", backend: str
) -> None:
    box = host.sandbox("box")
    client = host.inside(box, socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    answers = []

    for name in (b"old", b"new"):
        with answering(host.run(open_resolver, box, backend), name):
            client.sendto(b"?", RESOLVER)
            answers.append(client.recvfrom(100))

    client.close()
    assert answers == [(b"old?", RESOLVER), (b"new?", RESOLVER)]


def test_another_port_serves_while_the_old_sockets_are_still_open(
    host: "Host", backend: str
) -> None:
    box = host.sandbox("box")
    old = host.run(open_resolver, box, backend)

    with answering(old, b"old"), answering(host.run(open_resolver, box, backend), b"new"):
        assert host.inside(box, asked, "udp", RESOLVER)[0] == b"new?"


@pytest.mark.parametrize("kind", KINDS)
def test_new_sockets_take_over_when_the_service_died(host: "Host", backend: str, kind: str) -> None:
    box = host.sandbox("box")
    for opened in host.run(open_resolver, box, backend):
        opened.close()

    with answering(host.run(open_resolver, box, backend), b"new"):
        assert host.inside(box, asked, kind, RESOLVER)[0] == b"new?"

    listing = {
        "iptables": ("iptables-legacy", "-t", "nat", "-S"),
        "nftables": ("nft", "list", "ruleset"),
    }
    rules = host.output(*listing[backend], inside=box)
    assert rules.count("dport 53") == (2 if backend == "iptables" else 1)


def test_answers_keep_coming_from_port_53_when_the_connection_was_forgotten(
    host: "Host", backend: str
) -> None:
    """A slow answer may outlive its entry in connection tracking; it must not betray the port."""
    box = host.sandbox("box")
    udp, tcp = host.run(open_resolver, box, backend)

    def exchange() -> object:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.bind(("127.0.0.1", 0))
            udp.sendto(b"late", client.getsockname())
            return client.recvfrom(100)[1]

    with closing(udp), closing(tcp):
        assert host.inside(box, exchange) == RESOLVER


def test_sockets_are_closed_when_the_rules_are_refused(
    host: "Host", monkeypatch: pytest.MonkeyPatch
) -> None:
    box = host.sandbox("box")
    opened = []
    original = socket.socket.listen

    def refused(rules: object) -> None:
        raise DriverError("no")

    monkeypatch.setattr(iptables, "apply", refused)
    monkeypatch.setattr(
        socket.socket, "listen", lambda self, *a: (opened.append(self), original(self, *a))
    )

    with pytest.raises(DriverError, match="no"):
        host.run(open_resolver, box)

    assert [each.fileno() for each in opened] == [-1]


def test_the_hosts_own_tables_are_left_alone(host: "Host", tmp_path: Path) -> None:
    for opened in host.run(open_resolver, host.sandbox("box")):
        opened.close()

    assert "NETD" not in host.output("iptables-legacy-save")
