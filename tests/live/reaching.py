"""Who reaches what: sockets that are opened in any network namespace, and used from here."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from drivers.sandbox import entered
from labs.host import Host
from tests.rawapi import Api

DEADLINE_S = 10
SHORT_S = 0.3  # plenty for an answer, where none is to come
PAGE = "<h1>Hello from netd</h1>\n"  # of the demo image
SERVES = ("httpd", "-f", "-vv", "-h", "/www")
ECHO = ("nc", "-ll", "-p", "7", "-e", "cat")
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def until(
    condition: Callable[[], bool], what: str | Callable[[], str], deadline_s: float = DEADLINE_S
) -> None:
    """Wait until something is so; `what` says what is wrong if it never is."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.01)


def container_netns(host: Host, name: str) -> Path:
    """Return where the namespace of a running container can be opened."""
    with Api(host.socket) as api:
        return Path(f"/proc/{api.call('GET', f'/containers/{name}/json')['State']['Pid']}/ns/net")


def container_address(host: Host, name: str, network: str) -> str:
    """Return a container's IPv4 address in a network."""
    with Api(host.socket) as api:
        networks = api.call("GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"]
        return str(networks[network]["IPAddress"])


def executed(host: Host, name: str, *command: str) -> str:
    """Run a command in a container; return what it wrote."""
    with Api(host.socket) as api:
        return api.executed(name, *command)[1].decode()


def opened(netns: Path, protocol: str, address: object) -> socket.socket:
    """Open a socket of the address's family in a namespace."""
    family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET

    def make() -> socket.socket:
        with entered(netns):
            return socket.socket(family, KINDS[protocol])

    with ThreadPoolExecutor(1) as thread:  # threads are in namespaces, and this one stays in its
        made = thread.submit(make).result()
    made.settimeout(2)
    return made


def bound(netns: Path, protocol: str, address: object, port: int) -> socket.socket:
    """Bind, and listen, as a server of that namespace would; raises OSError."""
    server = opened(netns, protocol, address)
    try:
        if server.family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(protocol == "tcp"))
        server.bind((str(address), port))
        if protocol == "tcp":
            server.listen()
    except OSError:
        server.close()
        raise
    return server


def free(netns: Path, port: int, protocol: str = "tcp", address: object = "127.0.0.1") -> bool:
    """Tell whether a process could have the port."""
    try:
        bound(netns, protocol, address, port).close()
    except OSError:
        return False
    return True


def page(netns: Path, address: object, port: int, timeout_s: float = 2) -> str:
    """Fetch a page over HTTP, as a client in that namespace would; raises OSError."""
    with opened(netns, "tcp", address) as client:
        client.settimeout(timeout_s)
        client.connect((str(address), port))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    return answer.decode().partition("\r\n\r\n")[2]


def answered(netns: Path, address: object, port: int = 8080, timeout_s: float = 2) -> bool:
    """Tell whether the demo image's page is there, at one try."""
    try:
        return page(netns, address, port, timeout_s) == PAGE
    except OSError:
        return False


def reached(netns: Path, address: object, port: int = 8080, deadline_s: float = 5) -> bool:
    """Tell whether the page is there within some seconds: a server needs a moment to begin."""
    deadline = time.monotonic() + deadline_s
    while not answered(netns, address, port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def cut_off(netns: Path, address: object, port: int = 8080) -> bool:
    """Tell whether the page is not there."""
    return not answered(netns, address, port, SHORT_S)


def echoed(netns: Path, address: object, port: int, server: socket.socket) -> str | None:
    """Send a datagram and answer it at the server; return who sent it, as that one sees it."""
    with opened(netns, "udp", address) as client:
        client.sendto(b"question", (str(address), port))
        try:
            octets, sender = server.recvfrom(64)
            server.sendto(octets, sender)
            assert client.recvfrom(64)[0] == b"question"
        except TimeoutError:
            return None
    return str(sender[0])


def conversation(netns: Path, address: object, port: int) -> socket.socket:
    """Return a connection to an echo, which may need a moment to begin."""
    client = opened(netns, "tcp", address)

    def connects() -> bool:
        nonlocal client
        with suppress(OSError):
            client.connect((str(address), port))
            if goes_on(client):
                return True
        client.close()
        client = opened(netns, "tcp", address)
        return False

    until(connects, f"there is no echo at {address} port {port}")
    return client


def goes_on(client: socket.socket) -> bool:
    """Say something on a connection; tell whether it is echoed."""
    try:
        client.sendall(b"hello")
        return client.recv(64) == b"hello"
    except ConnectionError:
        return False
