"""Bring the kernel's legacy iptables in line with a `drivers.rules.Ruleset`.

The only module that imports python-iptables, which must be handled with care (each was seen to
fail): one thread only; never autocommit, which hides the kernel's refusals; `refresh` before use,
because its tables live in the network namespace where they were opened last; `close` afterwards,
because an open one keeps a namespace alive; and under the lock that `iptables -w` waits for.
"""

import ctypes
import errno
import fcntl
import logging
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from drivers.contract import DriverError
from drivers.encoding import counted, encoded
from drivers.firewall import FAMILIES
from drivers.iptables_rules import USER, owner_of
from drivers.rules import Rule, Ruleset, Table
from drivers.xtables import LIBRARIES, libraries_known, library

log = logging.getLogger(__name__)

LOCK = "/run/xtables.lock"
LOCK_TIMEOUT_S = 10.0
ATTEMPTS = 5  # somebody who ignores the lock may change a table between reading and writing it
TABLES = ("filter", "raw", "nat")


def apply(ruleset: Ruleset) -> Sequence[tuple[Table, Sequence[str]]]:
    """Make netd's chains in this thread's network namespace be as wanted; touch nothing else.

    A table that is so already is not written. A jump from a built-in chain is added as its first
    rule if it is missing, and stays where it is if not; one that is to be the last is moved there.
    Tables the ruleset does not name are left alone. Each table changes at once, or not at all:
    DriverError names what was refused. Returns the tables that were changed, and how, in
    iptables' words.
    """
    with _lock():
        changed = [(table, _put_right(table)) for table in ruleset.tables]
    return [(table, changes) for table, changes in changed if changes]


def clear(owner: str | None = None) -> None:
    """Remove netd's chains from this thread's network namespace, and the jumps to them.

    Those of one owner, or everybody's. The chain made for the user's own rules stays while there
    are rules in it.
    """
    with _lock():
        for family in FAMILIES:
            for name in TABLES:
                _put_right(Table(family, name, {}, {}, owner=owner), keep_the_users=False)


def counters(table: Table) -> list[tuple[str, Rule, int, int]]:
    """Return the chain, the rule, its packets and octets, for each rule of a table as it is live.

    Chains that are not as wanted are left out. Jumps from the built-in chains come last.
    """
    found = []
    with _opened(table.family, table.name) as live:
        present = {chain.name for chain in live.chains}
        for chain, rules in table.chains.items():
            if rules and chain in present:
                octets = [octets for octets, _ in _live(live, chain)]
                if len(octets) == len(rules):
                    found += [
                        (chain, rule, *counted(table.family, each))
                        for rule, each in zip(rules, octets, strict=True)
                    ]
        for chain, jump in (*table.jumps.items(), *table.last_jumps.items()):
            wanted = encoded(table.family, jump)
            found += [
                (chain, jump, *counted(table.family, octets))
                for octets, target in _live(live, chain)
                if wanted.same(octets, target)
            ]
    return found


def available() -> str | None:
    """Return None if the libraries and the kernel's tables are there, else a sentence why not."""
    try:
        for name in ("filter", "nat"):
            with _opened(4, name):
                pass
    except DriverError as error:
        return str(error)
    return None


def _put_right(wanted: Table, *, keep_the_users: bool = True) -> Sequence[str]:
    if not wanted.chains and not _loaded(wanted):
        return ()  # opening it would load it, and hook it into every packet's way
    for attempt in range(ATTEMPTS):
        with _opened(wanted.family, wanted.name) as table:
            changes = _changes(table, wanted, keep_the_users=keep_the_users)
            if not changes:
                return ()
            try:
                table.commit()
            except _iptc().IPTCError as error:
                if attempt < ATTEMPTS - 1 and os.strerror(errno.EAGAIN) in str(error):
                    continue
                raise DriverError(
                    f"the kernel refused {_name(wanted)}: {_reason(error)}: {'; '.join(changes)}"
                ) from error
            log.debug("%s: %s", _name(wanted), "; ".join(changes))
            return changes
    return ()


def _changes(table: Any, wanted: Table, *, keep_the_users: bool) -> list[str]:
    """Change the table's copy in memory; return what was changed, in iptables' words."""
    present = {chain.name for chain in table.chains}
    others = {chain: owner_of(chain) for chain in present - set(wanted.chains)}
    surplus = {
        chain
        for chain, owner in others.items()
        if owner is not None and wanted.owner in {owner, None}
    }
    if USER in surplus and (keep_the_users or table.first_rule(USER)):
        surplus.remove(USER)
    changes = [f"-N {chain}" for chain in wanted.chains if chain not in present]
    for chain in wanted.chains:
        if chain not in present:
            _refusals(table.create_chain, chain)
    for chain, rules in wanted.chains.items():
        if rules is not None:
            changes += _rewritten(table, chain, rules)
    for chain in [chain.name for chain in table.chains if chain.is_builtin()]:
        changes += _jumps(table, chain, wanted, surplus)
    # They may jump to one another, so all are emptied before the first is removed.
    for chain in surplus:
        _refusals(table.flush_entries, chain)
    for chain in surplus:
        _refusals(table.delete_chain, chain)
    return changes + [f"-X {chain}" for chain in sorted(surplus)]


