"""The firewall in the kernel's legacy iptables (see `drivers.firewall.Firewall`).

The kernel tells nobody about changes of these tables; but how many rules a table has, and where
its chains begin, costs a microsecond to ask.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Sequence
from functools import cache

from drivers import iptables
from drivers.firewall import FirewallState, LiveRule
from drivers.iptables_rules import ruleset
from drivers.rules import PREFIX, Ruleset, Table

GET_INFO = 64  # IPT_SO_GET_INFO, IP6T_SO_GET_INFO
LEVELS = {4: (socket.AF_INET, socket.SOL_IP), 6: (socket.AF_INET6, 41)}  # 41: SOL_IPV6
INFO = struct.Struct("=32sI5I5III")  # struct ipt_getinfo
COMMANDS = {4: "iptables", 6: "ip6tables"}

Key = tuple[int, str]


class IptablesFirewall:
    """netd's chains in the tables of both families."""

    def __init__(self, owner: str = "") -> None:
        """Take the six hexadecimal digits that mark the chains of a daemon beside the host's."""
        self._owner = owner
        self._applied: dict[Key, Table] = {}
        self._seen: dict[Key, bytes] = {}  # what the kernel said of each table afterwards
        self._lost: list[str] = []  # what was put right on the way, and not told yet

    def problem(self) -> str | None:
        """Return why this machine cannot have it; None: it can."""
        return iptables.available()

    def apply(self, state: FirewallState) -> None:
        """Write the tables that differ from those written last.

        What drops comes before what leads there: raw, filter, then nat. What somebody has flushed
        since comes back first: nobody is led anywhere without what keeps others out.
        """
        if self._is_changed():
            self._lost += self._put_right()
        for table in ruleset(state, self._owner).tables:
            if self._applied.get(_key(table)) != table:
                self._put(table)

    def looks_changed(self) -> bool:
        """Return whether a table has another shape than when it was left, or had."""
        return bool(self._lost) or self._is_changed()

    def repair(self) -> Sequence[str]:
        """Compare all tables, rule by rule, and put them right; return what was lost."""
        self._lost += self._put_right()
        lost, self._lost = self._lost, []
        return lost

    def rules(self) -> Sequence[LiveRule]:
        """Return the rules with their counters, by table and chain."""
        return [
            LiveRule(
                place=f"{COMMANDS[table.family]} {table.name} {chain}",
                comment=rule.comment,
                raw=f"-t {table.name} {rule.text(chain)}",
                packets=packets,
                bytes=octets,
            )
            for table in self._applied.values()
            if table.chains
            for chain, rule, packets, octets in iptables.counters(table)
        ]

    def clear(self) -> None:
        """Remove the chains of this owner, and the jumps to them."""
        iptables.clear(self._owner)
        self._applied.clear()
        self._seen.clear()
        self._lost.clear()

    def _is_changed(self) -> bool:
        return any(seen != _information(*key) for key, seen in self._seen.items())

    def _put_right(self) -> list[str]:
        # At one go, which nobody who respects the lock comes in between.
        changed = iptables.apply(Ruleset(tuple(self._applied.values())))
        for table, _ in changed:
            self._look_at(table)
        return [
            f"{COMMANDS[table.family]} table {table.name}: {_told(changes)}"
            for table, changes in changed
        ]

    def _put(self, table: Table) -> None:
        iptables.apply(Ruleset((table,)))
        self._applied[_key(table)] = table
        self._look_at(table)

    def _look_at(self, table: Table) -> None:
        if table.chains:
            self._seen[_key(table)] = _information(*_key(table))
        else:
            self._seen.pop(_key(table), None)


def _key(table: Table) -> Key:
    return table.family, table.name


def _information(family: int, name: str) -> bytes:
    """Return what the kernel says of a table's size and the places of its chains."""
    domain, level = LEVELS[family]
    information = ctypes.create_string_buffer(INFO.pack(name.encode(), *(0,) * 13), INFO.size)
    length = ctypes.c_uint32(INFO.size)
    with socket.socket(domain, socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
        options = (asking.fileno(), level, GET_INFO, information, ctypes.byref(length))
        if _libc().getsockopt(*options):
            return os.strerror(ctypes.get_errno()).encode()
    return information.raw


def _told(changes: Sequence[str]) -> str:
    """Return what was lost, from the words of what was done about it."""
    words = [change.split() for change in changes]
    chains = [word[1] for word in words if word[0] == "-N"]
    put_in = [word[1] for word in words if word[0] == "-I" and word[1] not in chains]
    jumps = [name for name in put_in if not name.startswith(PREFIX)]
    rewritten = dict.fromkeys(name for name in put_in if name.startswith(PREFIX))
    taken_out = [word[1] for word in words if word[0] in {"-D", "-X"}]
    strange = [name for name in taken_out if name not in put_in]
    told = [f"chain {name}" for name in chains] + [f"rules of {name}" for name in rewritten]
    told += [f"jump from {name}" for name in jumps]
    told += [f"something else in {name}" for name in dict.fromkeys(strange)]
    return ", ".join(told) or "the order of rules"


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
