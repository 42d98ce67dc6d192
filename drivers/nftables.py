"""Tables of nf_tables kept as pieces say: only what differs is sent, in one transaction.

What was sent last is known, and each transaction of anybody raises the number of the ruleset's
generation. So as long as that number is ours nothing was lost, and nothing has to be listed. When
it is not, what there should be is built in an empty network namespace, and the two are compared.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from drivers.libnftables import Nft, NftError
from drivers.netlink import NETFILTER, Line
from drivers.nft_blocks import Piece
from drivers.nft_listing import Listing, differences, listing, network_chain
from drivers.nft_rules import USER
from drivers.sandbox import in_new_namespace
from drivers.watch import generation

log = logging.getLogger(__name__)

Pieces = Mapping[str, Piece]
Tables = Sequence[tuple[str, str]]  # family and name
Listings = Mapping[tuple[str, str], Listing]


class NftTables:
    """One daemon's tables; all calls come from one thread, in one network namespace."""

    def __init__(self, *tables: tuple[str, str]) -> None:
        """Name the tables that the pieces are of: ("inet", "netd"); all else is others'."""
        self._tables = tables
        self._nft: Nft | None = None
        self._line: Line | None = None
        self._applied: Pieces | None = None  # absent: nobody knows what is there
        self._generation = -1
        self._lost: list[str] = []  # what was put right on the way, and not told yet
        self._should: Listings = {}  # what is applied, as it is listed; empty: not known yet

    def apply(self, wanted: Pieces) -> None:
        """Make the tables be as wanted: what differs from what was applied last.

        What somebody has taken since comes back first: a part of the rules alone is never there.
        """
        if self._applied is None:
            self._applied = wanted
            self._put_right()
            return
        self._lost += self._put_right()
        commands = [*_commands(self._applied, wanted)]
        if commands:
            self._should = {}
            try:
                self._send(commands)
            except NftError as error:
                log.debug("the tables are not as they were left: %s", error)
                self._rebuild(wanted)
        self._applied = wanted

    def looks_changed(self) -> bool:
        """Return whether anybody has changed any rule since this was asked or done last."""
        return bool(self._lost) or self._is_changed()

    def repair(self) -> Sequence[str]:
        """Put the tables right where somebody else has changed them; return what was lost."""
        self._lost += self._put_right()
        lost, self._lost = self._lost, []
        return lost

    def listed(self) -> str:
        """Return the tables as nft(8) lists them."""
        texts = []
        for family, name in self._tables:
            try:
                texts.append(self._context.run(f"list table {family} {name}"))
            except NftError as error:
                log.debug("table %s %s: %s", family, name, error)
        return "".join(texts)

    def clear(self, base: Pieces) -> None:
        """Remove the tables; one whose chain for the user's own rules has rules keeps that.

        `base` is what is there at any time: only its names matter.
        """
        should = in_new_namespace(lambda: _built(self._tables, base))
        for family, name in self._tables:
            there = listing(self._context.listed(family, name))
            if not there.exists:
                continue
            if not there.rules.get(USER):
                self._context.run(f"delete table {family} {name}")
                continue
            # Without its chains on hooks no packet asks it.
            own = should[family, name]
            hooked = [f"delete chain {family} {name} {chain}" for chain in own.bases]
            self._context.run("\n".join([*_emptied(family, name, there, own), *hooked]))
        self._applied, self._generation, self._should = None, -1, {}

    def close(self) -> None:
        """Give the library's context and the line to the kernel back; may be repeated."""
        if self._nft is not None:
            self._nft.close()
        if self._line is not None:
            self._line.close()
        self._nft, self._line = None, None

    def _is_changed(self) -> bool:
        return self._applied is not None and self._number() != self._generation

    def _put_right(self) -> Sequence[str]:
        if self._applied is None or not self._is_changed():
            return ()
        seen, lost = self._number(), []
        for (family, name), should in self._listings(self._applied).items():
            is_ = listing(self._context.listed(family, name))
            lost += [f"nftables {family} {name}: {each}" for each in differences(should, is_)]
        if lost:
            self._rebuild(self._applied)
        else:
            self._generation = seen
        return lost

    def _number(self) -> int:
        if self._line is None:
            self._line = Line(NETFILTER)
        return generation(self._line)

    @property
    def _context(self) -> Nft:
        if self._nft is None:
            self._nft = Nft()
        return self._nft

    def _send(self, commands: Sequence[str]) -> None:
        before = self._number()
        self._context.run("\n".join(commands))
        # Where somebody else came in between, the next repair looks at everything.
        if before in {self._generation, -1} and self._number() == before + 1:
            self._generation = before + 1
        for command in commands[:50]:
            log.debug("nft %s", command[:500])

    def _listings(self, wanted: Pieces) -> Listings:
        if not self._should:
            self._should = in_new_namespace(lambda: _built(self._tables, wanted))
        return self._should

    def _rebuild(self, wanted: Pieces) -> None:
        """Make everything anew, in one transaction; what the user has in the table stays."""
        should = self._listings(wanted)
        make = [command for piece in wanted.values() for command in piece.block().make]
        seen = self._number()
        empty: list[str] = []
        for (family, name), there in should.items():
            live = listing(self._context.listed(family, name))
            if live.exists and not there.exists:
                empty.append(f"delete table {family} {name}")
            elif live.exists:
                empty += _emptied(family, name, live, there)
        try:
            self._context.run("\n".join([*empty, *make]))
        except NftError as error:
            # A chain of the same name hangs elsewhere by now: only without the table it goes.
            log.warning("the tables are made from nothing: %s", error)
            new = [f"add table {f} {n}\ndelete table {f} {n}" for f, n in self._tables]
            try:
                self._context.run("\n".join([*new, *make]))
            except NftError:
                self._should = {}  # it is of what is not there
                raise
        self._generation = seen + 1 if self._number() == seen + 1 else -1


def _commands(applied: Pieces, wanted: Pieces) -> Iterator[str]:
    """Yield what leads from one to the other; nothing of it is seen before the end of it."""
    changes = {
        name: piece.change_from(applied[name])
        for name, piece in wanted.items()
        if name in applied and applied[name] != piece
    }
    for name in reversed([*applied]):
        if name not in wanted:
            yield from applied[name].block().unmake
        elif name in changes:
            yield from changes[name].unmake
    for name, piece in wanted.items():
        if name not in applied:
            yield from piece.block().make
        elif name in changes:
            yield from changes[name].make


def _built(tables: Tables, pieces: Pieces) -> Listings:
    """Return what the pieces look like once they are made; in a namespace without any rules."""
    nft = Nft()
    try:
        nft.run("\n".join(command for piece in pieces.values() for command in piece.block().make))
        return {table: listing(nft.listed(*table)) for table in tables}
    finally:
        nft.close()


def _emptied(family: str, name: str, live: Listing, should: Listing) -> Iterator[str]:
    """Yield what empties netd's own sets and chains, and removes those of networks that are gone.

    Sets and chains of other names are the user's, for rules in the chain that is kept for them.
    """
    stale = [chain for chain in live.chains if network_chain(chain) and chain not in should.chains]
    own = [chain for chain in live.chains if chain in should.chains and chain != USER]
    for chain in (*own, *stale):
        yield f"flush chain {family} {name} {chain}"
    for set_ in live.sets:
        if set_ in should.sets:
            yield f"flush {live.kinds[set_]} {family} {name} {set_}"
    for chain in stale:
        yield f"delete chain {family} {name} {chain}"