def _rewritten(table: Any, chain: str, rules: Sequence[Rule]) -> Iterator[str]:
    """Make a chain have these rules; those at both ends that are so already go on counting."""
    live = _live(table, chain)
    wanted = [encoded(_family(table), rule) for rule in rules]
    most = min(len(live), len(wanted))
    head = 0
    while head < most and wanted[head].same(*live[head]):
        head += 1
    tail = 0
    while tail < most - head and wanted[-1 - tail].same(*live[-1 - tail]):
        tail += 1
    for number in reversed(range(head, len(live) - tail)):
        _delete(table, chain, number)
        yield f"-D {chain} {number + 1}"
    for number in range(head, len(rules) - tail):
        _refusals(table.insert_entry, chain, _buffer(table, rules[number]), number)
        yield rules[number].text(chain).replace("-A", "-I", 1)


def _jumps(table: Any, chain: str, of: Table, surplus: Collection[str]) -> Iterator[str]:
    """Add the jumps that are missing; remove doubles, altered ones, and those that lead nowhere."""
    first, last = of.jumps.get(chain), of.last_jumps.get(chain)
    live = _live(table, chain)
    wanted = {jump: encoded(_family(table), jump) for jump in (first, last) if jump}
    # The first one stays where it is; the other is right at the end only.
    right = {
        jump: next(
            (n for n, entry in enumerate(live) if it.same(*entry) and (jump is first or n == end)),
            None,
        )
        for end in (len(live) - 1,)
        for jump, it in wanted.items()
    }
    wrong = {*surplus, *(it.target for it in wanted.values())}
    # From the end, so that the numbers of the others stay true.
    for number in reversed(range(len(live))):
        if live[number][1] in wrong and number not in right.values():
            _delete(table, chain, number)
            yield f"-D {chain} {number + 1}"
    if first and right[first] is None:
        _refusals(table.insert_entry, chain, _buffer(table, first), 0)
        yield first.text(chain).replace("-A", "-I", 1)
    if last and right[last] is None:
        _refusals(table.append_entry, chain, _buffer(table, last))
        yield last.text(chain)


def _live(table: Any, chain: str) -> list[tuple[bytes, str]]:
    """Return the octets and the target's name of each rule of a chain."""
    found = []
    entry = table.first_rule(chain)
    while entry:
        octets = ctypes.string_at(ctypes.addressof(entry), entry.next_offset)
        found.append((octets, (table.get_target(entry) or b"").decode()))
        entry = table.next_rule(entry)
    return found


def _delete(table: Any, chain: str, number: int) -> None:
    # python-iptables wraps the deletion of a rule one describes, not of one by its number.
    if table._iptc.iptc_delete_num_entry(chain.encode(), number, table._handle) != 1:
        reason = _reason(table.strerror())
        raise DriverError(f"iptables refused to delete rule {number + 1} of {chain}: {reason}")


def _refusals(act: Any, *arguments: Any) -> None:
    try:
        act(*arguments)
    except _iptc().IPTCError as error:
        raise DriverError(f"iptables refused: {_reason(error)}") from error


def _buffer(table: Any, rule: Rule) -> Any:
    octets = encoded(_family(table), rule).octets
    return (ctypes.c_ubyte * len(octets)).from_buffer_copy(octets)


@contextmanager
def _opened(family: int, name: str) -> Iterator[Any]:
    """Yield a table as it is now in this thread's network namespace."""
    iptc = _iptc()
    table = None
    try:
        table = (iptc.Table if family == 4 else iptc.Table6)(name, autocommit=False)
        # It may be an object from before, which still looks into another namespace.
        table.refresh()
    except iptc.IPTCError as error:
        if table is not None:
            table.close()
        which = "iptables" if family == 4 else "ip6tables"
        raise DriverError(f"{which} table {name} is not available: {_reason(error)}") from error
    try:
        yield table
    finally:
        table.close()


def _loaded(table: Table) -> bool:
    names = Path(f"/proc/thread-self/net/ip{'6' * (table.family == 6)}_tables_names")
    try:
        return table.name in names.read_text().split()
    except FileNotFoundError:
        return False


@contextmanager
def _lock() -> Iterator[None]:
    # Not inherited, and not blocking: whoever holds it for ever must not stop the network thread.
    descriptor = os.open(LOCK, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DriverError(
                        f"another program holds {LOCK} for {LOCK_TIMEOUT_S:.0f} s"
                    ) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


@cache
def _iptc() -> Any:
    """Return python-iptables, imported at its first use."""
    try:
        with libraries_known():
            import iptc
    except (
        Exception
    ) as error:  # it raises whatever comes: AttributeError where a library is missing
        missing = [f"lib{name}" for name in LIBRARIES if library(name) is None]
        why = f"{', '.join(missing)} not found" if missing else str(error)
        raise DriverError(f"python-iptables cannot be imported: {why}") from error
    return iptc


def _family(table: Any) -> int:
    return 6 if isinstance(table, _iptc().Table6) else 4


def _name(table: Table) -> str:
    return f"{'iptables' if table.family == 4 else 'ip6tables'} table {table.name}"


def _reason(error: object) -> str:
    """Return an error of python-iptables in plain words; it has octets where it means text."""
    text = error.decode() if isinstance(error, bytes) else str(error)
    return text.replace("b'", "'")
