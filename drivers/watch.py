"""What anybody changes in a network namespace: interfaces, addresses, forwarding, nftables' rules.

The kernel tells it by itself (netlink(7), multicast groups). What netd changes is told as well, but
for the rules: of those there may be thousands in one transaction, and whoever puts right what
others did to them must not be woken by that.

    |-- a transaction ------------------------|  |-- the next ---|
    element, element, chain, rule, generation    rule, generation
"""

import errno
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from drivers import netlink, rtnetlink
from drivers.contract import DriverError, Interface

ROUTE_GROUPS = (1, 5, 9, 24, 25)  # RTNLGRP_LINK, IPV4_IFADDR, IPV6_IFADDR, IPV4_NETCONF, IPV6_...
NFTABLES_GROUPS = (7,)  # NFNLGRP_NFTABLES, linux/netfilter/nfnetlink.h
NEW_LINK, DELETE_LINK, NEW_ADDRESS, DELETE_ADDRESS, NEW_NETCONF = 16, 17, 20, 21, 80  # RTM_...
NAME, MASTER = 3, 10  # IFLA_..., linux/if_link.h
INTERFACE, FORWARDING = 1, 2  # NETCONFA_..., linux/netconf.h
FAMILIES = {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}
NFTABLES = 10  # NFNL_SUBSYS_NFTABLES, the upper half of a type
NEW_GENERATION, GET_GENERATION = (NFTABLES << 8) | 15, (NFTABLES << 8) | 16  # NFT_MSG_...
GENERATION, MAKER = 1, 2  # NFTA_GEN_ID, NFTA_GEN_PROC_PID
TABLE = 1  # NFTA_TABLE_NAME, NFTA_RULE_TABLE, ...: the same in all other messages, and first
GENERIC_BYTES = 4  # struct nfgenmsg, which begins with the family
BUFFER_BYTES = 32 << 20  # a limit; 100,000 elements at once take less
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


@dataclass(frozen=True, slots=True)
class LinkChange:
    """An interface is new, or something about it may have changed, or it is gone."""

    name: str
    index: int
    up: bool  # as an administrator said
    master: int  # the number of its bridge, zero for none
    gone: bool


@dataclass(frozen=True, slots=True)
class AddressChange:
    """An interface has an address, or lost it."""

    index: int
    address: Interface
    gone: bool


@dataclass(frozen=True, slots=True)
class ForwardingChange:
    """Forwarding was switched on or off, everywhere or for some interfaces."""

    family: int  # 4 or 6


@dataclass(frozen=True, slots=True)
class RulesChange:
    """A table of nftables, or something in it, was changed by a transaction."""

    family: int  # NFPROTO_...: 1 inet, 2 ip, 7 bridge, 10 ip6
    table: str
    pid: int  # of the thread that did it


@dataclass(frozen=True, slots=True)
class Lost:
    """There was more than the kernel kept; anything may have changed."""


Change = LinkChange | AddressChange | ForwardingChange | RulesChange | Lost


class Watch:
    """Everything that is changed from now on, in the network namespace the thread is in."""

    def __init__(self) -> None:
        self._touched: dict[tuple[int, bytes], None] = {}  # by the transaction that is being told
        with ExitStack() as undo:
            try:
                self._sockets = [undo.enter_context(_joined(socket.NETLINK_ROUTE, ROUTE_GROUPS))]
                self._opener = _own_number()
                if self._opener is not None:
                    rules = _joined(netlink.NETFILTER, NFTABLES_GROUPS)
                    self._sockets.append(undo.enter_context(rules))
            except OSError as error:
                words = error.strerror or error
                raise DriverError(f"changes of the network cannot be watched: {words}") from error
            self._opened = undo.pop_all()
        # Not so in a PID namespace: nf_tables counts from outside.
        self._numbers_are_ours = self._opener == threading.get_native_id()

    def filenos(self) -> Sequence[int]:
        """Return the descriptors that are readable when there is something to read."""
        return [one.fileno() for one in self._sockets]

    def read(self) -> Sequence[Change]:
        """Return what has changed since the last time; never blocks.

        Rules that a running thread of this process changed are left out. Several changes of a
        family's forwarding are told once.
        """
        changes: list[Change] = []
        once: set[Change] = set()
        for change in self._changes():
            if change not in once:
                changes.append(change)
            if isinstance(change, ForwardingChange | Lost):
                once.add(change)
        return changes

    def close(self) -> None:
        """Give the sockets back; may be repeated."""
        self._opened.close()

    def _changes(self) -> Iterator[Change]:
        for kernel in self._sockets:
            tell = self._rules_changes if kernel.proto == netlink.NETFILTER else _route_changes
            for data in _received(kernel):
                if data is None:
                    self._touched.clear()  # maybe what was lost is where this transaction ended
                    yield Lost()
                else:
                    yield from tell(data)

    def _rules_changes(self, data: bytes) -> Iterator[RulesChange]:
        for kind, _, body in netlink.messages(data):
            if kind >> 8 != NFTABLES:
                continue
            if kind != NEW_GENERATION:
                self._touched[body[0], _table(body)] = None
                continue
            maker = _generation(body)[1]
            if not self._is_own(maker):
                for family, table in self._touched:
                    yield RulesChange(family, _text(table), maker)
            self._touched.clear()

    def _is_own(self, thread: int) -> bool:
        if thread == self._opener:
            return True
        return self._numbers_are_ours and Path(f"/proc/self/task/{thread}").exists()


