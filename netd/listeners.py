"""Who is in the way of a port of this host: what /proc says, and the sentence for the user."""

import errno
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from drivers.ports import PortRefusedError
from netd.model import Address
from netd.port_plan import host_end
from netd.port_wishes import ANY

PROC = Path("/proc")
RECEIVING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; TCP_CLOSE, a datagram socket of no one peer


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that has a port."""

    name: str
    pid: int

    def __str__(self) -> str:
        """Return its name with its id."""
        return f"{self.name} (pid {self.pid})"


def listener(protocol: str, address: Address, port: int) -> Listener | None:
    """Return who keeps others from a port, in this thread's network namespace.

    Who listens is named before who is connected from the port. Absent: nobody has it, or nobody
    whose descriptors can be seen from here (another PID namespace). Blocks for some milliseconds
    where many processes run.
    """
    found = [each for each in _sockets(protocol, port) if _meet(each.address, address)]
    found.sort(key=lambda each: not each.receives)
    processes = (_process(each.inode) for each in found)
    return next((each for each in processes if each is not None), None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the kernel did not give a port."""

    sentence: str
    owner: str = "another process"  # who has it, where somebody does


def refusal(refused: PortRefusedError) -> Refusal:
    """Return what the user is to know of a refused port; blocks as `listener` does."""
    hold, port = refused.hold, refused.port
    # One socket stands for all addresses, and one of its families may be free.
    addresses = [*ANY.values()] if hold.dual else [hold.address]
    if refused.errno == errno.EADDRINUSE:
        for address in addresses:
            if process := listener(hold.protocol, address, port):
                owner = f"{process.name}, pid {process.pid}"
                return Refusal(f"{_sentence(refused, address)} (by {owner})", owner)
    return Refusal(_sentence(refused, addresses[0]))


@dataclass(frozen=True, slots=True)
class _Socket:
    address: Address
    receives: bool
    inode: int


def _sockets(protocol: str, port: int) -> Iterator[_Socket]:
    receiving = RECEIVING.get(protocol)
    if receiving is None:  # the kernel lists SCTP elsewhere, without inodes
        return
    # IPv4 first: a socket of :: may be one that leaves IPv4 alone.
    for name in (protocol, f"{protocol}6"):
        try:
            # Not /proc/net, which is the namespace of the process's first thread.
            table = (PROC / "thread-self/net" / name).read_text()
        except FileNotFoundError:  # no IPv6
            continue
        for line in table.splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            address, _, number = local.partition(":")
            # A connection that waits for its last packets has no inode and keeps nobody out.
            if int(number, 16) == port and rest[5] != "0":
                yield _Socket(_address(address), state == receiving, int(rest[5]))


def _address(digits: str) -> Address:
    # Words of 32 bits, each printed as a number of this machine.
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    octets = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    if len(octets) == 4:
        return IPv4Address(octets)
    address = IPv6Address(octets)
    return address.ipv4_mapped or address


def _meet(theirs: Address, asked: Address) -> bool:
    if theirs.version != asked.version:
        return theirs == ANY[6]  # it may hold IPv4, too
    return theirs == asked or theirs.is_unspecified or asked.is_unspecified


def _process(inode: int) -> Listener | None:
    """Return the process that has a socket open, the one with the lowest id among heirs."""
    for pid in sorted(int(path.name) for path in PROC.iterdir() if path.name.isdecimal()):
        folder = PROC / str(pid)
        try:
            if any(_is_socket(each, inode) for each in (folder / "fd").iterdir()):
                return Listener((folder / "comm").read_text().strip(), pid)
        except OSError:  # it ended meanwhile
            continue
    return None


def _is_socket(descriptor: Path, inode: int) -> bool:
    try:
        return str(descriptor.readlink()) == f"socket:[{inode}]"
    except OSError:  # closed meanwhile
        return False


def _sentence(refused: PortRefusedError, address: Address) -> str:
    end = f"{host_end(address, refused.port)}/{refused.hold.protocol}"
    return f"failed to bind host port {end}: {_reason(refused)}"


def _reason(refused: PortRefusedError) -> str:
    match refused.errno:
        case errno.EPROTONOSUPPORT | errno.ESOCKTNOSUPPORT:
            return f"this kernel has no {refused.hold.protocol.upper()}"
        case errno.EMFILE:
            # The process raises its soft limit to the hard one, which it has from this one.
            _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
            return (
                f"the process that holds ports may have no more than {limit} open files (ulimit -n)"
            )
        case number:
            words = os.strerror(number)
            return words[:1].lower() + words[1:]
