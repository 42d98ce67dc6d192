"""Sandboxes: network namespaces that live as long as a file they are bound to.

A sandbox is made and plumbed before the container's first process exists, and its path is handed
to the OCI runtime. Namespaces belong to threads: `entered` moves the calling thread and brings it
back.
"""

import ctypes
import fcntl
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from drivers import iptables, sysctl
from drivers.contract import Address, DriverError
from drivers.iptables_rules import resolver_ruleset
from drivers.libnftables import Nft
from drivers.nft_rules import RESOLVER_TABLE, resolver_commands

if TYPE_CHECKING:  # it loads pyroute2, which is slow
    from drivers.link import Links

log = logging.getLogger(__name__)

T = TypeVar("T")

RESOLVER = IPv4Address("127.0.0.11")  # where Docker's containers find their DNS, too
# The port that is tried first, below those the kernel hands out. Where new sockets have the port of
# the old ones, a client that goes on asking from one port of its own is answered.
RESOLVER_PORT = 31053
RESOLVER_ATTEMPTS = 50

OWN = "/proc/thread-self/ns/net"
CLONE_NEWNET = 0x40000000  # linux/sched.h
MS_BIND = 0x1000  # linux/mount.h
MNT_DETACH = 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # netdevice(7)

# Everybody may ping, and bind ports below 1024: inside a namespace of one's own that harms nobody.
SETTINGS = {"ipv4/ping_group_range": "0 2147483647", "ipv4/ip_unprivileged_port_start": "0"}


def create_sandbox(path: Path) -> None:
    """Make a network namespace bound to a path, its loopback up; folders above are made too.

    Where there is one already it is kept.
    """
    if sandbox_exists(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o444)

    def make() -> None:
        _loopback_up()
        for key, value in SETTINGS.items():
            sysctl.put(key, value)
        _check(_libc().mount(OWN.encode(), bytes(path), None, MS_BIND, None), "mount")

    try:
        in_new_namespace(make)
    except (OSError, DriverError) as error:
        path.unlink()
        raise DriverError(f"cannot make a network namespace at {path}: {error}") from error


def in_new_namespace(act: Callable[[], T]) -> T:
    """Return what a function returns in an empty network namespace, which goes unless it is bound.

    In a thread of its own, because there is no way back out of a failure half-way. DriverError
    and OSError come through.
    """
    outcomes: list[T | OSError | DriverError] = []

    def run() -> None:
        try:
            _check(_libc().unshare(CLONE_NEWNET), "unshare")
            outcomes.append(act())
        except (OSError, DriverError) as error:
            outcomes.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    (outcome,) = outcomes
    if isinstance(outcome, (OSError, DriverError)):
        raise outcome
    return outcome


def remove_sandbox(path: Path) -> None:
    """Unbind the namespace and remove its file; what it held goes once its last process has gone.

    Its interfaces are down at once. May be repeated.
    """
    if sandbox_exists(path):
        _interfaces_down(path)
    # More than one may lie on top of another after a crash between mounting and recording.
    while _libc().umount2(bytes(path), MNT_DETACH) == 0:
        pass
    path.unlink(missing_ok=True)


def sandbox_exists(path: Path) -> bool:
    """Return whether a network namespace is bound to the path."""
    try:
        # All namespace files are of the one file system nsfs.
        return path.stat().st_dev == Path(OWN).stat().st_dev
    except FileNotFoundError:
        return False


@contextmanager
def entered(path: Path) -> Iterator[None]:
    """Put the calling thread into a sandbox, and back into its own whatever happens."""
    with ExitStack() as stack:
        own = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, own)
        try:
            target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, target)
            _check(_libc().setns(target, CLONE_NEWNET), "setns")
        except OSError as error:
            raise DriverError(f"there is no network namespace at {path}: {error}") from error
        stack.callback(lambda: _check(_libc().setns(own, CLONE_NEWNET), "setns"))
        yield


def set_gateways(
    links: "Links", path: Path, gateways: Mapping[int, tuple[str, Address] | None]
) -> None:
    """Make these the sandbox's only default routes: by family, the interface and the gateway.

    None means that the family has none; a family that is not named is left as it is.
    """
    with links.inside(path) as inside:
        for family, gateway in gateways.items():
            inside.set_gateway(family, gateway)


def open_resolver(path: Path, backend: str = "iptables") -> tuple[socket.socket, socket.socket]:
    """Open the sockets of the sandbox's DNS service: udp, and tcp that listens.

    Both are bound to 127.0.0.11 on one unprivileged port, and questions to its port 53 are led
    there by rules of the backend (iptables, nftables), so that the container may serve port 53
    itself. Called again, new sockets take over.
    """
    with entered(path), ExitStack() as undo:
        udp, tcp = _sockets_of_one_port()
        undo.callback(udp.close)
        undo.callback(tcp.close)
        _lead_to_resolver(udp.getsockname()[1], backend)
        undo.pop_all()
        return udp, tcp


def _lead_to_resolver(port: int, backend: str) -> None:
    if backend == "iptables":
        iptables.apply(resolver_ruleset(RESOLVER, port))
        return
    nft = Nft()
    try:
        # To delete what is not there makes nf_tables wait for it all the same, some 10 ms.
        again = bool(nft.listed("ip", RESOLVER_TABLE))
        nft.run(resolver_commands(RESOLVER, port, again=again))
    finally:
        nft.close()


def _sockets_of_one_port() -> tuple[socket.socket, socket.socket]:
    for port in (RESOLVER_PORT, *(0,) * RESOLVER_ATTEMPTS):
        with ExitStack() as undo:
            udp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind((str(RESOLVER), port))
                tcp.bind(udp.getsockname())
                tcp.listen()
            except OSError:
                continue  # somebody has this port, or has it for one of the two
            undo.pop_all()
            return udp, tcp
    raise DriverError(f"no port of {RESOLVER} is free for both udp and tcp")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _set_up(control, "lo", up=True)


def _interfaces_down(path: Path) -> None:
    # The kernel takes 20 ms to remove a namespace, and waits for all who have it open. Meanwhile
    # nobody may answer there for addresses that another container has by then.
    with entered(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _, name in socket.if_nameindex():
            try:
                if name != "lo":
                    _set_up(control, name, up=False)
            except OSError as error:
                log.debug("interface %s in %s is not set down: %s", name, path, error)


def _set_up(control: socket.socket, name: str, *, up: bool) -> None:
    request = struct.pack("16sH14x", name.encode(), 0)
    _, flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
    wanted = flags | IFF_UP if up else flags & ~IFF_UP
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), wanted))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