def generation(line: netlink.Line | None = None) -> int:
    """Return the number of this namespace's nftables rules, which each transaction raises.

    Who asks often keeps a line (NETFILTER) for it. OSError where the kernel has no nf_tables.
    """
    return _generation(_asked_generation(line))[0]


def _joined(protocol: int, groups: Sequence[int]) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    kernel = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        try:
            kernel.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:  # in a user namespace: as much as the machine's limit allows
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        kernel.bind((0, sum(1 << group - 1 for group in groups)))
    except OSError:
        kernel.close()
        raise
    return kernel


def _own_number() -> int | None:
    """Return this thread's number as nf_tables sees it; None where there is no nf_tables."""
    try:
        return _generation(_asked_generation())[1]
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.EPROTONOSUPPORT}:
            return None
        raise


def _asked_generation(line: netlink.Line | None = None) -> bytes:
    question = GET_GENERATION, bytes(GENERIC_BYTES)
    return line.answer(*question) if line else netlink.answer(netlink.NETFILTER, *question)


def _generation(body: bytes) -> tuple[int, int]:
    """Return a generation's number, and that of the thread that made it, or asked for it."""
    found = netlink.attributes(body, GENERIC_BYTES)
    return int.from_bytes(found[GENERATION], "big"), int.from_bytes(found[MAKER], "big")


def _table(body: bytes) -> bytes:
    # There may be 20,000 elements at once, so none is taken apart without need.
    length, kind = netlink.ATTRIBUTE.unpack_from(body, GENERIC_BYTES)
    if kind == TABLE:
        return body[GENERIC_BYTES + netlink.ATTRIBUTE.size : GENERIC_BYTES + length]
    return netlink.attributes(body, GENERIC_BYTES).get(TABLE, b"")


def _received(kernel: socket.socket) -> Iterator[bytes | None]:
    """Yield all that is there; None where something is missing."""
    while True:
        try:
            yield kernel.recv(netlink.RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield None


def _route_changes(data: bytes) -> Iterator[Change]:
    for kind, _, body in netlink.messages(data):
        if kind in {NEW_LINK, DELETE_LINK}:
            yield from _link_changes(body, gone=kind == DELETE_LINK)
        elif kind in {NEW_ADDRESS, DELETE_ADDRESS}:
            if found := rtnetlink.address_of(body):
                yield AddressChange(*found, gone=kind == DELETE_ADDRESS)
        elif kind == NEW_NETCONF:
            yield from _forwarding_changes(body)


def _link_changes(body: bytes, *, gone: bool) -> Iterator[LinkChange]:
    family, _, index, flags, _ = rtnetlink.LINK.unpack_from(body)
    # With a family it is about a bridge's port, and gone is not the interface, but its being one.
    if family == socket.AF_UNSPEC:
        found = netlink.attributes(body, rtnetlink.LINK.size)
        master = int.from_bytes(found.get(MASTER, b""), sys.byteorder)
        yield LinkChange(_text(found[NAME]), index, bool(flags & rtnetlink.UP), master, gone)


def _forwarding_changes(body: bytes) -> Iterator[ForwardingChange]:
    # A new interface comes with all its settings; that is no change of anybody's.
    found = netlink.attributes(body, GENERIC_BYTES)
    if found.keys() == {INTERFACE, FORWARDING} and body[0] in FAMILIES:
        yield ForwardingChange(FAMILIES[body[0]])


def _text(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode(errors="replace")
